//! Errors in `[prices]`.

use super::super::{MAX_QUOTE_STEPS, SourceConfig};
use chaincast_protocol::{Token, USD};

/// Maximum length of a source name, in characters.
pub(super) const MAX_SOURCE_NAME: usize = 64;

/// An invalid setting of `[prices]`. Source positions count from 1 in file order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceConfigError {
    /// A number is not allowed beside the other settings.
    #[error("{key}: must be {allowed}, not {given}")]
    OutOfRange {
        /// The full key, such as `prices.exchanges.backoff_ms`.
        key: &'static str,
        /// The range, such as `10 to 30000`.
        allowed: String,
        /// The configured number.
        given: u64,
    },
    /// A key of a source has an invalid value.
    #[error("{at}: {key} {expected}")]
    Key {
        /// The source.
        at: SourceEntry,
        /// Its name, such as `max_age_ms`.
        key: &'static str,
        /// The error, or the expected value.
        expected: String,
    },
    /// A token is listed twice.
    #[error("prices.tokens lists {token} twice")]
    DuplicateToken {
        /// Position of the second entry, from 0.
        index: usize,
        /// The token.
        token: Token,
    },
    /// The quote currency of all prices is listed as a token.
    #[error("prices.tokens lists {USD}, which is the quote currency itself")]
    TokenIsQuote {
        /// Position of the entry, from 0.
        index: usize,
    },
    /// A source is one of a token that is not listed.
    #[error("{at}: {token} is not in prices.tokens")]
    UntrackedToken {
        /// The source.
        at: SourceEntry,
        /// The token that it prices.
        token: Token,
    },
    /// Two sources of a token have the same name.
    #[error("{at}: {token} has another source of this name; set a unique `name`")]
    DuplicateSource {
        /// The later source.
        at: SourceEntry,
        /// The token that both price.
        token: Token,
    },
    /// Two sources of a token read the same price of the same contract.
    #[error("{at}: another source of {token} reads the same contract, which would count twice")]
    DuplicateContract {
        /// The later source.
        at: SourceEntry,
        /// The token that both price.
        token: Token,
    },
    /// The name of a source cannot be shown.
    #[error(
        "{at}: name must be 1 to {MAX_SOURCE_NAME} characters without whitespace and control characters"
    )]
    SourceName {
        /// The source.
        at: SourceEntry,
    },
    /// The quote currency of a source has no USD price.
    #[error("{at}: quote {quote:?} is neither {USD} nor in prices.tokens")]
    UnknownQuote {
        /// The source.
        at: SourceEntry,
        /// Its configured quote currency.
        quote: String,
    },
    /// The quote currency of a source is the token that it prices.
    #[error("{at}: {token} cannot be quoted in itself")]
    QuotedInItself {
        /// The source.
        at: SourceEntry,
        /// The token that it prices.
        token: Token,
    },
    /// The quote currency of a source has no price that leads to USD, or only through too many others.
    #[error(
        "{at}: no path of at most {MAX_QUOTE_STEPS} sources from its quote {quote} to {USD}; add a source of {quote}"
    )]
    QuoteWithoutUsd {
        /// The source.
        at: SourceEntry,
        /// Its quote currency.
        quote: Token,
    },
    /// The price of a quote currency depends on the token that is quoted in it.
    #[error(
        "{at}: the price of its quote {quote} depends on {token} itself; add a source of {quote} in {USD}"
    )]
    QuoteCycle {
        /// The source.
        at: SourceEntry,
        /// Its quote currency.
        quote: Token,
        /// The token that it prices.
        token: Token,
    },
    /// Two sources of a token read the same instrument at the same venue.
    #[error("{at}: reads the same {what} as {other}, which would count twice")]
    DuplicateInstrument {
        /// The later source.
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
    /// The configured name, or the default one.
    pub name: String,
    /// The priced token.
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
    fn entry(&self) -> Option<&SourceEntry> {
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
    fn key(&self) -> Option<&'static str> {
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
