//! What the price writer knows: the newest tick of each source and the price of each token as last announced.
//!
//! Pure. It never changes by evaluating: prices are put back with [`Board::keep`] once they are committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustc_hash::FxHashMap;

use crate::{
    model::{Price, Tick, Token},
    source::price::{PriceConfig, SourceTick, UsdRates, aggregate, usd_rate},
};

/// The state that prices are computed from.
#[derive(Debug)]
pub(super) struct Board {
    min_sources: usize,
    /// In the order of the configuration, which is the order of announcements.
    tokens: Vec<Token>,
    /// Sources by token.
    sources: FxHashMap<Token, Vec<Source>>,
    /// Tokens with a source that is counted in the key.
    quoted_in: FxHashMap<Arc<str>, BTreeSet<Token>>,
    prices: BTreeMap<Token, Price>,
}

#[derive(Debug)]
struct Source {
    name: Arc<str>,
    max_age_ms: u64,
    latest: Option<Tick>,
}

/// What became of the prices that were looked at.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Evaluation {
    /// To be announced.
    pub(super) changed: Vec<Price>,
    /// Nothing to say of them but that newer ticks confirm them.
    pub(super) confirmed: Vec<Price>,
}

impl Board {
    /// Empty. The configuration must be valid.
    pub(super) fn new(config: &PriceConfig) -> Self {
        let mut sources = FxHashMap::<Token, Vec<Source>>::default();
        let mut quoted_in = FxHashMap::<Arc<str>, BTreeSet<Token>>::default();
        for source in &config.sources {
            sources
                .entry(source.token.clone())
                .or_default()
                .push(Source {
                    name: source.source_name(),
                    max_age_ms: source.max_age_ms,
                    latest: None,
                });
            quoted_in
                .entry(source.kind.quote().into())
                .or_default()
                .insert(source.token.clone());
        }
        let tokens = config.tokens.iter().map(|token| token.symbol.clone());
        Self {
            min_sources: config.min_sources(),
            tokens: tokens.collect(),
            sources,
            quoted_in,
            prices: BTreeMap::new(),
        }
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(super) fn prices(&self) -> impl Iterator<Item = &Price> {
        self.prices.values()
    }

    /// Forgets every tick and takes these, the newest of each source in the store.
    pub(super) fn replace_ticks(&mut self, ticks: Vec<Tick>) {
        for source in self.sources.values_mut().flatten() {
            source.latest = None;
        }
        self.take(ticks);
    }

    /// Takes ticks that were committed; a late one does not replace a newer one of its source, and one of a source
    /// that is not configured is ignored. Returns the tokens whose price may change by it.
    pub(super) fn take(&mut self, ticks: Vec<Tick>) -> BTreeSet<Token> {
        let mut affected = BTreeSet::new();
        for tick in ticks {
            let sources = self.sources.get_mut(&tick.token).into_iter().flatten();
            let mut named = sources.filter(|source| source.name == tick.source);
            let Some(source) = named.next() else {
                continue;
            };
            let known = source.latest.as_ref();
            if known.is_some_and(|known| !is_newer(&tick, known)) {
                continue;
            }
            if let Some(tokens) = self.quoted_in.get(tick.token.as_str()) {
                affected.extend(tokens.iter().cloned());
            }
            affected.insert(tick.token.clone());
            source.latest = Some(tick);
        }
        affected
    }

    /// Computes the prices of these tokens at a time in ms.
    pub(super) fn evaluate(&self, tokens: &BTreeSet<Token>, now_ms: i64) -> Evaluation {
        let rates = self.rates(now_ms);
        let mut evaluation = Evaluation::default();
        for token in self.tokens.iter().filter(|token| tokens.contains(*token)) {
            let known = self.prices.get(token);
            let ticks = self.ticks(token);
            let price = aggregate(token, &ticks, &rates, self.min_sources, known, now_ms);
            let Some(price) = price else { continue };
            if known.is_none_or(|known| is_news(&price, known)) {
                evaluation.changed.push(price);
            } else if known != Some(&price) {
                evaluation.confirmed.push(price);
            }
        }
        evaluation
    }

    /// All tokens at once, as after a reload or when time alone has passed.
    pub(super) fn evaluate_all(&self, now_ms: i64) -> Evaluation {
        self.evaluate(&self.tokens.iter().cloned().collect(), now_ms)
    }

    /// Remembers prices as announced or confirmed.
    pub(super) fn keep(&mut self, prices: impl IntoIterator<Item = Price>) {
        for price in prices {
            self.prices.insert(price.token.clone(), price);
        }
    }

    /// USD rates of the tokens that others are counted in.
    fn rates(&self, now_ms: i64) -> UsdRates {
        let quotes = self
            .tokens
            .iter()
            .filter(|token| self.quoted_in.contains_key(token.as_str()));
        quotes
            .filter_map(|token| {
                let rate = usd_rate(token, &self.ticks(token), now_ms)?;
                Some((Arc::from(token.as_str()), rate))
            })
            .collect()
    }

    fn ticks(&self, token: &Token) -> Vec<SourceTick<'_>> {
        let sources = self.sources.get(token).into_iter().flatten();
        sources
            .filter_map(|source| {
                Some(SourceTick {
                    tick: source.latest.as_ref()?,
                    max_age_ms: source.max_age_ms,
                })
            })
            .collect()
    }
}

/// Whether subscribers should hear of it: anything that they are told but the time of the newest tick.
fn is_news(price: &Price, known: &Price) -> bool {
    price.price != known.price
        || price.confidence != known.confidence
        || price.status != known.status
        || price.sources != known.sources
}

/// On one chain its own order decides: a later log may claim an earlier time. Elsewhere the event time does.
fn is_newer(tick: &Tick, known: &Tick) -> bool {
    match (&tick.origin, &known.origin) {
        (Some(new), Some(old)) if new.chain_id == old.chain_id => {
            (new.block_number, new.log_index) > (old.block_number, old.log_index)
        }
        _ => tick.observed_at > known.observed_at,
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
