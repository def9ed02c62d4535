//! WebSocket framing (RFC 6455 section 5) without I/O: the server's side, so frames from the peer must be masked.
//!
//! Headers are tungstenite's; masks, fragments, UTF-8 and the rules of closing are checked here. A decoder holds
//! no buffer while no frame is half read, which keeps idle sessions small.

use std::io::Cursor;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// Longest header of a frame from the server: no mask.
pub const MAX_HEADER: usize = 10;
/// Longest payload of a control frame.
const MAX_CONTROL: u64 = 125;

/// A whole message or control frame from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    /// With the code the peer gave, if it gave one.
    Close(Option<u16>),
}

/// Why the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("{0}")]
    Protocol(&'static str),
    #[error("a text message is not UTF-8")]
    NotText,
    #[error("message too big")]
    TooBig,
}

/// Turns bytes into messages. `Default` is the state of a fresh connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a frame whose rest has not arrived.
    partial: Vec<u8>,
    /// The message whose last fragment has not arrived.
    fragments: Option<Box<Fragments>>,
}

#[derive(Debug)]
struct Fragments {
    text: bool,
    payload: Vec<u8>,
}

impl Decoder {
    /// Takes what was read (and unmasks it in place), appends what became whole to `out`. `max` bounds a
    /// message, in bytes; a longer one is refused as soon as a header announces it.
    pub fn push(
        &mut self,
        input: &mut [u8],
        max: usize,
        out: &mut impl Extend<Inbound>,
    ) -> Result<(), FrameError> {
        if self.partial.is_empty() {
            let used = self.parse(input, max, out)?;
            if used < input.len() {
                self.partial.extend_from_slice(&input[used..]);
            }
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(input);
        let used = self.parse(&mut joined, max, out)?;
        if used < joined.len() {
            joined.drain(..used);
            self.partial = joined;
        }
        Ok(())
    }

    /// Returns how many bytes the whole frames at the front took.
    fn parse(
        &mut self,
        input: &mut [u8],
        max: usize,
        out: &mut impl Extend<Inbound>,
    ) -> Result<usize, FrameError> {
        let mut at = 0;
        loop {
            let mut cursor = Cursor::new(&input[at..]);
            let parsed = FrameHeader::parse(&mut cursor)
                .map_err(|_| FrameError::Protocol("a frame has a reserved opcode"))?;
            let Some((header, length)) = parsed else {
                return Ok(at);
            };
            let head = cursor.position() as usize;
            self.check(&header, length, max)?;
            // `check` bounded the length by `max`.
            let (start, end) = (at + head, at + head + length as usize);
            let Some(payload) = input.get_mut(start..end) else {
                return Ok(at);
            };
            let Some(mask) = header.mask else {
                return Err(FrameError::Protocol("a frame from a client is not masked"));
            };
            unmask(payload, mask);
            out.extend(self.accept(&header, payload)?);
            at = end;
        }
    }

    fn check(&self, header: &FrameHeader, length: u64, max: usize) -> Result<(), FrameError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(FrameError::Protocol("a frame has a reserved bit set"));
        }
        if let OpCode::Control(_) = header.opcode {
            return match (header.is_final, length <= MAX_CONTROL) {
                (true, true) => Ok(()),
                (false, _) => Err(FrameError::Protocol("a control frame is fragmented")),
                (_, false) => Err(FrameError::Protocol("a control frame is too long")),
            };
        }
        let before = self.fragments.as_ref().map_or(0, |f| f.payload.len());
        if length > max.saturating_sub(before) as u64 {
            return Err(FrameError::TooBig);
        }
        match (&header.opcode, &self.fragments) {
            (OpCode::Data(Data::Continue), None) => {
                Err(FrameError::Protocol("a continuation has no beginning"))
            }
            (OpCode::Data(Data::Text | Data::Binary), Some(_)) => Err(FrameError::Protocol(
                "a message began within a fragmented one",
            )),
            _ => Ok(()),
        }
    }

    fn accept(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Inbound>, FrameError> {
        let text = match header.opcode {
            OpCode::Control(Control::Ping) => return Ok(Some(Inbound::Ping(payload.to_vec()))),
            OpCode::Control(Control::Pong) => return Ok(Some(Inbound::Pong)),
            OpCode::Control(_) => return close(payload).map(Some),
            OpCode::Data(Data::Text) => true,
            OpCode::Data(_) => false,
        };
        match (self.fragments.take(), header.is_final) {
            (None, true) => message(text, payload.to_vec()).map(Some),
            (None, false) => {
                let payload = payload.to_vec();
                self.fragments = Some(Box::new(Fragments { text, payload }));
                Ok(None)
            }
            (Some(mut begun), last) => {
                begun.payload.extend_from_slice(payload);
                if last {
                    return message(begun.text, begun.payload).map(Some);
                }
                self.fragments = Some(begun);
                Ok(None)
            }
        }
    }
}

fn message(text: bool, payload: Vec<u8>) -> Result<Inbound, FrameError> {
    if !text {
        return Ok(Inbound::Binary(payload));
    }
    String::from_utf8(payload)
        .map(Inbound::Text)
        .map_err(|_| FrameError::NotText)
}

fn close(payload: &[u8]) -> Result<Inbound, FrameError> {
    match payload {
        [] => Ok(Inbound::Close(None)),
        [_] => Err(FrameError::Protocol("a close frame has half a code")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(code).is_allowed() {
                return Err(FrameError::Protocol(
                    "a close frame has a code that may not be sent",
                ));
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(FrameError::NotText);
            }
            Ok(Inbound::Close(Some(code)))
        }
    }
}

/// XORs with the mask, a word at a time (RFC 6455 section 5.3).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*word) {
            word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends the header of an unfragmented, unmasked frame. `compressed` marks a message of RFC 7692.
fn header(opcode: OpCode, compressed: bool, length: usize, out: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode,
        rsv1: compressed,
        ..FrameHeader::default()
    };
    // Writing into a Vec does not fail.
    let _ = header.format(length as u64, out);
}

fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
    header(opcode, false, payload.len(), &mut out);
    out.extend_from_slice(payload);
    out.into()
}

/// Appends the header of a text or binary message with `length` bytes of payload.
pub fn message_header(binary: bool, compressed: bool, length: usize, out: &mut Vec<u8>) {
    let kind = if binary { Data::Binary } else { Data::Text };
    header(OpCode::Data(kind), compressed, length, out);
}

/// A ping without payload.
pub fn ping() -> Bytes {
    frame(OpCode::Control(Control::Ping), &[])
}

/// The answer to a ping: its payload, at most 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Pong), payload)
}

/// A close frame. Codes that may not stand in a frame (1005, 1006) give one without code.
pub fn closing(code: u16, reason: &str) -> Bytes {
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

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            n if n < 126 => out.push(0x80 | n as u8),
            n if n < 65_536 => {
                out.push(0x80 | 126);
                out.extend((n as u16).to_be_bytes());
            }
            n => {
                out.push(0x80 | 127);
                out.extend((n as u64).to_be_bytes());
            }
        }
        out.extend(MASK);
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, k)| b ^ k));
        out
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Inbound>, FrameError> {
        let mut out = Vec::new();
        Decoder::default().push(&mut bytes.to_vec(), 1_000, &mut out)?;
        Ok(out)
    }

    #[test]
    fn the_example_of_the_rfc_is_read() {
        let hello = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(decode(&hello), Ok(vec![Inbound::Text("Hello".into())]));
    }

    #[test]
    fn a_message_is_the_same_however_it_is_cut() {
        let mut bytes = masked(0x01, "Grüße ".as_bytes());
        bytes.extend(masked(0x89, b"in between"));
        bytes.extend(masked(0x80, &"aus 長崎".repeat(20).into_bytes()));
        bytes.extend(masked(0x88, &[0x03, 0xe8]));
        let whole = decode(&bytes).unwrap();
        assert_eq!(
            whole,
            vec![
                Inbound::Ping(b"in between".to_vec()),
                Inbound::Text(format!("Grüße {}", "aus 長崎".repeat(20))),
                Inbound::Close(Some(1000)),
            ]
        );
        for size in 1..bytes.len() {
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(size) {
                decoder.push(&mut piece.to_vec(), 1_000, &mut out).unwrap();
            }
            assert_eq!(out, whole, "in pieces of {size}");
            assert_eq!(
                decoder.partial.capacity(),
                0,
                "an idle decoder holds nothing"
            );
        }
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        let protocol = |bytes: &[u8]| matches!(decode(bytes), Err(FrameError::Protocol(_)));
        assert!(protocol(&[0x81, 0x01, b'x']), "not masked");
        assert!(protocol(&masked(0xc1, b"x")), "reserved bit");
        assert!(protocol(&masked(0x83, b"x")), "reserved opcode");
        assert!(protocol(&masked(0x80, b"x")), "continuation first");
        assert!(protocol(&masked(0x09, b"x")), "fragmented ping");
        assert!(protocol(&masked(0x89, &[0; 126])), "long ping");
        assert!(protocol(&masked(0x88, &[3])), "half a close code");
        assert!(protocol(&masked(0x88, &[0x03, 0xed])), "close code 1005");
        let nested = [masked(0x01, b"a"), masked(0x81, b"b")].concat();
        assert!(protocol(&nested), "message within a message");
        assert_eq!(decode(&masked(0x81, &[0xff])), Err(FrameError::NotText));
        let bad_reason = masked(0x88, &[0x03, 0xe8, 0xff]);
        assert_eq!(decode(&bad_reason), Err(FrameError::NotText));
    }

    #[test]
    fn a_message_too_big_is_refused_before_it_is_buffered() {
        let header = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        assert_eq!(decode(&header), Err(FrameError::TooBig));
        assert_eq!(
            decode(&[
                0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4
            ]),
            Err(FrameError::TooBig)
        );
        let fragments = [masked(0x01, &[b'a'; 600]), masked(0x80, &[b'a'; 600])].concat();
        assert_eq!(decode(&fragments), Err(FrameError::TooBig));
        assert!(decode(&masked(0x81, &[b'a'; 1_000])).is_ok());
    }

    #[test]
    fn a_close_frame_carries_code_and_reason() {
        assert_eq!(&closing(4008, "slow")[..], b"\x88\x06\x0f\xa8slow");
        assert_eq!(&closing(1006, "")[..], b"\x88\x00");
        assert_eq!(closing(4000, &"ü".repeat(200)).len(), 2 + 2 + 122);
    }
}
