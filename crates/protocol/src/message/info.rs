//! What a member of a room shows to the others.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Payload, PayloadError};

/// A JSON object of at most [`MemberInfo::MAX_BYTES`], without whitespace between tokens; `{}` if the client gives none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberInfo(Payload);

/// Why a value is not the info of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemberInfoError {
    /// Another JSON value.
    #[error("info must be an object, such as {{\"name\":\"Alice\"}}")]
    NotObject,
    /// The object has more bytes than allowed.
    #[error("info has {0} bytes; the limit is {most}", most = MemberInfo::MAX_BYTES)]
    TooLong(usize),
    /// No JSON that is accepted.
    #[error("info: {0}")]
    Json(#[from] PayloadError),
}

impl MemberInfo {
    /// Longest text.
    pub const MAX_BYTES: usize = 1_024;

    /// The JSON text of the object.
    pub fn as_json(&self) -> &str {
        self.0.as_json()
    }
}

impl Default for MemberInfo {
    fn default() -> Self {
        // Two bytes that are always valid.
        Self("{}".parse().unwrap_or_default())
    }
}

impl From<MemberInfo> for Payload {
    fn from(info: MemberInfo) -> Self {
        info.0
    }
}

impl TryFrom<Payload> for MemberInfo {
    type Error = MemberInfoError;

    fn try_from(json: Payload) -> Result<Self, MemberInfoError> {
        let text = json.as_json();
        if !text.starts_with('{') {
            return Err(MemberInfoError::NotObject);
        }
        match text.len() {
            length if length > Self::MAX_BYTES => Err(MemberInfoError::TooLong(length)),
            _ => Ok(Self(json)),
        }
    }
}

impl std::str::FromStr for MemberInfo {
    type Err = MemberInfoError;

    fn from_str(json: &str) -> Result<Self, MemberInfoError> {
        json.parse::<Payload>()?.try_into()
    }
}

impl<'de> Deserialize<'de> for MemberInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Payload::deserialize(deserializer)?;
        json.try_into().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_an_object_of_limited_size() {
        assert_eq!(MemberInfo::default().as_json(), "{}");
        let info: MemberInfo = r#"{ "name": "Ä" }"#.parse().unwrap();
        assert_eq!(info.as_json(), r#"{"name":"Ä"}"#);
        for json in ["null", "[]", "\"{}\"", "7"] {
            assert_eq!(json.parse::<MemberInfo>(), Err(MemberInfoError::NotObject));
        }
        let of = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert!(of(1_024).parse::<MemberInfo>().is_ok());
        assert_eq!(
            of(1_025).parse::<MemberInfo>(),
            Err(MemberInfoError::TooLong(1_025))
        );
    }
}
