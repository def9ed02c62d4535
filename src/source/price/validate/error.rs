//! What can be wrong with an entry of `[prices]`, in words for whoever wrote it.

use super::{
    super::{ExchangeKeyError, MAX_AGE_LIMIT_MS, MOST_STEPS, SourceConfig},
    MAX_SOURCE_NAME,
};
use crate::model::{Token, USD};

/// Which entry of `[prices]` is wrong, and why. `source` counts from 1 in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceConfigError {
    #[error("{key}: must be {allowed}, not {given}")]
    OutOfRange {
        /// The whole key, such as `prices.tokens.0.publish_bps`, where tokens count from 0.
        key: String,
        allowed: String,
        given: u64,
    },
    #[error("{at}: {key} {wanted}")]
    Key {
        at: SourcePlace,
        key: &'static str,
        /// What is wrong with it, or what it must be.
        wanted: String,
    },
    #[error("prices.tokens lists {0} twice")]
    DuplicateToken(Token),
    #[error("prices.tokens lists {USD}, which is the quote currency itself")]
    TokenIsQuote,
    #[error("{at}: {token} is not in prices.tokens")]
    UntrackedToken { at: SourcePlace, token: Token },
    #[error("{at}: {token} has another source of that name; give one a `name` of its own")]
    DuplicateSource { at: SourcePlace, token: Token },
    #[error(
        "{at}: {token} has another source that reads the same contract, which would count it twice"
    )]
    DuplicateContract { at: SourcePlace, token: Token },
    #[error(
        "{at}: its name must have 1 to {MAX_SOURCE_NAME} characters, none of them blank or a control character"
    )]
    SourceName { at: SourcePlace },
    #[error("{at}: max_age_ms must be 1 to {MAX_AGE_LIMIT_MS}, not {given}")]
    MaxAge { at: SourcePlace, given: u64 },
    #[error("{at}: base must be 0 or 1, not {given}")]
    Base { at: SourcePlace, given: u8 },
    #[error("{at}: quote {quote:?} is neither {USD} nor in prices.tokens")]
    UnknownQuote { at: SourcePlace, quote: String },
    #[error("{at}: {token} cannot be quoted in itself")]
    QuotedInItself { at: SourcePlace, token: Token },
    #[error(
        "{at}: no path of at most {MOST_STEPS} sources leads from its quote {quote} to {USD}; give {quote} a source"
    )]
    QuoteWithoutUsd { at: SourcePlace, quote: Token },
    #[error(
        "{at}: the price of its quote {quote} is made of {token}'s own, which is a circle; give {quote} a source in {USD}"
    )]
    QuoteCircle {
        at: SourcePlace,
        quote: Token,
        token: Token,
    },
    #[error(transparent)]
    Exchanges(#[from] ExchangeKeyError),
    #[error("{at}: symbol {given:?} is not as the venue writes one, such as {example}")]
    Symbol {
        at: SourcePlace,
        given: String,
        example: &'static str,
    },
    #[error("{at}: url must be ws:// or wss:// with a host")]
    Url { at: SourcePlace },
    #[error("{at}: reads the same {what} as {other}, which would count it twice")]
    DuplicateReading {
        at: SourcePlace,
        /// What both read, such as a symbol of a venue.
        what: &'static str,
        /// The entry before it.
        other: Box<SourcePlace>,
    },
}

/// Names one `[[prices.sources]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// Position in the file, from 1.
    pub position: usize,
    pub name: String,
    pub token: Token,
}

impl std::fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "prices.sources entry {} ({:?} of {})",
            self.position, self.name, self.token
        )
    }
}

impl PriceConfigError {
    /// The source that it is about, when it is about one.
    pub fn place(&self) -> Option<&SourcePlace> {
        match self {
            Self::OutOfRange { .. }
            | Self::DuplicateToken(_)
            | Self::TokenIsQuote
            | Self::Exchanges(_) => None,
            Self::UntrackedToken { at, .. }
            | Self::Key { at, .. }
            | Self::DuplicateSource { at, .. }
            | Self::DuplicateContract { at, .. }
            | Self::SourceName { at }
            | Self::MaxAge { at, .. }
            | Self::Base { at, .. }
            | Self::UnknownQuote { at, .. }
            | Self::QuotedInItself { at, .. }
            | Self::QuoteWithoutUsd { at, .. }
            | Self::QuoteCircle { at, .. }
            | Self::Symbol { at, .. }
            | Self::Url { at }
            | Self::DuplicateReading { at, .. } => Some(at),
        }
    }
}

impl PriceConfigError {
    /// The key of that source's entry that is wrong, when it is one.
    pub fn key(&self) -> Option<&'static str> {
        Some(match self {
            Self::Key { key, .. } => *key,
            Self::UntrackedToken { .. } => "token",
            Self::DuplicateSource { .. } | Self::SourceName { .. } => "name",
            Self::DuplicateContract { .. } => "address",
            Self::MaxAge { .. } => "max_age_ms",
            Self::Base { .. } => "base",
            Self::UnknownQuote { .. }
            | Self::QuotedInItself { .. }
            | Self::QuoteWithoutUsd { .. }
            | Self::QuoteCircle { .. } => "quote",
            Self::Symbol { .. } => "symbol",
            Self::Url { .. } => "url",
            Self::DuplicateReading { .. }
            | Self::OutOfRange { .. }
            | Self::DuplicateToken(_)
            | Self::TokenIsQuote
            | Self::Exchanges(_) => return None,
        })
    }
}

impl SourceConfig {
    /// This entry in an error; `index` counts from 0.
    pub(in super::super) fn place(&self, index: usize) -> SourcePlace {
        SourcePlace {
            position: index + 1,
            name: self.source_name().to_string(),
            token: self.token.clone(),
        }
    }
}
