//! Symbols of tracked tokens.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A token symbol in canonical upper case: 1 to 32 of `A-Z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Arc<str>);

/// Why a text is not a token symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a token symbol: use 1 to 32 of A-Z, 0-9, '.', '_' and '-'")]
pub struct TokenError(String);

impl Token {
    /// Stands for a symbol that cannot be read; no token has it.
    pub fn unknown() -> Self {
        Self("?".into())
    }

    /// The symbol, in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 32 || !text.chars().all(allowed) {
            return Err(TokenError(text.chars().take(40).collect()));
        }
        Ok(Self(text.to_ascii_uppercase().into()))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbol_is_upper_case() {
        assert_eq!("eth".parse::<Token>().unwrap().as_str(), "ETH");
    }

    #[test]
    fn rejects_invalid_symbols() {
        for bad in ["", "E:TH", "E TH", &"x".repeat(33)] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?}");
        }
    }
}
