//! WebSocket framing (RFC 6455 section 5) without I/O, for a server: frames from the client must be masked.
//!
//! tungstenite parses headers; masks, fragments, compression (RFC 7692), UTF-8 and close codes are checked here.

mod decode;

pub use decode::Decoder;

use bytes::Bytes;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// Maximum header length of a frame from the server, which has no mask.
pub const MAX_HEADER: usize = 10;
/// Maximum payload of a control frame.
const MAX_CONTROL: u64 = 125;

/// The type of a message's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// UTF-8 text (opcode 1).
    Text,
    /// Bytes (opcode 2).
    Binary,
}

/// How a message is compressed, or which compression was negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None: the payload is the message.
    None,
    /// permessage-deflate without context takeover (RFC 7692).
    Deflate,
}

/// A complete message or control frame from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A text message, checked to be UTF-8.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping with its payload, at most 125 bytes: the pong repeats it.
    Ping(Vec<u8>),
    /// A pong, solicited or not.
    Pong,
    /// With the client's close code, if it sent one.
    Close(Option<u16>),
}

/// Why the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A violation of RFC 6455 or RFC 7692, as the reason for the client: close code 1002.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text message or a close reason is not UTF-8: close code 1007.
    #[error("text is not UTF-8")]
    NotText,
    /// A message is longer than the limit, as received or inflated: close code 1009.
    #[error("message too big")]
    TooBig,
}

/// Appends the header of an unfragmented, unmasked frame.
fn header(opcode: OpCode, compression: Compression, length: usize, out: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode,
        rsv1: compression == Compression::Deflate,
        ..FrameHeader::default()
    };
    // Writing into a Vec does not fail.
    let _ = header.format(length as u64, out);
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
    header(opcode, Compression::None, payload.len(), &mut out);
    out.extend_from_slice(payload);
    out.into()
}

/// Appends the header of a message with `length` bytes of payload, as compressed.
pub fn message_header(
    payload: Payload,
    compression: Compression,
    length: usize,
    out: &mut Vec<u8>,
) {
    let data = match payload {
        Payload::Text => Data::Text,
        Payload::Binary => Data::Binary,
    };
    header(OpCode::Data(data), compression, length, out);
}

/// A ping without payload.
pub fn ping() -> Bytes {
    frame(OpCode::Control(Control::Ping), &[])
}

/// The answer to a ping: its payload, at most 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Pong), payload)
}

/// A close frame, without a code when the code must not be sent (1005, 1006).
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    if !CloseCode::from(code).is_allowed() {
        return frame(OpCode::Control(Control::Close), &[]);
    }
    let room = MAX_CONTROL as usize - 2;
    let mut end = reason.len().min(room);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(OpCode::Control(Control::Close), &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_frame_has_code_and_reason() {
        assert_eq!(&close_frame(4008, "slow")[..], b"\x88\x06\x0f\xa8slow");
        assert_eq!(&close_frame(1006, "")[..], b"\x88\x00");
        assert_eq!(close_frame(4000, &"ü".repeat(200)).len(), 2 + 2 + 122);
    }
}
