//! Decodes a log into the JSON of the event's arguments.
//!
//! Integers are decimal strings, addresses are checksummed (EIP-55), bytes are 0x-hex and tuples are objects. An
//! indexed value of a dynamic type is `{"hash": "0x…"}`. Invalid UTF-8 and NUL, which Postgres does not accept, become
//! U+FFFD. A word out of range for its type makes the log fail to decode.

use std::fmt::Write;

use alloy::primitives::{I256, hex};

use super::shape::{EventShape, Kind, ParamShape};
use chaincast_protocol::{Address, B256, U256};

const WORD: usize = 32;
/// Limit of the decoded text in bytes: offsets can point many values at the same data.
const MIN_OUTPUT_BYTES: usize = 1 << 20;
const OUTPUT_PER_INPUT_BYTE: usize = 16;

/// The log does not match the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecodeError;

impl EventShape {
    /// The arguments of a log as one JSON object, in the order of the ABI.
    pub(super) fn decode(&self, topics: &[B256], data: &[u8]) -> Result<String, DecodeError> {
        let [_, indexed @ ..] = topics else {
            return Err(DecodeError);
        };
        if !self.matches_topics(topics) {
            return Err(DecodeError);
        }
        let limit = data
            .len()
            .saturating_mul(OUTPUT_PER_INPUT_BYTE)
            .max(MIN_OUTPUT_BYTES);
        let mut reader = ArgumentWriter {
            data,
            out: String::new(),
            limit,
        };
        reader.event(&self.params, indexed)?;
        Ok(reader.out)
    }

    /// The address in a parameter.
    pub(super) fn address_in(
        &self,
        position: usize,
        topics: &[B256],
        data: &[u8],
    ) -> Result<Address, DecodeError> {
        // An incomplete event announces nothing.
        self.decode(topics, data)?;
        let before = self.params.get(..position).ok_or(DecodeError)?;
        let word = if self.params.get(position).is_some_and(|param| param.indexed) {
            let topic = 1 + before.iter().filter(|param| param.indexed).count();
            *topics.get(topic).ok_or(DecodeError)?
        } else {
            let at = before
                .iter()
                .filter(|param| !param.indexed)
                .map(|param| param.kind.head())
                .sum::<usize>();
            B256::from_slice(data.get(at..at + WORD).ok_or(DecodeError)?)
        };
        Ok(Address::from_word(word))
    }
}

struct ArgumentWriter<'a> {
    data: &'a [u8],
    out: String,
    limit: usize,
}

impl ArgumentWriter<'_> {
    fn event(&mut self, params: &[ParamShape], mut topics: &[B256]) -> Result<(), DecodeError> {
        self.out.push('{');
        let mut head = 0;
        for (position, param) in params.iter().enumerate() {
            self.key(position, &param.key)?;
            if param.indexed {
                let (topic, rest) = topics.split_first().ok_or(DecodeError)?;
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

    /// A member of the value that starts at `frame`; `head` is the position of its head.
    fn member(&mut self, kind: &Kind, frame: usize, head: &mut usize) -> Result<(), DecodeError> {
        let at = if kind.is_dynamic() {
            frame.checked_add(self.number(*head)?).ok_or(DecodeError)?
        } else {
            *head
        };
        *head = head.checked_add(kind.head()).ok_or(DecodeError)?;
        self.value(kind, at)
    }

    /// The value at position `at`.
    fn value(&mut self, kind: &Kind, at: usize) -> Result<(), DecodeError> {
        match kind {
            Kind::Bytes | Kind::String => {
                let length = self.number(at)?;
                let begin = at.checked_add(WORD).ok_or(DecodeError)?;
                let end = begin.checked_add(length).ok_or(DecodeError)?;
                let bytes = self.data.get(begin..end).ok_or(DecodeError)?;
                if self.out.len().saturating_add(2 * bytes.len()) > self.limit {
                    return Err(DecodeError);
                }
                match kind {
                    Kind::Bytes => self.hex(bytes),
                    _ => self.quoted(&String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}"))?,
                }
            }
            Kind::Array(of) => {
                let count = self.number(at)?;
                self.list(of, count, at.checked_add(WORD).ok_or(DecodeError)?)?;
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
                let end = at.checked_add(WORD).ok_or(DecodeError)?;
                let bytes = self.data.get(at..end).ok_or(DecodeError)?;
                self.word(word, &B256::from_slice(bytes))?;
            }
        }
        if self.out.len() > self.limit {
            return Err(DecodeError);
        }
        Ok(())
    }

    fn list(&mut self, of: &Kind, count: usize, frame: usize) -> Result<(), DecodeError> {
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

    /// A value of one word, in data or in a topic.
    fn word(&mut self, kind: &Kind, word: &B256) -> Result<(), DecodeError> {
        match kind {
            Kind::Uint(bits) => {
                let value = U256::from_be_bytes(word.0);
                if value.bit_len() > *bits {
                    return Err(DecodeError);
                }
                self.text(format_args!("\"{value}\""));
            }
            Kind::Int(bits) => {
                let value = I256::from_be_bytes(word.0);
                if value.bits() as usize > *bits {
                    return Err(DecodeError);
                }
                self.text(format_args!("\"{value}\""));
            }
            Kind::Bool => match U256::from_be_bytes(word.0).try_into() {
                Ok(0_u8) => self.out.push_str("false"),
                Ok(1) => self.out.push_str("true"),
                _ => return Err(DecodeError),
            },
            Kind::Address => {
                if word[..12].iter().any(|&byte| byte != 0) {
                    return Err(DecodeError);
                }
                self.text(format_args!("\"{}\"", Address::from_word(*word)));
            }
            Kind::FixedBytes(size) => {
                let (value, padding) = word.split_at_checked(*size).ok_or(DecodeError)?;
                if padding.iter().any(|&byte| byte != 0) {
                    return Err(DecodeError);
                }
                self.hex(value);
            }
            _ => return Err(DecodeError),
        }
        Ok(())
    }

    /// An offset, length or count. The caller rejects one that exceeds the data.
    fn number(&self, at: usize) -> Result<usize, DecodeError> {
        let end = at.checked_add(WORD).ok_or(DecodeError)?;
        let word = self.data.get(at..end).ok_or(DecodeError)?;
        U256::from_be_slice(word)
            .try_into()
            .map_err(|_| DecodeError)
    }

    fn key(&mut self, position: usize, key: &str) -> Result<(), DecodeError> {
        if position > 0 {
            self.out.push(',');
        }
        self.quoted(key)?;
        self.out.push(':');
        Ok(())
    }

    fn quoted(&mut self, text: &str) -> Result<(), DecodeError> {
        let quoted = serde_json::to_string(text).map_err(|_| DecodeError)?;
        self.out.push_str(&quoted);
        Ok(())
    }

    fn hex(&mut self, bytes: &[u8]) {
        let digits = hex::encode_prefixed(bytes);
        self.text(format_args!("\"{digits}\""));
    }

    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        self.out.write_fmt(text).ok();
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
