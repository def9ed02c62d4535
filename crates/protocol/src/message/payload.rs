//! The payload of a message.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::compact::{PayloadError, compact};

/// Any JSON value, as its text without whitespace between tokens: the digits of numbers and the escapes of strings are
/// those of the sender.
///
/// It parses from `serde_json` only, and not within `flatten`, untagged or internally tagged types.
#[derive(Debug, Clone)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    /// The value `null`.
    pub fn null() -> Self {
        Self(Arc::from(RawValue::NULL.to_owned()))
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    fn new(json: Box<RawValue>) -> Result<Self, PayloadError> {
        let compacted = match compact(json.get())? {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(text) => Some(text),
        };
        let json = match compacted {
            None => json,
            Some(text) => RawValue::from_string(text).map_err(|_| PayloadError::NotJson)?,
        };
        Ok(Self(json.into()))
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::null()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Payload {}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl FromStr for Payload {
    type Err = PayloadError;

    fn from_str(json: &str) -> Result<Self, PayloadError> {
        Self::new(serde_json::from_str(json).map_err(|_| PayloadError::NotJson)?)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::new(json).map_err(|error| de::Error::custom(format!("payload: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_round_trips_compacted() {
        for (json, compacted) in [
            ("null", "null"),
            (" [ 1e400, 1.10 ] ", "[1e400,1.10]"),
            (r#"{"z": 1, "a": "\u00e9"}"#, r#"{"z":1,"a":"\u00e9"}"#),
        ] {
            let payload: Payload = json.parse().unwrap();
            assert_eq!(payload.as_json(), compacted);
            assert_eq!(serde_json::to_string(&payload).unwrap(), compacted);
            assert_eq!(serde_json::from_str::<Payload>(json).unwrap(), payload);
        }
        assert_eq!(Payload::default(), "null".parse().unwrap());
    }

    #[test]
    fn rejects_what_is_not_one_value() {
        for json in ["", "{", "1 2", "nul", "[1,]", "\"\u{1}\""] {
            assert_eq!(
                json.parse::<Payload>(),
                Err(PayloadError::NotJson),
                "{json}"
            );
        }
    }
}
