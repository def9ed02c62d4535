//! JSON numbers, and the clock.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use bigdecimal::BigDecimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::Error};
use serde_json::value::RawValue;

/// Most digits before or after the decimal point of a parsed number: its plain text has no more.
const MAX_DIGITS: i64 = 10_000;

/// A decimal that is a JSON number with all digits, never a float.
///
/// It parses from `serde_json` only, and not within `flatten`, untagged or internally tagged types: these hold numbers as
/// floats.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonNumber(pub BigDecimal);

impl fmt::Display for JsonNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.normalized().to_plain_string())
    }
}

impl Serialize for JsonNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let number: BigDecimal = json
            .get()
            .parse()
            .map_err(|_| de::Error::custom("expected a number"))?;
        let scale = number.fractional_digit_count();
        let digits = i64::try_from(number.digits()).unwrap_or(i64::MAX);
        if scale > MAX_DIGITS || digits.saturating_sub(scale) > MAX_DIGITS {
            return Err(de::Error::custom("the number has too many digits"));
        }
        Ok(Self(number))
    }
}

/// Milliseconds since the Unix epoch, by the system clock.
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_number_keeps_every_digit() {
        for text in [
            "3456.120000000000000001",
            "0.000000000000000000000001",
            "12",
            "1200",
        ] {
            let number = JsonNumber(text.parse().unwrap());
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
            assert_eq!(serde_json::from_str::<JsonNumber>(text).unwrap(), number);
        }
    }

    #[test]
    fn random_numbers_round_trip() {
        for _ in 0..1_000 {
            let (whole, fraction): (u128, u128) = (rand::random(), rand::random());
            // Without trailing zeros, which are not significant.
            let text = format!("{whole}.{fraction:039}1");
            let number: JsonNumber = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
        }
    }

    #[test]
    fn parses_only_bounded_numbers() {
        assert_eq!(
            serde_json::from_str::<JsonNumber>("1.5e3").unwrap(),
            JsonNumber(1_500.into())
        );
        let nines = "9".repeat(10_000);
        assert!(serde_json::from_str::<JsonNumber>(&nines).is_ok());
        let (longer, shifted) = (format!("{nines}9"), format!("{nines}e1"));
        for json in [
            "\"12\"",
            "null",
            "true",
            "[1]",
            "1e99999999",
            "1e-99999999",
            &longer,
            &shifted,
        ] {
            assert!(serde_json::from_str::<JsonNumber>(json).is_err(), "{json}");
        }
    }
}
