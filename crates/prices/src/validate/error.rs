//! Errors in `[prices]`.

use super::super::{MAX_QUOTE_STEPS, SourceConfig};
use chaincast_protocol::{Token, USD};

/// Maximum length of a source name, in characters.
pub(super) const MAX_SOURCE_NAME: usize = 64;

/// An invalid setting of `[prices]`. Source positions count from 1 in file order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceConfigError {
    #[error("{key}: must be {allowed}, not {given}")]
    OutOfRange {
        /// The full key, such as `prices.exchanges.backoff_ms`.
        key: &'static str,
        allowed: String,
        given: u64,
    },
    #[error("{at}: {key} {expected}")]
    Key {
        at: SourceEntry,
        key: &'static str,
        /// The error, or the expected value.
        expected: String,
    },
    #[error("prices.tokens lists {token} twice")]
    DuplicateToken {
        /// Position of the second entry, from 0.
        index: usize,
        token: Token,
    },
    #[error("prices.tokens lists {USD}, which is the quote currency itself")]
    TokenIsQuote { index: usize },
    #[error("{at}: {token} is not in prices.tokens")]
    UntrackedToken { at: SourceEntry, token: Token },
    #[error("{at}: {token} has another source of this name; set a unique `name`")]
    DuplicateSource { at: SourceEntry, token: Token },
    #[error("{at}: another source of {token} reads the same contract, which would count twice")]
    DuplicateContract { at: SourceEntry, token: Token },
    #[error(
        "{at}: name must be 1 to {MAX_SOURCE_NAME} characters without whitespace and control characters"
    )]
    SourceName { at: SourceEntry },
    #[error("{at}: quote {quote:?} is neither {USD} nor in prices.tokens")]
    UnknownQuote { at: SourceEntry, quote: String },
    #[error("{at}: {token} cannot be quoted in itself")]
    QuotedInItself { at: SourceEntry, token: Token },
    #[error(
        "{at}: no path of at most {MAX_QUOTE_STEPS} sources from its quote {quote} to {USD}; add a source of {quote}"
    )]
    QuoteWithoutUsd { at: SourceEntry, quote: Token },
    #[error(
        "{at}: the price of its quote {quote} depends on {token} itself; add a source of {quote} in {USD}"
    )]
    QuoteCycle {
        at: SourceEntry,
        quote: Token,
        token: Token,
    },
    #[error("{at}: reads the same {what} as {other}, which would count twice")]
    DuplicateInstrument {
        at: SourceEntry,
        /// What both read, such as a symbol of a venue.
        what: &'static str,
        /// The earlier entry.
        other: Box<SourceEntry>,
    },
}

/// Identifies a `[[prices.sources]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// Position in the file, from 1.
    pub position: usize,
    pub name: String,
    pub token: Token,
}

impl std::fmt::Display for SourceEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "prices.sources entry {} ({:?} of {})",
            self.position, self.name, self.token
        )
    }
}

impl PriceConfigError {
    /// The source that the error is about, if any.
    pub fn entry(&self) -> Option<&SourceEntry> {
        match self {
            Self::OutOfRange { .. } | Self::DuplicateToken { .. } | Self::TokenIsQuote { .. } => {
                None
            }
            Self::UntrackedToken { at, .. }
            | Self::Key { at, .. }
            | Self::DuplicateSource { at, .. }
            | Self::DuplicateContract { at, .. }
            | Self::SourceName { at }
            | Self::UnknownQuote { at, .. }
            | Self::QuotedInItself { at, .. }
            | Self::QuoteWithoutUsd { at, .. }
            | Self::QuoteCycle { at, .. }
            | Self::DuplicateInstrument { at, .. } => Some(at),
        }
    }
}

impl PriceConfigError {
    /// The dotted path of the invalid key, or of its entry; entries count from 0.
    pub fn path(&self) -> String {
        match (self, self.entry()) {
            (Self::OutOfRange { key, .. }, _) => (*key).to_owned(),
            (Self::DuplicateToken { index, .. } | Self::TokenIsQuote { index }, _) => {
                format!("prices.tokens.{index}.symbol")
            }
            (_, Some(at)) => {
                let entry = format!("prices.sources.{}", at.position - 1);
                let key = self.key().map(|key| format!("{entry}.{key}"));
                key.unwrap_or(entry)
            }
            (_, None) => "prices".to_owned(),
        }
    }

    /// The invalid key of that source, if any.
    pub fn key(&self) -> Option<&'static str> {
        Some(match self {
            Self::Key { key, .. } => *key,
            Self::UntrackedToken { .. } => "token",
            Self::DuplicateSource { .. } | Self::SourceName { .. } => "name",
            Self::DuplicateContract { .. } => "address",
            Self::UnknownQuote { .. }
            | Self::QuotedInItself { .. }
            | Self::QuoteWithoutUsd { .. }
            | Self::QuoteCycle { .. } => "quote",
            Self::DuplicateInstrument { .. }
            | Self::OutOfRange { .. }
            | Self::DuplicateToken { .. }
            | Self::TokenIsQuote { .. } => return None,
        })
    }
}

impl SourceConfig {
    /// Identifies this entry in errors; `index` counts from 0.
    pub(in super::super) fn entry(&self, index: usize) -> SourceEntry {
        SourceEntry {
            position: index + 1,
            name: self.source_name().to_string(),
            token: self.token.clone(),
        }
    }
}
