//! Unsigned integers of a chain, which can exceed 2^53.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::U256;

/// An unsigned integer as the text of its decimal digits: JSON numbers beyond 2^53 lose digits in many clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Quantity(String);

impl Quantity {
    /// The decimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! from_integers {
    ($($integer:ty),+) => {
        $(impl From<$integer> for Quantity {
            fn from(value: $integer) -> Self {
                Self(value.to_string())
            }
        })+
    };
}

from_integers!(u64, u128, U256);

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then_some(Self(text)).ok_or_else(|| {
            de::Error::custom("a quantity is a string of decimal digits, such as \"21000\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantity_round_trips_with_every_digit() {
        let quantity = Quantity::from(U256::MAX);
        let json = serde_json::to_string(&quantity).unwrap();
        assert_eq!(json, format!("\"{}\"", U256::MAX));
        assert_eq!(serde_json::from_str::<Quantity>(&json).unwrap(), quantity);
        assert_eq!(Quantity::from(7_u64).as_str(), "7");
    }

    #[test]
    fn rejects_text_that_is_not_digits() {
        for json in ["7", "\"\"", "\"-7\"", "\"0x7\"", "\"7.0\"", "null"] {
            assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
        }
    }
}
