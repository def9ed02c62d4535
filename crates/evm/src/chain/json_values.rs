//! Parses hashes, addresses, bytes and quantities from the JSON of nodes, directly from the text.
//!
//! Promises that every unambiguous form is accepted, and that an error shows the value. With the checks enabled a
//! misread value cannot be stored, because it hashes to something else.

use std::{fmt, marker::PhantomData};

use alloy::primitives::{Address, Bytes, FixedBytes, hex};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, SeqAccess, Visitor},
};

/// Longest part of a rejected value in an error, in characters.
const MAX_SHOWN: usize = 80;

/// A value that nodes write as text, some as a number or a boolean.
pub(super) trait FromJson: Sized {
    /// The expected form, for errors.
    const EXPECTED: &'static str;

    /// From text.
    fn from_text(text: &str) -> Option<Self>;

    /// From a JSON number, which some nodes send.
    fn from_number(_: u64) -> Option<Self> {
        None
    }

    /// Whether the text means no value, if a value is optional.
    fn is_absent(text: &str) -> bool {
        text.is_empty()
    }
}

/// The digits after `0x` or `0X`.
pub(super) fn digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

/// Bytes of a fixed length: whole, or with fewer or more leading zeros.
fn fixed_bytes<const N: usize>(text: &str) -> Option<FixedBytes<N>> {
    let digits = digits(text).unwrap_or(text);
    let mut value = FixedBytes::<N>::ZERO;
    if digits.len() == 2 * N {
        hex::decode_to_slice(digits, value.as_mut_slice()).ok()?;
        return Some(value);
    }
    let significant = digits.trim_start_matches('0');
    if digits.is_empty() || significant.len() > 2 * N {
        return None;
    }
    let padded = format!("{significant:0>width$}", width = 2 * N);
    hex::decode_to_slice(padded, value.as_mut_slice()).ok()?;
    Some(value)
}

impl<const N: usize> FromJson for FixedBytes<N> {
    const EXPECTED: &'static str = match N {
        32 => "a hash of 32 bytes in hex",
        256 => "a bloom of 256 bytes in hex",
        8 => "a nonce of 8 bytes in hex",
        _ => "bytes of its length in hex",
    };

    fn from_text(text: &str) -> Option<Self> {
        fixed_bytes(text)
    }

    fn from_number(number: u64) -> Option<Self> {
        fixed_bytes(&format!("{number:#x}"))
    }

    fn is_absent(text: &str) -> bool {
        matches!(text, "" | "0x" | "0X")
    }
}

impl FromJson for alloy::primitives::Bloom {
    const EXPECTED: &'static str = <FixedBytes<256> as FromJson>::EXPECTED;

    fn from_text(text: &str) -> Option<Self> {
        fixed_bytes(text).map(Self)
    }

    fn is_absent(text: &str) -> bool {
        FixedBytes::<256>::is_absent(text)
    }
}

impl FromJson for Address {
    const EXPECTED: &'static str = "an address of 20 bytes in hex";

    /// A 32-byte word is accepted as well, a shorter text is not: an address keeps its leading zeros.
    fn from_text(text: &str) -> Option<Self> {
        let digits = digits(text).unwrap_or(text);
        if digits.len() < 40 {
            return None;
        }
        fixed_bytes(text).map(Self)
    }

    /// Some nodes write a short zero for no address.
    fn is_absent(text: &str) -> bool {
        let digits = digits(text).unwrap_or(text);
        digits.len() < 40 && digits.bytes().all(|digit| digit == b'0')
    }
}

impl FromJson for Bytes {
    const EXPECTED: &'static str = "bytes in hex";

    fn from_text(text: &str) -> Option<Self> {
        let digits = digits(text).unwrap_or(text);
        hex::decode(digits).ok().map(Self::from)
    }

    fn is_absent(_: &str) -> bool {
        false
    }
}

impl FromJson for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => u64::from_text(text).and_then(Self::from_number),
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// A bare value: the result of a call or an item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain<T>(pub(super) T);

impl<'de, T: FromJson> Deserialize<'de> for Plain<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        required(deserializer).map(Self)
    }
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn required<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson,
{
    deserializer.deserialize_any(Read(PhantomData))
}

/// As [`required`]; `null` and an empty text mean no value.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson,
{
    deserializer.deserialize_any(ReadOption(PhantomData))
}

/// As [`optional`], boxed.
pub(super) fn boxed<'de, D, T>(deserializer: D) -> Result<Option<Box<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson,
{
    optional(deserializer).map(|value| value.map(Box::new))
}

/// As [`optional`], for a name that chains use with different meanings: an unreadable value means none.
pub(super) fn optional_lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson,
{
    #[derive(Deserialize)]
    #[serde(untagged, bound = "T: FromJson")]
    enum Shape<T> {
        Known(#[serde(deserialize_with = "optional")] Option<T>),
        Other(IgnoredAny),
    }
    Ok(match Shape::deserialize(deserializer)? {
        Shape::Known(value) => value,
        Shape::Other(_) => None,
    })
}

/// As [`optional_lenient`], boxed.
pub(super) fn boxed_lenient<'de, D, T>(deserializer: D) -> Result<Option<Box<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson,
{
    optional_lenient(deserializer).map(|value| value.map(Box::new))
}

/// As [`optional`], with the default for no value: no bytes, or false.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson + Default,
{
    optional(deserializer).map(Option::unwrap_or_default)
}

/// The address of a created contract; zero means none, because no contract is created there.
pub(super) fn created_address<'de, D>(deserializer: D) -> Result<Option<Address>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(optional(deserializer)?.filter(|address: &Address| !address.is_zero()))
}

/// A list of values; `null` is an empty one.
pub(super) fn values<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson,
{
    deserializer.deserialize_any(ReadList(PhantomData))
}

/// As [`values`], for an optional list.
pub(super) fn optional_values<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromJson,
{
    values(deserializer).map(|list| Some(list).filter(|list| !list.is_empty()))
}

/// `null` means the default: an empty list.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

struct Read<T>(PhantomData<T>);

/// An error that shows the value.
fn unexpected<T: FromJson, E: Error>(value_text: impl fmt::Display) -> E {
    E::custom(format_args!("is {value_text}, not {}", T::EXPECTED))
}

fn quoted(text: &str) -> String {
    let mut value_text: String = text.chars().take(MAX_SHOWN).collect();
    if value_text.len() < text.len() {
        value_text.push('…');
    }
    format!("{value_text:?}")
}

impl<T: FromJson> Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).ok_or_else(|| unexpected::<T, E>(quoted(text)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| unexpected::<T, E>(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Err(unexpected::<T, E>(number))
    }

    /// A number that is not an integer, or is too large.
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(unexpected::<T, E>(number))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        T::from_number(value.into()).ok_or_else(|| unexpected::<T, E>(value))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Err(unexpected::<T, E>("null"))
    }
}

impl<'de, T: FromJson> DeserializeSeed<'de> for Read<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

struct ReadOption<T>(PhantomData<T>);

impl<T: FromJson> Visitor<'_> for ReadOption<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or null", T::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        if T::is_absent(text) {
            return Ok(None);
        }
        Read(PhantomData).visit_str(text).map(Some)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        Read(PhantomData).visit_u64(number).map(Some)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        Err(unexpected::<T, E>(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<T>, E> {
        Err(unexpected::<T, E>(number))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<T>, E> {
        Read(PhantomData).visit_bool(value).map(Some)
    }
}

struct ReadList<T>(PhantomData<T>);

impl<'de, T: FromJson> Visitor<'de> for ReadList<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each item {}", T::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Read(PhantomData))? {
            list.push(item);
        }
        Ok(list)
    }
}

#[cfg(test)]
#[path = "json_values_tests.rs"]
mod tests;
