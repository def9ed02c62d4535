//! What one price of a source is of: `scale` and `invert` of its entry.
//!
//! A market may price a thousand of a token (1000SHIB), or cents, or be told the other way round (USD/JPY). The price
//! that a source gives is `p / scale`, or `scale / p` with `invert`, for what its venue or contract tells. Shifts are
//! exact; other quotients are rounded once, as everywhere.

use std::{fmt, str::FromStr};

use bigdecimal::{
    BigDecimal,
    num_bigint::BigInt,
    num_traits::{One, Signed, Zero},
};
use serde::{Deserialize, Deserializer, de};

use super::decimal::ratio;

/// Longest text of a scale, in bytes.
const MAX_TEXT: usize = 64;
/// A scale is at most 10 to this power, and not below 10 to minus this power.
const MAX_POWER: i64 = 18;

/// `scale` of an entry: above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale(BigDecimal);

/// How what a source is told becomes the price of one token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Of how many units the told price is; one when left out.
    pub scale: Option<Scale>,
    /// Whether what is told counts the quote in the token.
    pub invert: bool,
}

/// The interval of a price reaches zero: its inverse has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boundless;

impl Unit {
    /// The price of one token, and how far it may be off, of a price above zero and an interval of zero or more.
    ///
    /// The inverse of an interval is not symmetric about the inverse of its middle: the larger of both distances counts,
    /// so that the new interval has all of the old one in it.
    pub(super) fn apply(
        &self,
        price: &BigDecimal,
        confidence: Option<&BigDecimal>,
    ) -> Result<(BigDecimal, Option<BigDecimal>), Boundless> {
        if *self == Self::default() {
            return Ok((price.clone(), confidence.cloned()));
        }
        let one = BigDecimal::one();
        let scale = self.scale.as_ref().map_or(&one, |scale| &scale.0);
        if !self.invert {
            let scaled = |value: &BigDecimal| divided(value, scale).ok_or(Boundless);
            return Ok((scaled(price)?, confidence.map(scaled).transpose()?));
        }
        let inverse = ratio(scale, price).ok_or(Boundless)?;
        let confidence = confidence.map(|confidence| {
            let least = price - confidence;
            if !least.is_positive() {
                return Err(Boundless);
            }
            // s / (p - c) - s / p
            ratio(&(confidence * scale), &(price * least)).ok_or(Boundless)
        });
        Ok((inverse, confidence.transpose()?))
    }
}

/// A quotient of a value and a scale: exact where the scale is a power of ten.
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

/// An integer, or a decimal as text: a TOML float would not be exact.
impl<'de> Deserialize<'de> for Scale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Integer(i64),
            Text(String),
        }
        let wrong = || {
            de::Error::custom(
                "must be above zero, from 10^-18 to 10^18: an integer such as 1000, or a decimal as text such as \"0.01\"",
            )
        };
        let value = match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Integer(value) => BigDecimal::from(value),
            Written::Text(text) => {
                let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
                if !plain || text.len() > MAX_TEXT {
                    return Err(wrong());
                }
                BigDecimal::from_str(&text).map_err(|_| wrong())?
            }
        };
        let limit = |power| BigDecimal::new(BigInt::one(), power);
        let allowed = limit(MAX_POWER)..=limit(-MAX_POWER);
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
    fn a_scale_divides_price_and_confidence() {
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
    fn a_power_of_ten_loses_no_digit() {
        let digits = "66123.1234567890123456789012345678901";
        let (price, _) = applied("scale = 1000", digits, "0");
        assert_eq!(price, "66.1231234567890123456789012345678901");
    }

    #[test]
    fn an_inverse_covers_the_whole_interval() {
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
    fn an_interval_that_reaches_zero_has_no_inverse() {
        for confidence in ["5", "6"] {
            let confidence = confidence.parse().unwrap();
            let inverse = unit("invert = true").apply(&5.into(), Some(&confidence));
            assert_eq!(inverse, Err(Boundless));
        }
    }

    #[test]
    fn refuses_scales_outside_their_limits() {
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
