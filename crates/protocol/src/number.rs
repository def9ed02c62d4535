//! JSON numbers, and the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use bigdecimal::BigDecimal;
use serde::{Serialize, Serializer, ser::Error};
use serde_json::value::RawValue;

/// A decimal serialized as a JSON number with all digits, never through a float.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonNumber(pub BigDecimal);

impl Serialize for JsonNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.normalized().to_plain_string();
        RawValue::from_string(text)
            .map_err(S::Error::custom)?
            .serialize(serializer)
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
        }
    }
}
