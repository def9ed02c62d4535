//! Packets: encoded bytes to be sent to a session.

use std::cell::RefCell;

use bytes::Bytes;

use crate::{
    deflate::Deflate,
    frame::{self, Compression, MAX_HEADER, Payload},
};

/// Maximum capacity of a thread's encoding buffer between uses, in bytes.
const MAX_IDLE_CAPACITY: usize = 1 << 18;

thread_local! {
    /// Buffers for a payload of unknown length, and for its compressed form.
    static PAYLOAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Encoded bytes. For WebSockets a whole frame, including header and payload. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    bytes: Bytes,
    /// Length of the WebSocket header in front of the payload.
    header: u8,
    kind: Payload,
}

impl Packet {
    /// A WebSocket text frame with `text`; over polling only the text is sent.
    pub fn text(text: &str) -> Self {
        Self::frame(Payload::Text, Compression::None, text.as_bytes())
    }

    /// As [`Self::text`], with the bytes that `write` appends, which must be UTF-8. `write` must not create packets.
    pub(super) fn write_text(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::write(Payload::Text, write)
    }

    /// A WebSocket binary frame with the bytes that `write` appends. `write` must not create packets.
    pub(super) fn write_binary(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::write(Payload::Binary, write)
    }

    /// Writes to the thread's buffer first, so that the packet needs one allocation of the exact size.
    fn write(kind: Payload, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        with(&PAYLOAD, |payload| {
            payload.clear();
            write(payload);
            Self::frame(kind, Compression::None, payload)
        })
    }

    fn frame(kind: Payload, compression: Compression, payload: &[u8]) -> Self {
        let mut out = Vec::with_capacity(frame_length(payload.len()));
        frame::message_header(kind, compression, payload.len(), &mut out);
        let header = out.len() as u8;
        out.extend_from_slice(payload);
        Self {
            bytes: out.into(),
            header,
            kind,
        }
    }

    /// Bytes sent unchanged: a control frame, or a part of an event stream.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            header: 0,
            kind: Payload::Binary,
        }
    }

    /// These bytes as one HTTP/1.1 chunk (RFC 9112 section 7.1). An empty packet stays empty, because an empty chunk would
    /// be the last one: see [`Self::last_chunk`].
    pub fn chunk(&self) -> Self {
        if self.bytes.is_empty() {
            return self.clone();
        }
        let size = format!("{:x}\r\n", self.bytes.len());
        let mut chunk = Vec::with_capacity(size.len() + self.bytes.len() + 2);
        chunk.extend_from_slice(size.as_bytes());
        chunk.extend_from_slice(&self.bytes);
        chunk.extend_from_slice(b"\r\n");
        Self::raw(chunk)
    }

    /// The last chunk, which marks the body as complete.
    pub fn last_chunk() -> Self {
        Self::raw(Bytes::from_static(b"0\r\n\r\n"))
    }

    /// The same message compressed, or unchanged when compression would not make it shorter. Raw packets stay unchanged.
    /// The message must not be compressed yet.
    pub fn deflated(&self, deflate: Deflate) -> Self {
        if self.header == 0 {
            return self.clone();
        }
        let payload = &self.bytes[usize::from(self.header)..];
        with(&COMPRESSED, |compressed| {
            if deflate.compress(payload, compressed) {
                Self::frame(self.kind, Compression::Deflate, compressed)
            } else {
                self.clone()
            }
        })
    }

    /// The bytes for a socket.
    pub fn framed(&self) -> &Bytes {
        &self.bytes
    }

    /// The payload without the WebSocket header.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(usize::from(self.header)..)
    }

    /// Bytes that count against the backlog.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Length of a frame from the server (RFC 6455 section 5.2).
fn frame_length(payload: usize) -> usize {
    payload
        + match payload {
            0..126 => 2,
            126..65_536 => 4,
            _ => MAX_HEADER,
        }
}

fn with<R>(
    buffer: &'static std::thread::LocalKey<RefCell<Vec<u8>>>,
    work: impl FnOnce(&mut Vec<u8>) -> R,
) -> R {
    buffer.with_borrow_mut(|buffer| {
        let result = work(buffer);
        if buffer.capacity() > MAX_IDLE_CAPACITY {
            *buffer = Vec::new();
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(payload: &[u8]) -> Packet {
        Packet::write_binary(|out| out.extend_from_slice(payload))
    }

    #[test]
    fn frame_is_header_and_payload() {
        let packet = Packet::text("2");
        assert_eq!(&packet.framed()[..], b"\x81\x012");
        assert_eq!(&packet.payload()[..], b"2");
        assert_eq!(&binary(b"2").framed()[..], b"\x82\x012");
        for length in [0, 125, 126, 65_535, 65_536, 70_000] {
            let packet = Packet::text(&"x".repeat(length));
            assert_eq!(packet.framed().len(), frame_length(length));
            assert_eq!(packet.payload().len(), length);
        }
    }

    #[test]
    fn deflated_keeps_the_opcode_and_only_shrinks() {
        let deflate = Deflate::new(64);
        let long = "all the same ".repeat(20);
        let text = Packet::text(&long).deflated(deflate);
        assert_eq!((text.framed()[0], text.len() < 60), (0xc1, true));
        let bytes = binary(long.as_bytes()).deflated(deflate);
        assert_eq!(bytes.framed()[0], 0xc2);
        assert_eq!(bytes.payload(), text.payload());
        let short = Packet::text("all the same");
        assert_eq!(short.deflated(deflate), short);
        let control = Packet::raw(vec![0x89; 100]);
        assert_eq!(control.deflated(deflate), control);
    }
}
