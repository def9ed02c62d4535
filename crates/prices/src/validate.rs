//! Validates the consistency of `[prices]`. Requires only the configuration.

mod error;
mod quotes;
#[cfg(test)]
mod tests;
mod warnings;

use std::collections::{HashMap, HashSet};

use self::error::MAX_SOURCE_NAME;
pub use self::error::PriceConfigError;
use self::quotes::Quotes;
use super::PriceConfig;
use chaincast_base::settings::Problems;
use chaincast_protocol::USD;

/// The keys that make the name of a source.
const NAME_KEYS: [&str; 3] = ["token", "name", "price"];
/// The keys that select what a source on a chain reads.
const CONTRACT_KEYS: [&str; 5] = ["token", "chain_id", "address", "price", "twap_seconds"];

impl PriceConfig {
    /// Fails with the first inconsistent entry.
    pub fn validate(&self) -> Result<(), PriceConfigError> {
        let none = Problems::new(Self::KEYS);
        self.problems(&none).into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is inconsistent. Values in `reported` are not the configured ones: nothing is compared with them.
    pub fn problems(&self, reported: &Problems) -> Vec<PriceConfigError> {
        let mut found = Vec::new();
        let (first, longest) = (self.exchanges.backoff_ms, self.exchanges.backoff_max_ms);
        if first > longest && !reported.is_reported("prices.exchanges.backoff_max_ms") {
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
        let has_tokens = !reported.is_reported_in_list("prices.tokens", "symbol");
        let quotes = Quotes::new(self, reported, &tracked_tokens, has_tokens);
        let (mut names, mut contracts) = (HashSet::new(), HashSet::new());
        let mut instruments = HashMap::new();
        for (index, source) in self.sources.iter().enumerate() {
            let at = || source.entry(index);
            let is_reported = |key: &str| {
                let path = format!("prices.sources.{index}.{key}");
                reported.is_reported(&path)
            };
            let has = |keys: &[&str]| !keys.iter().any(|key| is_reported(key));
            let (token, settings) = (&source.token, source.kind.settings());
            // Of USD among the tokens, one line says enough.
            let is_quote =
                token.as_str() == USD && self.tokens.iter().any(|of| of.symbol == *token);
            if has_tokens && !is_quote && !tracked_tokens.contains(token) {
                let token = token.clone();
                found.push(PriceConfigError::UntrackedToken { at: at(), token });
            }
            if !is_name(&source.source_name()) {
                found.push(PriceConfigError::SourceName { at: at() });
            } else if has(&NAME_KEYS) && !names.insert((token, source.source_name())) {
                let token = token.clone();
                found.push(PriceConfigError::DuplicateSource { at: at(), token });
            }
            let contract = source.kind.contract().filter(|_| has(&CONTRACT_KEYS));
            // A pool's price and its averages are distinct.
            let contract = contract.map(|contract| (contract, settings.average_seconds()));
            if contract.is_some_and(|contract| !contracts.insert((token, contract))) {
                let token = token.clone();
                found.push(PriceConfigError::DuplicateContract { at: at(), token });
            }
            if let Some(instrument) = settings.instrument()
                && has(instrument.keys)
                && !is_reported("token")
            {
                let what = instrument.description;
                let instrument = (token, source.kind.name(), instrument);
                if let Some(other) = instruments.insert(instrument, at()) {
                    let (at, other) = (at(), Box::new(other));
                    found.push(PriceConfigError::DuplicateInstrument { at, what, other });
                }
            }
            let has_address = match self.tokens.iter().position(|one| one.symbol == *token) {
                Some(at) => {
                    let path = format!("prices.tokens.{at}.address");
                    self.tokens[at].address.is_some() || reported.is_reported(&path)
                }
                None => !has_tokens,
            };
            let of_kind = settings.problems(source, has_address, &is_reported);
            let of_kind = of_kind.into_iter();
            found.extend(of_kind.map(|(key, expected)| {
                let at = at();
                PriceConfigError::Key { at, key, expected }
            }));
            found.extend(quotes.check(source, at).err());
        }
        found
    }
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_SOURCE_NAME).contains(&length)
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
