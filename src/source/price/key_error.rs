//! Why a key of a `[prices]` entry is invalid. Reads values of TOML so that the error names the key.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::Value;

/// Keys whose values may contain secrets: errors do not repeat the value.
const SECRET_KEYS: [&str; 3] = ["url", "key", "headers"];
/// Keys whose values are addresses.
const ADDRESS_KEYS: [&str; 3] = ["address", "token0", "token1"];
/// Prefix of serde's message for an unknown key, which includes the key.
const UNKNOWN_KEY: &str = "unknown field";

/// An invalid key and the reason; no key if the whole entry is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyError {
    pub(super) key: Option<String>,
    pub(super) reason: String,
}

/// Deserializes a value; the error names the invalid key in it.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, KeyError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let key = error.path().to_string();
        // The path of the whole value.
        let key = (key != ".").then_some(key);
        let message = error.inner().message();
        let first = key.as_deref().and_then(|key| key.split('.').next());
        let is_secret = first.is_some_and(|key| SECRET_KEYS.contains(&key))
            && !message.starts_with(UNKNOWN_KEY);
        let is_address = key
            .as_deref()
            .is_some_and(|key| ADDRESS_KEYS.contains(&key))
            && !message.starts_with(UNKNOWN_KEY);
        let reason = match message.rsplit_once(", expected ") {
            _ if is_address => format!("{message}; use 0x and 40 hexadecimal digits"),
            _ if !is_secret => message.to_owned(),
            Some((_, expected)) => format!("must be {expected}"),
            None => "is not valid".to_owned(),
        };
        KeyError { key, reason }
    })
}

impl KeyError {
    pub(super) fn with(key: &str, reason: String) -> Self {
        Self {
            key: Some(key.to_owned()),
            reason,
        }
    }

    /// Whether no kind of entry has the key.
    pub(super) fn is_unknown_key(&self) -> bool {
        self.reason.starts_with(UNKNOWN_KEY)
    }

    /// The path of the key, given that of its entry.
    pub(super) fn path_in(&self, entry: &str) -> String {
        match &self.key {
            Some(key) => format!("{entry}.{key}"),
            None => entry.to_owned(),
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) if !self.reason.starts_with(UNKNOWN_KEY) => {
                write!(f, "{key}: {}", self.reason)
            }
            _ => f.write_str(&self.reason),
        }
    }
}
