//! One client connection: a handshake script, then counting frames by their headers.

use std::{io::Write, net::TcpStream};

use crate::{
    load::Wire,
    message,
    script::{Script, Step},
};

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Engine.IO's own ping and pong, each a text of one byte.
const ENGINE_PING: &[u8] = b"2";
const ENGINE_PONG: &[u8] = b"3";

/// No response may contain this.
const REFUSAL: &[u8] = br#""success":false"#;

/// The result of reading.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    Fine,
    /// The server ended the session.
    End,
}

pub struct Connection {
    stream: TcpStream,
    wire: Wire,
    /// What the server has to send next before it is ready; empty once ready.
    expected: Vec<u8>,
    later: std::vec::IntoIter<Step>,
    /// Whether the HTTP response's head has not arrived yet.
    in_head: bool,
    ready: bool,
    /// Bytes of an incomplete frame.
    rest: Vec<u8>,
    /// Bytes of a payload that are skipped.
    skip: usize,
    /// Updates that arrived since it became ready.
    pub frames: u32,
    pub close_code: Option<u16>,
}

impl Connection {
    pub fn new(stream: TcpStream, script: Script) -> Self {
        let mut connection = Self {
            stream,
            wire: script.wire,
            expected: Vec::new(),
            later: script.steps.into_iter(),
            in_head: script.wire != Wire::Raw,
            ready: false,
            rest: Vec::new(),
            skip: 0,
            frames: 0,
            close_code: None,
        };
        connection.next_step();
        connection
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Sends one more step; it is ready again once the response has arrived.
    pub fn send_step(&mut self, step: Step) {
        self.later = vec![step].into_iter();
        self.ready = false;
        self.next_step();
    }

    fn next_step(&mut self) {
        match self.later.next() {
            None => {
                self.ready = true;
                self.expected = Vec::new();
            }
            Some(step) => {
                self.write(&step.send);
                self.expected = step.expect;
                self.ready = false;
            }
        }
    }

    /// Small requests always fit into an empty send buffer.
    fn write(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            // A disconnected server is noticed when reading.
            self.stream.write_all(bytes).ok();
        }
    }

    pub fn process(&mut self, bytes: &[u8]) -> ReadOutcome {
        if self.skip >= bytes.len() {
            self.skip -= bytes.len();
            return ReadOutcome::Fine;
        }
        let fresh = &bytes[self.skip..];
        self.skip = 0;
        if self.rest.is_empty() {
            let (seen, used) = self.parse_frames(fresh);
            self.rest.extend_from_slice(&fresh[used..]);
            seen
        } else {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(fresh);
            let (seen, used) = self.parse_frames(&joined);
            if used < joined.len() {
                joined.drain(..used);
                self.rest = joined;
            }
            seen
        }
    }

    /// Consumes complete frames; returns how many bytes they were.
    fn parse_frames(&mut self, bytes: &[u8]) -> (ReadOutcome, usize) {
        let mut at = 0;
        if self.in_head {
            let Some(end) = find(bytes, b"\r\n\r\n") else {
                return (ReadOutcome::Fine, 0);
            };
            at = end + 4;
            if find(&bytes[..at], &self.expected).is_none() {
                eprintln!("refused: {}", String::from_utf8_lossy(&bytes[..at]));
                return (ReadOutcome::End, at);
            }
            self.in_head = false;
            self.next_step();
        }
        if self.wire == Wire::Sse {
            // Only idle streams are measured: nothing in them is counted.
            return (ReadOutcome::Fine, bytes.len());
        }
        while let Some((opcode, start, length)) = header(&bytes[at..]) {
            let (start, end) = (at + start, at + start + length);
            let whole = end <= bytes.len();
            // While not ready, and for frames that need a response, the payload is needed.
            let needed = !self.ready || opcode != TEXT || length == ENGINE_PING.len();
            if needed && !whole {
                break;
            }
            if needed {
                let payload = &bytes[start..end];
                if self.handle_payload(opcode, payload) == ReadOutcome::End {
                    return (ReadOutcome::End, end);
                }
            } else {
                self.frames += 1;
            }
            if !whole {
                self.skip = end - bytes.len();
                return (ReadOutcome::Fine, bytes.len());
            }
            at = end;
        }
        (ReadOutcome::Fine, at)
    }

    fn handle_payload(&mut self, opcode: u8, payload: &[u8]) -> ReadOutcome {
        match opcode {
            CLOSE => {
                let code = payload.first_chunk::<2>();
                self.close_code = code.map(|code| u16::from_be_bytes(*code));
                return ReadOutcome::End;
            }
            PING => self.write(&message::masked(PONG, payload)),
            TEXT if payload == ENGINE_PING && self.wire == Wire::SocketIo => {
                self.write(&message::masked(TEXT, ENGINE_PONG));
            }
            TEXT if self.ready => self.frames += 1,
            TEXT if find(payload, REFUSAL).is_some() => {
                panic!(
                    "a request was rejected: {}",
                    String::from_utf8_lossy(payload)
                );
            }
            TEXT if find(payload, &self.expected).is_some() => self.next_step(),
            _ => {}
        }
        ReadOutcome::Fine
    }
}

/// Opcode of a server's frame, offset of its payload, and the payload's length; `None` when the header is incomplete.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match second {
        126 => (
            4,
            usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        ),
        127 => (
            10,
            u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize,
        ),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start).then_some((first & 0x0f, start, length))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    bytes.windows(part.len()).position(|window| window == part)
}
