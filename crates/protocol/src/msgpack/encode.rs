//! Converts JSON text to MessagePack.
//!
//! Integers that fit into 64 bits stay integers. Every other number becomes a string with the same digits, because a
//! MessagePack float would round it; but within a value of a client ([`OPAQUE`]) it becomes a float, as clients expect of
//! their own values. Keys keep their order.

use rmp::encode::{
    write_array_len, write_bool, write_map_len, write_nil, write_sint, write_str, write_uint,
};

use super::{MAX_DEPTH, float};
use crate::{DECIMALS, OPAQUE};

/// The text is not a JSON value, or is nested too deeply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {0}")]
pub struct NotJson(pub usize);

/// Appends the JSON value `text`. After an error `out` is unchanged.
///
/// Prices and the like (`price`, `confidence`, `threshold`, `open`, `high`, `low`, `close`) are strings even for whole
/// numbers, so that their type never changes between messages. Within `payload` and `info`, which are the values of a client,
/// these rules do not apply.
pub fn from_json(text: &str, out: &mut Vec<u8>) -> Result<(), NotJson> {
    let before = out.len();
    let mut reader = JsonReader { text, at: 0, out };
    let read = reader.value(0, Numbers::Exact).and_then(|()| reader.end());
    if read.is_err() {
        out.truncate(before);
    }
    read
}

/// Appends a string.
pub fn string(text: &str, out: &mut Vec<u8>) {
    // Writing into a Vec does not fail.
    let _ = write_str(out, text);
}

/// Appends the header of a map with `entries` pairs.
pub fn map(entries: usize, out: &mut Vec<u8>) {
    // The number of entries is bounded by the message size, far below 2^32. Writing into a Vec does not fail.
    let _ = write_map_len(out, entries as u32);
}

struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    out: &'a mut Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Map,
    Array,
}

/// What numbers become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// Integers of 64 bits; every other one a string.
    Exact,
    /// Strings.
    Text,
    /// Integers of 64 bits; every other one a float. So is every number within.
    Opaque,
}

impl Numbers {
    /// For the value of this key in an object whose own numbers are `self`.
    fn of_key(self, key: &str) -> Self {
        match self {
            Self::Opaque => Self::Opaque,
            _ if OPAQUE.contains(&key) => Self::Opaque,
            _ if DECIMALS.contains(&key) => Self::Text,
            _ => Self::Exact,
        }
    }

    /// For the items of a list.
    fn of_items(self) -> Self {
        match self {
            Self::Opaque => Self::Opaque,
            Self::Exact | Self::Text => Self::Exact,
        }
    }
}

impl JsonReader<'_> {
    fn error<T>(&self) -> Result<T, NotJson> {
        Err(NotJson(self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Consumes the byte if it is next.
    fn consume(&mut self, byte: u8) -> bool {
        let matches = self.peek() == Some(byte);
        self.at += usize::from(matches);
        matches
    }

    fn end(&mut self) -> Result<(), NotJson> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.error(),
        }
    }

    fn value(&mut self, depth: usize, numbers: Numbers) -> Result<(), NotJson> {
        self.skip_space();
        // Writing into a Vec does not fail, so the results are ignored.
        match self.peek() {
            Some(b'{') if depth < MAX_DEPTH => self.list(depth, List::Map, numbers),
            Some(b'[') if depth < MAX_DEPTH => self.list(depth, List::Array, numbers),
            Some(b'"') => {
                self.text()?;
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(numbers),
            Some(b't') => self.word("true", |out| drop(write_bool(out, true))),
            Some(b'f') => self.word("false", |out| drop(write_bool(out, false))),
            Some(b'n') => self.word("null", |out| drop(write_nil(out))),
            _ => self.error(),
        }
    }

    fn word(&mut self, word: &str, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), NotJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.error();
        }
        self.at += word.len();
        write(self.out);
        Ok(())
    }

    /// A map or an array. Its length is known at the end, so the header is written last, over a placeholder byte.
    fn list(&mut self, depth: usize, list: List, numbers: Numbers) -> Result<(), NotJson> {
        let close = match list {
            List::Map => b'}',
            List::Array => b']',
        };
        self.at += 1;
        let head = self.out.len();
        self.out.push(0);
        let mut count = 0_u32;
        self.skip_space();
        if !self.consume(close) {
            loop {
                let within = match list {
                    List::Array => numbers.of_items(),
                    List::Map => {
                        self.skip_space();
                        let within = numbers.of_key(self.text()?);
                        self.skip_space();
                        if !self.consume(b':') {
                            return self.error();
                        }
                        within
                    }
                };
                self.value(depth + 1, within)?;
                count += 1;
                self.skip_space();
                if self.consume(close) {
                    break;
                }
                if !self.consume(b',') {
                    return self.error();
                }
            }
        }
        let mut header = [0; 5];
        let mut rest = &mut header[..];
        // The longest header has five bytes.
        let _ = match list {
            List::Map => write_map_len(&mut rest, count),
            List::Array => write_array_len(&mut rest, count),
        };
        let length = 5 - rest.len();
        self.out
            .splice(head..=head, header[..length].iter().copied());
        Ok(())
    }

    /// A string; returns the raw text between the quotes.
    fn text(&mut self) -> Result<&str, NotJson> {
        if !self.consume(b'"') {
            return self.error();
        }
        let (start, mut escaped) = (self.at, false);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0x20..) => self.at += 1,
                _ => return self.error(),
            }
        }
        self.at += 1;
        let raw = &self.text[start..self.at - 1];
        if escaped {
            let quoted = &self.text[start - 1..self.at];
            let plain: String = serde_json::from_str(quoted).map_err(|_| NotJson(start))?;
            string(&plain, self.out);
        } else {
            string(raw, self.out);
        }
        Ok(raw)
    }

    fn number(&mut self, numbers: Numbers) -> Result<(), NotJson> {
        let start = self.at;
        self.consume(b'-');
        if !self.consume(b'0') {
            self.digits()?;
        }
        let mut whole = numbers != Numbers::Text;
        if self.consume(b'.') {
            whole = false;
            self.digits()?;
        }
        if self.consume(b'e') || self.consume(b'E') {
            whole = false;
            let _sign = self.consume(b'+') || self.consume(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if whole && let Ok(number) = text.parse::<u64>() {
            let _ = write_uint(self.out, number);
        } else if whole && let Ok(number) = text.parse::<i64>() {
            let _ = write_sint(self.out, number);
        } else if numbers != Numbers::Opaque || !float::write(text, self.out) {
            string(text, self.out);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return self.error();
        }
        Ok(())
    }
}
