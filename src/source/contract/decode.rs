//! From a log to the JSON of an event's arguments.
//!
//! Whole numbers are decimal strings whatever their size, addresses are checksummed (EIP-55), bytes are 0x-hex, tuples
//! are objects, and an indexed value of a type that does not fit a topic is `{"hash": "0x…"}`. A text that is not UTF-8
//! gets U+FFFD for what is not, and for NUL, which Postgres does not take. A word that its type cannot hold makes the
//! log one of another event.

use std::fmt::Write;

use alloy::primitives::{I256, hex};

use super::shape::{EventShape, Kind, ParamShape};
use crate::model::{Address, B256, U256};

const WORD: usize = 32;
/// What a log's arguments may become, in bytes: offsets can point many values at the same data.
const LEAST_ROOM: usize = 1 << 20;
const ROOM_FOR_EACH_BYTE: usize = 16;

/// The log is not what the ABI says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotThis;

impl EventShape {
    /// The arguments that a log has, as the text of one JSON object in the order of the ABI.
    pub(super) fn decode(&self, topics: &[B256], data: &[u8]) -> Result<String, NotThis> {
        let [_, indexed @ ..] = topics else {
            return Err(NotThis);
        };
        if !self.fits(topics) {
            return Err(NotThis);
        }
        let room = data
            .len()
            .saturating_mul(ROOM_FOR_EACH_BYTE)
            .max(LEAST_ROOM);
        let mut reader = Reader {
            data,
            out: String::new(),
            room,
        };
        reader.event(&self.params, indexed)?;
        Ok(reader.out)
    }

    /// The address that a parameter holds.
    pub(super) fn address_in(
        &self,
        position: usize,
        topics: &[B256],
        data: &[u8],
    ) -> Result<Address, NotThis> {
        // What is no whole event announces nothing.
        self.decode(topics, data)?;
        let before = self.params.get(..position).ok_or(NotThis)?;
        let word = if self.params.get(position).is_some_and(|param| param.indexed) {
            let topic = 1 + before.iter().filter(|param| param.indexed).count();
            *topics.get(topic).ok_or(NotThis)?
        } else {
            let at = before
                .iter()
                .filter(|param| !param.indexed)
                .map(|param| param.kind.head())
                .sum::<usize>();
            B256::from_slice(data.get(at..at + WORD).ok_or(NotThis)?)
        };
        Ok(Address::from_word(word))
    }
}

struct Reader<'a> {
    data: &'a [u8],
    out: String,
    room: usize,
}

impl Reader<'_> {
    fn event(&mut self, params: &[ParamShape], mut topics: &[B256]) -> Result<(), NotThis> {
        self.out.push('{');
        let mut head = 0;
        for (position, param) in params.iter().enumerate() {
            self.key(position, &param.key)?;
            if param.indexed {
                let (topic, rest) = topics.split_first().ok_or(NotThis)?;
                topics = rest;
                if param.kind.is_hashed() {
                    self.text(format_args!("{{\"hash\":\"{topic}\"}}"));
                } else {
                    self.word(&param.kind, topic)?;
                }
            } else {
                self.member(&param.kind, 0, &mut head)?;
            }
        }
        self.out.push('}');
        Ok(())
    }

    /// A member of what begins at `frame`, whose head stands at `head`.
    fn member(&mut self, kind: &Kind, frame: usize, head: &mut usize) -> Result<(), NotThis> {
        let at = if kind.is_dynamic() {
            frame.checked_add(self.number(*head)?).ok_or(NotThis)?
        } else {
            *head
        };
        *head = head.checked_add(kind.head()).ok_or(NotThis)?;
        self.value(kind, at)
    }

    /// The value that stands at `at`.
    fn value(&mut self, kind: &Kind, at: usize) -> Result<(), NotThis> {
        match kind {
            Kind::Bytes | Kind::String => {
                let length = self.number(at)?;
                let begin = at.checked_add(WORD).ok_or(NotThis)?;
                let end = begin.checked_add(length).ok_or(NotThis)?;
                let bytes = self.data.get(begin..end).ok_or(NotThis)?;
                if self.out.len().saturating_add(2 * bytes.len()) > self.room {
                    return Err(NotThis);
                }
                match kind {
                    Kind::Bytes => self.hex(bytes),
                    _ => self.quoted(&String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}"))?,
                }
            }
            Kind::Array(of) => {
                let count = self.number(at)?;
                self.list(of, count, at.checked_add(WORD).ok_or(NotThis)?)?;
            }
            Kind::FixedArray(of, count) => self.list(of, *count, at)?,
            Kind::Tuple(members) => {
                self.out.push('{');
                let mut head = at;
                for (position, (key, kind)) in members.iter().enumerate() {
                    self.key(position, key)?;
                    self.member(kind, at, &mut head)?;
                }
                self.out.push('}');
            }
            word => {
                let end = at.checked_add(WORD).ok_or(NotThis)?;
                let bytes = self.data.get(at..end).ok_or(NotThis)?;
                self.word(word, &B256::from_slice(bytes))?;
            }
        }
        if self.out.len() > self.room {
            return Err(NotThis);
        }
        Ok(())
    }

    fn list(&mut self, of: &Kind, count: usize, frame: usize) -> Result<(), NotThis> {
        self.out.push('[');
        let mut head = frame;
        for position in 0..count {
            if position > 0 {
                self.out.push(',');
            }
            self.member(of, frame, &mut head)?;
        }
        self.out.push(']');
        Ok(())
    }

    /// A value of one word, in data or as a topic.
    fn word(&mut self, kind: &Kind, word: &B256) -> Result<(), NotThis> {
        match kind {
            Kind::Uint(bits) => {
                let value = U256::from_be_bytes(word.0);
                if value.bit_len() > *bits {
                    return Err(NotThis);
                }
                self.text(format_args!("\"{value}\""));
            }
            Kind::Int(bits) => {
                let value = I256::from_be_bytes(word.0);
                if value.bits() as usize > *bits {
                    return Err(NotThis);
                }
                self.text(format_args!("\"{value}\""));
            }
            Kind::Bool => match U256::from_be_bytes(word.0).try_into() {
                Ok(0_u8) => self.out.push_str("false"),
                Ok(1) => self.out.push_str("true"),
                _ => return Err(NotThis),
            },
            Kind::Address => {
                if word[..12].iter().any(|&byte| byte != 0) {
                    return Err(NotThis);
                }
                self.text(format_args!("\"{}\"", Address::from_word(*word)));
            }
            Kind::FixedBytes(size) => {
                let (value, padding) = word.split_at_checked(*size).ok_or(NotThis)?;
                if padding.iter().any(|&byte| byte != 0) {
                    return Err(NotThis);
                }
                self.hex(value);
            }
            _ => return Err(NotThis),
        }
        Ok(())
    }

    /// An offset, a length or a count. What exceeds the data is refused where it is used.
    fn number(&self, at: usize) -> Result<usize, NotThis> {
        let end = at.checked_add(WORD).ok_or(NotThis)?;
        let word = self.data.get(at..end).ok_or(NotThis)?;
        U256::from_be_slice(word).try_into().map_err(|_| NotThis)
    }

    fn key(&mut self, position: usize, key: &str) -> Result<(), NotThis> {
        if position > 0 {
            self.out.push(',');
        }
        self.quoted(key)?;
        self.out.push(':');
        Ok(())
    }

    fn quoted(&mut self, text: &str) -> Result<(), NotThis> {
        let quoted = serde_json::to_string(text).map_err(|_| NotThis)?;
        self.out.push_str(&quoted);
        Ok(())
    }

    fn hex(&mut self, bytes: &[u8]) {
        let digits = hex::encode_prefixed(bytes);
        self.text(format_args!("\"{digits}\""));
    }

    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        // A String takes everything.
        self.out.write_fmt(text).ok();
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
