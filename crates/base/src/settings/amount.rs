//! Exact amounts as values of keys.

use std::str::FromStr;

use bigdecimal::{BigDecimal, num_traits::Zero};

use super::{Key, Problems, Setting};

/// Maximum length of an amount in bytes.
const MAX_TEXT: usize = 64;

/// A non-negative exact amount: an integer, or a decimal string. A TOML float is not exact.
impl Setting for BigDecimal {
    fn read(value: toml::Value, _: &Key, path: &str, problems: &mut Problems) -> Option<Self> {
        let amount = match value {
            toml::Value::Integer(value) => Some(Self::from(value)),
            toml::Value::String(text) => {
                let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
                // Checked first: parsing takes time with the square of the length.
                match plain && text.len() <= MAX_TEXT {
                    true => Self::from_str(&text).ok(),
                    false => None,
                }
            }
            _ => None,
        };
        let amount = amount.filter(|amount| *amount >= Self::zero());
        if amount.is_none() {
            let message =
                "must be zero or more: an integer such as 100000, or a string such as \"0.5\"";
            problems.unreadable(path, message);
        }
        amount
    }
}
