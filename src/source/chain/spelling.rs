//! How nodes spell a value in JSON, read straight from the text: hashes, addresses, bytes and quantities.
//!
//! Promises that every spelling which can mean one value only is read as that value, and that an error says what was
//! there. With the checks on a wrong reading cannot be stored, because it hashes to something else.

use std::{fmt, marker::PhantomData};

use alloy::primitives::{Address, Bytes, FixedBytes, hex};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, SeqAccess, Visitor},
};

/// Longest part of a wrong value that an error shows, in characters.
const SHOWN: usize = 80;

/// A value that nodes write as text, and some as a number or a boolean.
pub(super) trait Spelled: Sized {
    /// What the text should have been, for errors.
    const WHAT: &'static str;

    /// From the text of the node.
    fn of_text(text: &str) -> Option<Self>;

    /// From a plain JSON number, which some nodes send.
    fn of_number(_: u64) -> Option<Self> {
        None
    }

    /// Whether the text stands for no value, where a value may be absent.
    fn is_nothing(text: &str) -> bool {
        text.is_empty()
    }
}

/// The digits behind `0x` or `0X`.
pub(super) fn digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

/// Bytes of a fixed length: whole, or as a quantity, without its leading zeros or with more of them.
fn fixed<const N: usize>(text: &str) -> Option<FixedBytes<N>> {
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

impl<const N: usize> Spelled for FixedBytes<N> {
    const WHAT: &'static str = match N {
        32 => "a hash of 32 bytes in hex",
        256 => "a bloom of 256 bytes in hex",
        8 => "a nonce of 8 bytes in hex",
        _ => "bytes of its length in hex",
    };

    fn of_text(text: &str) -> Option<Self> {
        fixed(text)
    }

    fn of_number(number: u64) -> Option<Self> {
        fixed(&format!("{number:#x}"))
    }

    fn is_nothing(text: &str) -> bool {
        matches!(text, "" | "0x" | "0X")
    }
}

impl Spelled for alloy::primitives::Bloom {
    const WHAT: &'static str = <FixedBytes<256> as Spelled>::WHAT;

    fn of_text(text: &str) -> Option<Self> {
        fixed(text).map(Self)
    }

    fn is_nothing(text: &str) -> bool {
        FixedBytes::<256>::is_nothing(text)
    }
}

impl Spelled for Address {
    const WHAT: &'static str = "an address of 20 bytes in hex";

    /// As a word of 32 bytes as well, but never short: an address has no leading zeros to leave out.
    fn of_text(text: &str) -> Option<Self> {
        let digits = digits(text).unwrap_or(text);
        if digits.len() < 40 {
            return None;
        }
        fixed(text).map(Self)
    }

    /// Some nodes write a short zero for no address.
    fn is_nothing(text: &str) -> bool {
        let digits = digits(text).unwrap_or(text);
        digits.len() < 40 && digits.bytes().all(|digit| digit == b'0')
    }
}

impl Spelled for Bytes {
    const WHAT: &'static str = "bytes in hex";

    fn of_text(text: &str) -> Option<Self> {
        let digits = digits(text).unwrap_or(text);
        hex::decode(digits).ok().map(Self::from)
    }

    fn is_nothing(_: &str) -> bool {
        false
    }
}

impl Spelled for bool {
    const WHAT: &'static str = "true or false";

    fn of_text(text: &str) -> Option<Self> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => u64::of_text(text).and_then(Self::of_number),
        }
    }

    fn of_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// A value alone, as the result of a call or an item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain<T>(pub(super) T);

impl<'de, T: Spelled> Deserialize<'de> for Plain<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        required(deserializer).map(Self)
    }
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn required<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled,
{
    deserializer.deserialize_any(Read(PhantomData))
}

/// As [`required`], where `null` and texts that are empty stand for nothing.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled,
{
    deserializer.deserialize_any(ReadOption(PhantomData))
}

/// As [`optional`], behind a pointer.
pub(super) fn boxed<'de, D, T>(deserializer: D) -> Result<Option<Box<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled,
{
    optional(deserializer).map(|value| value.map(Box::new))
}

/// As [`optional`], of a field that chains know by one name and meaning each: what cannot be read stands for nothing.
pub(super) fn if_known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled,
{
    #[derive(Deserialize)]
    #[serde(untagged, bound = "T: Spelled")]
    enum Shape<T> {
        Known(#[serde(deserialize_with = "optional")] Option<T>),
        Other(IgnoredAny),
    }
    Ok(match Shape::deserialize(deserializer)? {
        Shape::Known(value) => value,
        Shape::Other(_) => None,
    })
}

/// As [`if_known`], behind a pointer.
pub(super) fn boxed_if_known<'de, D, T>(deserializer: D) -> Result<Option<Box<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled,
{
    if_known(deserializer).map(|value| value.map(Box::new))
}

/// As [`optional`], where nothing is the default: no bytes, or false.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled + Default,
{
    optional(deserializer).map(Option::unwrap_or_default)
}

/// An address where a zero stands for none as well: of a contract that was created, which never is at address zero.
pub(super) fn created<'de, D>(deserializer: D) -> Result<Option<Address>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(optional(deserializer)?.filter(|address: &Address| !address.is_zero()))
}

/// A list of values; `null` is an empty one.
pub(super) fn values<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled,
{
    deserializer.deserialize_any(ReadList(PhantomData))
}

/// As [`values`], of what may be left out.
pub(super) fn optional_values<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Spelled,
{
    values(deserializer).map(|list| Some(list).filter(|list| !list.is_empty()))
}

/// What `null` stands for the default of: an empty list.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

struct Read<T>(PhantomData<T>);

/// An error that shows what was there.
fn unfit<T: Spelled, E: Error>(shown: impl fmt::Display) -> E {
    E::custom(format_args!("is {shown}, not {}", T::WHAT))
}

fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

impl<T: Spelled> Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::of_text(text).ok_or_else(|| unfit::<T, E>(quoted(text)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of_number(number).ok_or_else(|| unfit::<T, E>(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Err(unfit::<T, E>(number))
    }

    /// A number that is no integer, or is too large to be read as one.
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(unfit::<T, E>(number))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        T::of_number(value.into()).ok_or_else(|| unfit::<T, E>(value))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Err(unfit::<T, E>("null"))
    }
}

impl<'de, T: Spelled> DeserializeSeed<'de> for Read<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

struct ReadOption<T>(PhantomData<T>);

impl<T: Spelled> Visitor<'_> for ReadOption<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or null", T::WHAT)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        if T::is_nothing(text) {
            return Ok(None);
        }
        Read(PhantomData).visit_str(text).map(Some)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        Read(PhantomData).visit_u64(number).map(Some)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        Err(unfit::<T, E>(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<T>, E> {
        Err(unfit::<T, E>(number))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<T>, E> {
        Read(PhantomData).visit_bool(value).map(Some)
    }
}

struct ReadList<T>(PhantomData<T>);

impl<'de, T: Spelled> Visitor<'de> for ReadList<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each item {}", T::WHAT)
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
#[path = "spelling_tests.rs"]
mod tests;
