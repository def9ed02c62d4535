//! One client connection: what is said until it is ready, then a walk over frame headers.

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

/// What no answer may say.
const REFUSAL: &[u8] = br#""success":false"#;

/// What reading led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Fine,
    /// The server ended the session.
    End,
}

pub struct Connection {
    stream: TcpStream,
    wire: Wire,
    /// What has to be seen next until it is ready; empty then.
    expected: Vec<u8>,
    later: std::vec::IntoIter<Step>,
    /// Whether the HTTP response's head is still to come.
    in_head: bool,
    ready: bool,
    /// Bytes of a frame of which more is to come.
    rest: Vec<u8>,
    /// Bytes of a payload that are passed over.
    skip: usize,
    /// Updates that came since it is ready.
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

    /// One more thing to say, after which it is ready when the answer came.
    pub fn take(&mut self, step: Step) {
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
                self.say(&step.say);
                self.expected = step.expect;
                self.ready = false;
            }
        }
    }

    /// Small requests always fit into an empty send buffer.
    fn say(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            // A server that has gone is noticed when reading.
            self.stream.write_all(bytes).ok();
        }
    }

    pub fn take_in(&mut self, bytes: &[u8]) -> Seen {
        if self.skip >= bytes.len() {
            self.skip -= bytes.len();
            return Seen::Fine;
        }
        let fresh = &bytes[self.skip..];
        self.skip = 0;
        if self.rest.is_empty() {
            let (seen, used) = self.walk(fresh);
            self.rest.extend_from_slice(&fresh[used..]);
            seen
        } else {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(fresh);
            let (seen, used) = self.walk(&joined);
            if used < joined.len() {
                joined.drain(..used);
                self.rest = joined;
            }
            seen
        }
    }

    /// Takes what is whole; returns how much that was.
    fn walk(&mut self, bytes: &[u8]) -> (Seen, usize) {
        let mut at = 0;
        if self.in_head {
            let Some(end) = find(bytes, b"\r\n\r\n") else {
                return (Seen::Fine, 0);
            };
            at = end + 4;
            if find(&bytes[..at], &self.expected).is_none() {
                eprintln!("refused: {}", String::from_utf8_lossy(&bytes[..at]));
                return (Seen::End, at);
            }
            self.in_head = false;
            self.next_step();
        }
        if self.wire == Wire::Sse {
            // Only idle streams are measured: nothing in them is counted.
            return (Seen::Fine, bytes.len());
        }
        while let Some((opcode, start, length)) = header(&bytes[at..]) {
            let (start, end) = (at + start, at + start + length);
            let whole = end <= bytes.len();
            // While not ready, and for what has to be answered, the payload is needed.
            let needed = !self.ready || opcode != TEXT || length == ENGINE_PING.len();
            if needed && !whole {
                break;
            }
            if needed {
                let payload = &bytes[start..end];
                if self.look_at(opcode, payload) == Seen::End {
                    return (Seen::End, end);
                }
            } else {
                self.frames += 1;
            }
            if !whole {
                self.skip = end - bytes.len();
                return (Seen::Fine, bytes.len());
            }
            at = end;
        }
        (Seen::Fine, at)
    }

    fn look_at(&mut self, opcode: u8, payload: &[u8]) -> Seen {
        match opcode {
            CLOSE => {
                let code = payload.first_chunk::<2>();
                self.close_code = code.map(|code| u16::from_be_bytes(*code));
                return Seen::End;
            }
            PING => self.say(&message::masked(PONG, payload)),
            TEXT if payload == ENGINE_PING && self.wire == Wire::SocketIo => {
                self.say(&message::masked(TEXT, ENGINE_PONG));
            }
            TEXT if self.ready => self.frames += 1,
            TEXT if find(payload, REFUSAL).is_some() => {
                panic!(
                    "a request was refused: {}",
                    String::from_utf8_lossy(payload)
                );
            }
            TEXT if find(payload, &self.expected).is_some() => self.next_step(),
            _ => {}
        }
        Seen::Fine
    }
}

/// Opcode of a server's frame, and where its payload starts and how long it is; `None` when the header is cut.
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
