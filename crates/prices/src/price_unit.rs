//! The unit of a source's price: `scale` and `invert` of its entry.
//!
//! A market may price a thousand of a token (1000SHIB), or cents, or the inverse pair (USD/JPY). The price of the
//! source is `p / scale`, or `scale / p` with `invert`, for the price `p` of its venue or contract. Powers of ten are
//! exact; other quotients are rounded once.

use std::{fmt, str::FromStr};

use bigdecimal::{
    BigDecimal,
    num_bigint::BigInt,
    num_traits::{One, Signed, Zero},
};
use serde::{Deserialize, Deserializer, de};

use super::decimal::ratio;

/// Maximum length of a scale in bytes.
const MAX_TEXT: usize = 64;
/// A scale is at most 10 to this power, and at least 10 to minus this power.
const MAX_EXPONENT: i64 = 18;

/// The `scale` of an entry; above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale(BigDecimal);

/// Converts the reported price of a source to the price of one token. Its `Debug` text is part of the stored definition
/// of a source: renaming the type or a field starts a new price backfill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Number of units of the reported price; one if omitted.
    pub scale: Option<Scale>,
    /// Whether the reported price is of the quote in the token.
    pub invert: bool,
}

/// The confidence interval reaches zero: its inverse has no upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnboundedInverse;

impl Unit {
    /// The price of one token and its confidence, from a positive price and a non-negative confidence.
    ///
    /// The inverse of an interval is not symmetric about the inverse of its center: the larger distance counts, so that
    /// the new interval covers the whole old one.
    pub(super) fn apply(
        &self,
        price: &BigDecimal,
        confidence: Option<&BigDecimal>,
    ) -> Result<(BigDecimal, Option<BigDecimal>), UnboundedInverse> {
        if *self == Self::default() {
            return Ok((price.clone(), confidence.cloned()));
        }
        let one = BigDecimal::one();
        let scale = self.scale.as_ref().map_or(&one, |scale| &scale.0);
        if !self.invert {
            let scaled = |value: &BigDecimal| divided(value, scale).ok_or(UnboundedInverse);
            return Ok((scaled(price)?, confidence.map(scaled).transpose()?));
        }
        let inverse = ratio(scale, price).ok_or(UnboundedInverse)?;
        let confidence = confidence.map(|confidence| {
            let least = price - confidence;
            if !least.is_positive() {
                return Err(UnboundedInverse);
            }
            // s / (p - c) - s / p
            ratio(&(confidence * scale), &(price * least)).ok_or(UnboundedInverse)
        });
        Ok((inverse, confidence.transpose()?))
    }
}

/// A quotient of a value and a scale; exact if the scale is a power of ten.
fn divided(value: &BigDecimal, scale: &BigDecimal) -> Option<BigDecimal> {
    let (digits, places) = scale.normalized().into_bigint_and_exponent();
    if digits != BigInt::one() {
        return ratio(value, scale);
    }
    let (value, own) = value.as_bigint_and_exponent();
    Some(BigDecimal::new(value, own - places))
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.normalized().to_plain_string())
    }
}

/// An integer or a decimal string: a TOML float is not exact.
impl<'de> Deserialize<'de> for Scale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Input {
            Integer(i64),
            Text(String),
        }
        let wrong = || {
            de::Error::custom(
                "must be above zero, from 10^-18 to 10^18: an integer such as 1000, or a string such as \"0.01\"",
            )
        };
        let value = match Input::deserialize(deserializer).map_err(|_| wrong())? {
            Input::Integer(value) => BigDecimal::from(value),
            Input::Text(text) => {
                let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
                if !plain || text.len() > MAX_TEXT {
                    return Err(wrong());
                }
                BigDecimal::from_str(&text).map_err(|_| wrong())?
            }
        };
        let limit = |power| BigDecimal::new(BigInt::one(), power);
        let allowed = limit(MAX_EXPONENT)..=limit(-MAX_EXPONENT);
        if value.is_zero() || !allowed.contains(&value) {
            return Err(wrong());
        }
        Ok(Self(value.normalized()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Unit {
        #[derive(Deserialize)]
        struct Keys {
            scale: Option<Scale>,
            #[serde(default)]
            invert: bool,
        }
        let Keys { scale, invert } = toml::from_str(text).unwrap();
        Unit { scale, invert }
    }

    fn applied(keys: &str, price: &str, confidence: &str) -> (String, String) {
        let confidence = confidence.parse().unwrap();
        let (price, confidence) = unit(keys)
            .apply(&price.parse().unwrap(), Some(&confidence))
            .unwrap();
        let text = |value: BigDecimal| value.normalized().to_plain_string();
        (text(price), text(confidence.unwrap()))
    }

    #[test]
    fn scale_divides_price_and_confidence() {
        for (keys, price, confidence, expected) in [
            ("", "3456.12", "0.5", ("3456.12", "0.5")),
            (
                "scale = 1000",
                "0.012345",
                "0.000005",
                ("0.000012345", "0.000000005"),
            ),
            ("scale = 100", "10345", "5", ("103.45", "0.05")),
            ("scale = '0.001'", "2", "0.5", ("2000", "500")),
            ("scale = 4", "10", "1", ("2.5", "0.25")),
            ("scale = 3", "1", "0", ("0.333333333333333333", "0")),
        ] {
            let (price, confidence) = applied(keys, price, confidence);
            assert_eq!((price.as_str(), confidence.as_str()), expected, "{keys}");
        }
    }

    #[test]
    fn power_of_ten_is_exact() {
        let digits = "66123.1234567890123456789012345678901";
        let (price, _) = applied("scale = 1000", digits, "0");
        assert_eq!(price, "66.1231234567890123456789012345678901");
    }

    #[test]
    fn inverse_covers_whole_interval() {
        assert_eq!(
            applied("invert = true", "150", "0"),
            ("0.00666666666666666667".to_owned(), "0".to_owned())
        );
        // 1 / 4 - 1 / 5 is more than 1 / 5 - 1 / 6.
        assert_eq!(
            applied("invert = true", "5", "1"),
            ("0.2".to_owned(), "0.05".to_owned())
        );
        // JPY per 100 USD.
        assert_eq!(
            applied("invert = true\nscale = 100", "16000", "0"),
            ("0.00625".to_owned(), "0".to_owned())
        );
        let none = unit("invert = true").apply(&8.into(), None).unwrap();
        assert_eq!(none, ("0.125".parse().unwrap(), None));
    }

    #[test]
    fn interval_reaching_zero_has_no_inverse() {
        for confidence in ["5", "6"] {
            let confidence = confidence.parse().unwrap();
            let inverse = unit("invert = true").apply(&5.into(), Some(&confidence));
            assert_eq!(inverse, Err(UnboundedInverse));
        }
    }

    #[test]
    fn rejects_scale_out_of_range() {
        for wrong in [
            "0",
            "-1",
            "0.5",
            "'0'",
            "'-1'",
            "'1e3'",
            "''",
            "'.'",
            "'1.2.3'",
            "true",
            "'0.0000000000000000001'",
            "'10000000000000000000'",
        ] {
            let text = format!("scale = {wrong}");
            #[derive(Debug, Deserialize)]
            struct Keys {
                #[expect(dead_code, reason = "only reading it is tested")]
                scale: Scale,
            }
            let error = toml::from_str::<Keys>(&text).unwrap_err().to_string();
            assert!(error.contains("must be above zero"), "{wrong}: {error}");
        }
    }
}
