//! Quantities of JSON-RPC (`"0x1b4"`), read straight from the text.

use std::{fmt, marker::PhantomData};

use alloy::primitives::U256;
use serde::{
    Deserializer,
    de::{Error, Visitor},
};

/// A number that is written as a quantity.
pub(super) trait Quantity: Sized {
    /// From hex digits without `0x`; `None` when one is no digit, or the number is too large.
    fn of_digits(digits: &[u8]) -> Option<Self>;
    /// From a plain JSON number, which some nodes send.
    fn of_number(number: u64) -> Option<Self>;
}

impl Quantity for u128 {
    fn of_digits(digits: &[u8]) -> Option<Self> {
        let digits = significant(digits);
        if digits.len() > 32 {
            return None;
        }
        digits.iter().try_fold(0, |number, &digit| {
            Some(number << 4 | u128::from(nibble(digit)?))
        })
    }

    fn of_number(number: u64) -> Option<Self> {
        Some(number.into())
    }
}

impl Quantity for u64 {
    fn of_digits(digits: &[u8]) -> Option<Self> {
        let digits = significant(digits);
        if digits.len() > 16 {
            return None;
        }
        digits.iter().try_fold(0, |number, &digit| {
            Some(number << 4 | u64::from(nibble(digit)?))
        })
    }

    fn of_number(number: u64) -> Option<Self> {
        Some(number)
    }
}

impl Quantity for u8 {
    fn of_digits(digits: &[u8]) -> Option<Self> {
        u64::of_digits(digits)?.try_into().ok()
    }

    fn of_number(number: u64) -> Option<Self> {
        number.try_into().ok()
    }
}

impl Quantity for U256 {
    fn of_digits(digits: &[u8]) -> Option<Self> {
        let digits = significant(digits);
        if digits.len() <= 16 {
            return u64::of_digits(digits).map(U256::from);
        }
        if digits.len() > 64 {
            return None;
        }
        let mut limbs = [0; 4];
        for (limb, digits) in limbs.iter_mut().zip(digits.rchunks(16)) {
            *limb = u64::of_digits(digits)?;
        }
        Some(U256::from_limbs(limbs))
    }

    fn of_number(number: u64) -> Option<Self> {
        Some(U256::from(number))
    }
}

fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn required<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Quantity,
{
    deserializer.deserialize_any(Read(PhantomData))
}

/// As [`required`], where `null` stands for nothing.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Quantity,
{
    deserializer.deserialize_option(ReadOption(PhantomData))
}

struct Read<T>(PhantomData<T>);

impl<T: Quantity> Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as \"0x1b4\" that fits its field")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.strip_prefix("0x")
            .and_then(|digits| T::of_digits(digits.as_bytes()))
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::of_number(number)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
    }
}

struct ReadOption<T>(PhantomData<T>);

impl<'de, T: Quantity> Visitor<'de> for ReadOption<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity or null")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        required(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Quantity>(digits: &str) -> Option<T> {
        T::of_digits(digits.as_bytes())
    }

    #[test]
    fn numbers_of_every_width_are_read_up_to_their_largest_and_not_beyond() {
        assert_eq!(read::<u64>("1b4"), Some(436));
        assert_eq!(read::<u64>("000000000000000000001B4"), Some(436));
        assert_eq!(read::<u64>(&"f".repeat(16)), Some(u64::MAX));
        assert_eq!(read::<u64>(&"f".repeat(17)), None);
        assert_eq!(read::<u8>("ff"), Some(255));
        assert_eq!(read::<u8>("100"), None);
        assert_eq!(read::<u128>(&"f".repeat(32)), Some(u128::MAX));
        assert_eq!(read::<u128>(&"f".repeat(33)), None);
        assert_eq!(read::<U256>(&"f".repeat(64)), Some(U256::MAX));
        assert_eq!(read::<U256>(&"f".repeat(65)), None);
        let odd = "123456789abcdef0fedcba9876543210f";
        assert_eq!(read::<U256>(odd), odd_by_alloy(odd));
        assert_eq!(read::<U256>("12g4"), None);
    }

    fn odd_by_alloy(digits: &str) -> Option<U256> {
        U256::from_str_radix(digits, 16).ok()
    }
}
