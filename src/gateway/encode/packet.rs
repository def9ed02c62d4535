//! Encoded bytes on their way to a session.

use std::cell::RefCell;

use bytes::Bytes;

use crate::gateway::{
    deflate::Deflate,
    frame::{self, MAX_HEADER},
};

/// Most bytes that a thread keeps for encoding when it is not.
const KEPT: usize = 1 << 18;

thread_local! {
    /// Where a payload is written before its length is known, and where it is compressed.
    static PAYLOAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static COMPRESSED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Encoded bytes: for websockets a whole frame, of which the payload is a part. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    bytes: Bytes,
    /// Length of the WebSocket header in front of the payload.
    header: u8,
    binary: bool,
}

impl Packet {
    /// A WebSocket text frame around `text`; over polling only the text is sent.
    pub fn text(text: &str) -> Self {
        Self::frame(false, false, text.as_bytes())
    }

    /// A WebSocket binary frame around `payload`.
    pub fn binary(payload: &[u8]) -> Self {
        Self::frame(true, false, payload)
    }

    /// As [`Self::text`], of what `write` appends, which must be UTF-8. It must not make packets itself.
    pub(super) fn write_text(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::write(false, write)
    }

    /// As [`Self::binary`], of what `write` appends. It must not make packets itself.
    pub(super) fn write_binary(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self::write(true, write)
    }

    /// One allocation of just the right size, whatever grew before it was known.
    fn write(binary: bool, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        with(&PAYLOAD, |payload| {
            payload.clear();
            write(payload);
            Self::frame(binary, false, payload)
        })
    }

    fn frame(binary: bool, compressed: bool, payload: &[u8]) -> Self {
        let mut out = Vec::with_capacity(frame_length(payload.len()));
        frame::message_header(binary, compressed, payload.len(), &mut out);
        let header = out.len() as u8;
        out.extend_from_slice(payload);
        Self {
            bytes: out.into(),
            header,
            binary,
        }
    }

    /// Bytes that are sent as they are: a control frame, or a part of an event stream.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            header: 0,
            binary: false,
        }
    }

    /// These bytes as one chunk of HTTP/1.1 (RFC 9112 section 7.1). None is the last one: that is [`Self::last_chunk`].
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

    /// The empty chunk that says that nothing is missing.
    pub fn last_chunk() -> Self {
        Self::raw(Bytes::from_static(b"0\r\n\r\n"))
    }

    /// The same message compressed, or as it is when that would not make it shorter. Only for what is framed as a
    /// message and not compressed yet.
    pub fn deflated(&self, deflate: Deflate) -> Self {
        if self.header == 0 {
            return self.clone();
        }
        let payload = &self.bytes[usize::from(self.header)..];
        with(&COMPRESSED, |compressed| {
            if deflate.compress(payload, compressed) {
                Self::frame(self.binary, true, compressed)
            } else {
                self.clone()
            }
        })
    }

    /// What a socket sends.
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
        if buffer.capacity() > KEPT {
            *buffer = Vec::new();
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_sends_the_payload_with_its_header_in_front() {
        let packet = Packet::text("2");
        assert_eq!(&packet.framed()[..], b"\x81\x012");
        assert_eq!(&packet.payload()[..], b"2");
        assert_eq!(&Packet::binary(b"2").framed()[..], b"\x82\x012");
        for length in [0, 125, 126, 65_535, 65_536, 70_000] {
            let packet = Packet::text(&"x".repeat(length));
            assert_eq!(packet.framed().len(), frame_length(length));
            assert_eq!(packet.payload().len(), length);
        }
    }

    #[test]
    fn only_messages_that_get_shorter_are_compressed_and_keep_their_opcode() {
        let deflate = Deflate::new(64);
        let long = "all the same ".repeat(20);
        let text = Packet::text(&long).deflated(deflate);
        assert_eq!((text.framed()[0], text.len() < 60), (0xc1, true));
        let binary = Packet::binary(long.as_bytes()).deflated(deflate);
        assert_eq!(binary.framed()[0], 0xc2);
        assert_eq!(binary.payload(), text.payload());
        let short = Packet::text("all the same");
        assert_eq!(short.deflated(deflate), short);
        let control = Packet::raw(vec![0x89; 100]);
        assert_eq!(control.deflated(deflate), control);
    }
}
