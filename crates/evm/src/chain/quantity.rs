//! JSON-RPC quantities (`"0x1b4"`).

use alloy::primitives::U256;

use super::json_values::{FromJson, digits};

/// A number written as a quantity.
trait Quantity: Sized {
    /// From hex digits without `0x`; `None` if one is invalid or the number is too large.
    fn from_digits(digits: &[u8]) -> Option<Self>;
    /// From a JSON number, which some nodes send.
    fn from_number(number: u64) -> Option<Self>;
}

impl Quantity for u128 {
    fn from_digits(digits: &[u8]) -> Option<Self> {
        let digits = significant(digits);
        if digits.len() > 32 {
            return None;
        }
        digits.iter().try_fold(0, |number, &digit| {
            Some(number << 4 | u128::from(nibble(digit)?))
        })
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(number.into())
    }
}

impl Quantity for u64 {
    fn from_digits(digits: &[u8]) -> Option<Self> {
        let digits = significant(digits);
        if digits.len() > 16 {
            return None;
        }
        digits.iter().try_fold(0, |number, &digit| {
            Some(number << 4 | u64::from(nibble(digit)?))
        })
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(number)
    }
}

impl Quantity for u8 {
    fn from_digits(digits: &[u8]) -> Option<Self> {
        u64::from_digits(digits)?.try_into().ok()
    }

    fn from_number(number: u64) -> Option<Self> {
        number.try_into().ok()
    }
}

impl Quantity for U256 {
    fn from_digits(digits: &[u8]) -> Option<Self> {
        let digits = significant(digits);
        if digits.len() <= 16 {
            return u64::from_digits(digits).map(U256::from);
        }
        if digits.len() > 64 {
            return None;
        }
        let mut limbs = [0; 4];
        for (limb, digits) in limbs.iter_mut().zip(digits.rchunks(16)) {
            *limb = u64::from_digits(digits)?;
        }
        Some(U256::from_limbs(limbs))
    }

    fn from_number(number: u64) -> Option<Self> {
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

/// Accepts hex digits with `0x`, without leading zeros as in the standard or with them, or decimal digits, as some
/// nodes send. Hex digits without `0x` are rejected: "10" would be ambiguous.
macro_rules! impl_from_json {
    ($($number:ty),*) => {$(
        impl FromJson for $number {
            const EXPECTED: &'static str = "a quantity such as \"0x1b4\" that fits its field";

            fn from_text(text: &str) -> Option<Self> {
                match digits(text) {
                    Some(digits) => Self::from_digits(digits.as_bytes()),
                    None => {
                        let decimal = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
                        decimal.then(|| text.parse().ok())?
                    }
                }
            }

            fn from_number(number: u64) -> Option<Self> {
                Quantity::from_number(number)
            }
        }
    )*};
}

impl_from_json!(u8, u64, u128, U256);

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Quantity>(digits: &str) -> Option<T> {
        T::from_digits(digits.as_bytes())
    }

    #[test]
    fn quantity_reads_up_to_maximum_of_each_width() {
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
        assert_eq!(read::<U256>(odd), parsed_by_alloy(odd));
        assert_eq!(read::<U256>("12g4"), None);
    }

    fn parsed_by_alloy(digits: &str) -> Option<U256> {
        U256::from_str_radix(digits, 16).ok()
    }
}
