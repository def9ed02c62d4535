//! Values that must never be printed.

use std::fmt;

use serde::Deserialize;

/// A secret, or a URL that may carry one: `Debug` and `Display` hide it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never log or serialize it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty, as that of a key that is not set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For a URL: its scheme, host and port, without user, password, path or query, which may hold a key.
    pub fn redacted_url(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return "(hidden)".to_owned();
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacted_url_hides_credentials() {
        let url = Secret::new("wss://user:pass@node.example:8546/v3/KEY?key=KEY");
        assert_eq!(url.redacted_url(), "wss://node.example:8546");
        assert_eq!(format!("{url:?} {url}"), "(hidden) (hidden)");
    }
}
