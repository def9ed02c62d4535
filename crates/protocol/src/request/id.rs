//! Ids by which clients match answers with requests.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

/// Maximum length of a request's `id`, in bytes of JSON.
pub(super) const MAX_ID: usize = 128;

/// A request's `id`: the text of a JSON number or string, returned unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The JSON text of the number or string.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The id with this JSON text; `None` if it is none.
    pub(super) fn from_json(json: &str) -> Option<Self> {
        let valid = json.len() <= MAX_ID
            && json.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
        valid.then(|| Self(json.into()))
    }
}

impl From<u64> for RequestId {
    fn from(id: u64) -> Self {
        Self(id.to_string().into())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string())
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(json.get()).ok_or_else(|| de::Error::custom("expected an id"))
    }
}
