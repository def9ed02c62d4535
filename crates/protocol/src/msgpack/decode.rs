//! Converts MessagePack to JSON text.

use rmp::Marker;

use super::MAX_DEPTH;

/// Why bytes from a client are not a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value, or a declared length, exceeds the bytes.
    #[error("unexpected end of data")]
    Short,
    /// Bytes follow the value.
    #[error("more than one value")]
    Long,
    /// A str is not UTF-8.
    #[error("a string is not UTF-8")]
    NotText,
    /// A key of a map is not a str.
    #[error("a map key is not a string")]
    Key,
    /// A type or number that JSON does not have.
    #[error("{0} are not supported")]
    Kind(&'static str),
    /// Maps and arrays are nested deeper than [`MAX_DEPTH`].
    #[error("nesting is deeper than {MAX_DEPTH}")]
    Deep,
}

/// Converts exactly one value to JSON text, at most six times as long as `bytes`.
pub fn to_json(bytes: &[u8]) -> Result<String, DecodeError> {
    let mut reader = MsgpackReader {
        rest: bytes,
        out: Vec::with_capacity(bytes.len() + bytes.len() / 4),
    };
    reader.value(0)?;
    if !reader.rest.is_empty() {
        return Err(DecodeError::Long);
    }
    String::from_utf8(reader.out).map_err(|_| DecodeError::NotText)
}

struct MsgpackReader<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl<'a> MsgpackReader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn marker(&mut self) -> Result<Marker, DecodeError> {
        self.array().map(|[byte]| Marker::from_u8(byte))
    }

    /// A length of one, two or four bytes.
    fn length<const N: usize>(&mut self) -> Result<usize, DecodeError> {
        let bytes: [u8; N] = self.array()?;
        Ok(bytes
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte)))
    }

    fn value(&mut self, depth: usize) -> Result<(), DecodeError> {
        match self.marker()? {
            Marker::Null => self.write(&()),
            Marker::True => self.write(&true),
            Marker::False => self.write(&false),
            Marker::FixPos(number) => self.write(&number),
            Marker::FixNeg(number) => self.write(&number),
            Marker::U8 => self
                .array()
                .map(u8::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::U16 => self
                .array()
                .map(u16::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::U32 => self
                .array()
                .map(u32::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::U64 => self
                .array()
                .map(u64::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::I8 => self
                .array()
                .map(i8::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::I16 => self
                .array()
                .map(i16::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::I32 => self
                .array()
                .map(i32::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::I64 => self
                .array()
                .map(i64::from_be_bytes)
                .map(|n| self.write(&n))?,
            Marker::F32 => {
                let number = f32::from_be_bytes(self.array()?);
                self.float(f64::from(number))
            }
            Marker::F64 => {
                let number = f64::from_be_bytes(self.array()?);
                self.float(number)
            }
            marker @ (Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => {
                self.string(marker)
            }
            Marker::FixArray(count) => self.items(usize::from(count), depth),
            Marker::Array16 => {
                let count = self.length::<2>()?;
                self.items(count, depth)
            }
            Marker::Array32 => {
                let count = self.length::<4>()?;
                self.items(count, depth)
            }
            Marker::FixMap(count) => self.pairs(usize::from(count), depth),
            Marker::Map16 => {
                let count = self.length::<2>()?;
                self.pairs(count, depth)
            }
            Marker::Map32 => {
                let count = self.length::<4>()?;
                self.pairs(count, depth)
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => Err(DecodeError::Kind("bytes (bin)")),
            Marker::Reserved => Err(DecodeError::Kind("bytes of 0xc1")),
            _ => Err(DecodeError::Kind("extension types")),
        }
    }

    fn write(&mut self, value: &impl serde::Serialize) -> Result<(), DecodeError> {
        // Writing plain values into a Vec does not fail.
        let _ = serde_json::to_writer(&mut self.out, value);
        Ok(())
    }

    fn float(&mut self, number: f64) -> Result<(), DecodeError> {
        if !number.is_finite() {
            return Err(DecodeError::Kind("NaN and infinity"));
        }
        self.write(&number)
    }

    fn string(&mut self, marker: Marker) -> Result<(), DecodeError> {
        let length = match marker {
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 => self.length::<1>()?,
            Marker::Str16 => self.length::<2>()?,
            Marker::Str32 => self.length::<4>()?,
            _ => return Err(DecodeError::Key),
        };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::NotText)?;
        self.write(&text)
    }

    fn items(&mut self, count: usize, depth: usize) -> Result<(), DecodeError> {
        self.list(b"[]", count, depth, |reader| reader.value(depth + 1))
    }

    fn pairs(&mut self, count: usize, depth: usize) -> Result<(), DecodeError> {
        self.list(b"{}", count, depth, |reader| {
            let key = reader.marker()?;
            reader.string(key)?;
            reader.out.push(b':');
            reader.value(depth + 1)
        })
    }

    fn list(
        &mut self,
        [open, close]: &[u8; 2],
        count: usize,
        depth: usize,
        mut one: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(DecodeError::Deep);
        }
        self.out.push(*open);
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            one(self)?;
        }
        self.out.push(*close);
        Ok(())
    }
}
