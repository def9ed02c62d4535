//! The short texts of a message.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text cannot be the type or the key of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must have 1 to {most} bytes, without control characters")]
pub struct LabelError {
    what: &'static str,
    most: usize,
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident($what:literal, $most:literal);)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
            #[serde(try_from = "Arc<str>")]
            pub struct $name(Arc<str>);

            impl $name {
                /// Longest text.
                pub const MAX_BYTES: usize = $most;

                /// The text.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl TryFrom<Arc<str>> for $name {
                type Error = LabelError;

                fn try_from(text: Arc<str>) -> Result<Self, LabelError> {
                    let has_length = (1..=Self::MAX_BYTES).contains(&text.len());
                    match has_length && !text.chars().any(char::is_control) {
                        true => Ok(Self(text)),
                        false => Err(LabelError {
                            what: $what,
                            most: Self::MAX_BYTES,
                        }),
                    }
                }
            }

            impl std::str::FromStr for $name {
                type Err = LabelError;

                fn from_str(text: &str) -> Result<Self, LabelError> {
                    Arc::<str>::from(text).try_into()
                }
            }
        )+
    };
}

labels! {
    /// What a message is to the application: 1 to 64 bytes.
    MessageType("type", 64);
    /// Chosen by the sender, so that a message that it sends again is stored once: 1 to 128 bytes.
    MessageKey("key", 128);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_printable() {
        assert_eq!("chat".parse::<MessageType>().unwrap().as_str(), "chat");
        assert!("ü".repeat(32).parse::<MessageType>().is_ok());
        assert!("k".repeat(128).parse::<MessageKey>().is_ok());
        for text in ["", "a\nb", "\u{7f}", "\u{85}", &"ü".repeat(33)] {
            let error = text.parse::<MessageType>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "type must have 1 to 64 bytes, without control characters"
            );
        }
        assert!("k".repeat(129).parse::<MessageKey>().is_err());
        assert!(serde_json::from_str::<MessageKey>("\"\"").is_err());
    }
}
