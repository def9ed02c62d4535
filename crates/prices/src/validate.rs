//! Validates the consistency of `[prices]`. Requires only the configuration.

mod error;
pub(super) mod instrument;
mod kinds;
#[cfg(test)]
mod tests;
mod warnings;

use std::collections::{HashMap, HashSet};

pub use self::error::{PriceConfigError, SourceEntry};
use self::{instrument::Instrument, kinds::kind_problems};
use super::{PriceConfig, QuotePaths, SourceConfig, SourceKind};
use chaincast_protocol::{Address, Token, USD};

/// Maximum length of a source name, in characters.
const MAX_SOURCE_NAME: usize = 64;

impl PriceConfig {
    /// Fails with the first inconsistent entry.
    pub fn validate(&self) -> Result<(), PriceConfigError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is inconsistent.
    pub fn problems(&self) -> Vec<PriceConfigError> {
        let mut found = Vec::new();
        let (first, longest) = (self.exchanges.backoff_ms, self.exchanges.backoff_max_ms);
        if first > longest {
            found.push(PriceConfigError::OutOfRange {
                key: "prices.exchanges.backoff_ms",
                allowed: format!("10 to {longest}"),
                given: first,
            });
        }
        let mut tracked_tokens = HashSet::new();
        for (index, token) in self.tokens.iter().enumerate() {
            let token = &token.symbol;
            if token.as_str() == USD {
                found.push(PriceConfigError::TokenIsQuote { index });
            } else if !tracked_tokens.insert(token) {
                let token = token.clone();
                found.push(PriceConfigError::DuplicateToken { index, token });
            }
        }
        let paths = QuotePaths::new(self);
        let (mut names, mut contracts) = (HashSet::new(), HashSet::new());
        let mut instruments = HashMap::new();
        for (index, source) in self.sources.iter().enumerate() {
            let at = || source.entry(index);
            let token = &source.token;
            if !tracked_tokens.contains(token) {
                let token = token.clone();
                found.push(PriceConfigError::UntrackedToken { at: at(), token });
            }
            if !is_name(&source.source_name()) {
                found.push(PriceConfigError::SourceName { at: at() });
            } else if !names.insert((token, source.source_name())) {
                let token = token.clone();
                found.push(PriceConfigError::DuplicateSource { at: at(), token });
            }
            let contract = source.kind.contract();
            // A pool's price and its averages are distinct.
            let contract = contract.map(|contract| (contract, source.kind.average_seconds()));
            if contract.is_some_and(|contract| !contracts.insert((token, contract))) {
                let token = token.clone();
                found.push(PriceConfigError::DuplicateContract { at: at(), token });
            }
            if let SourceKind::Exchange(listing) = &source.kind {
                if !listing.is_valid_symbol() {
                    let (given, example) = (listing.symbol().to_owned(), listing.example());
                    let at = at();
                    found.push(PriceConfigError::Symbol { at, given, example });
                }
                if !listing.is_valid_url() {
                    found.push(PriceConfigError::Url { at: at() });
                }
            }
            if let Some(instrument) = Instrument::from_kind(&source.kind) {
                let what = instrument.description();
                if let Some(other) = instruments.insert((token, instrument), at()) {
                    let (at, other) = (at(), Box::new(other));
                    found.push(PriceConfigError::DuplicateInstrument { at, what, other });
                }
            }
            let of_kind = kind_problems(source, || self.address_of(token)).into_iter();
            found.extend(of_kind.map(|(key, expected)| {
                let at = at();
                PriceConfigError::Key { at, key, expected }
            }));
            found.extend(check_quote(source, &tracked_tokens, &paths, at).err());
        }
        found
    }
}

fn check_quote(
    source: &SourceConfig,
    tracked_tokens: &HashSet<&Token>,
    paths: &QuotePaths,
    at: impl Fn() -> SourceEntry,
) -> Result<(), PriceConfigError> {
    let quote = source.kind.quote();
    if quote == USD {
        return Ok(());
    }
    let unknown = || PriceConfigError::UnknownQuote {
        at: at(),
        quote: quote.to_owned(),
    };
    let quote: Token = quote.parse().map_err(|_| unknown())?;
    if !tracked_tokens.contains(&quote) {
        return Err(unknown());
    }
    if quote == source.token {
        return Err(PriceConfigError::QuotedInItself {
            at: at(),
            token: quote,
        });
    }
    if !paths.reaches_usd(quote.as_str()) {
        return Err(PriceConfigError::QuoteWithoutUsd { at: at(), quote });
    }
    if paths.depends_on(quote.as_str(), &source.token) {
        let token = source.token.clone();
        return Err(PriceConfigError::QuoteCycle {
            at: at(),
            quote,
            token,
        });
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_SOURCE_NAME).contains(&length)
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

impl PriceConfig {
    fn address_of(&self, token: &Token) -> Option<Address> {
        let mut matching = self.tokens.iter().filter(|one| one.symbol == *token);
        matching.next().and_then(|one| one.address)
    }
}

impl SourceKind {
    /// The window in seconds, if the source averages.
    fn average_seconds(&self) -> Option<u64> {
        match self {
            Self::UniswapV2(pool) | Self::UniswapV3(pool) => pool.average_seconds(),
            _ => None,
        }
    }
}
