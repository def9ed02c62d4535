//! The state of the price writer: the newest tick of each source, the rates of the tokens that others are quoted in, and
//! the last announced price of each token.
//!
//! No I/O, and no clock of its own. Only changed prices are computed again. Announced prices are passed back to
//! [`PriceState::record_announced`] once they are committed; a failed commit ends the state with its writer.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{
    publish_policy::{PublishDecision, PublishedPrice, decide, heartbeat_at},
    token_state::{SilentChains, Source, TokenPositions, TokenState, is_newer, ticks},
};
use chaincast_model::{Price, Tick};
use chaincast_prices::{
    JumpGuard, PriceConfig, QuotePaths, SourceTick, UsdRate, UsdRates, aggregate, usd_rate,
};
use chaincast_protocol::{ChainId, PriceReason, PriceStatus, Token};

/// The state that prices are computed from.
#[derive(Debug)]
pub(super) struct PriceState {
    entries: Vec<TokenState>,
    positions: FxHashMap<Token, usize>,
    /// Tokens that others are quoted in, those nearer to USD first.
    rated: Vec<usize>,
    /// As of the newest ticks and the last evaluation.
    rates: UsdRates,
    /// When a token must be evaluated next without a new tick, in ms since the Unix epoch.
    due: BTreeSet<(i64, usize)>,
    silent: SilentChains,
}

impl PriceState {
    /// Creates an empty state. The configuration must be valid; `first_chain` is the chain of sources that name none.
    pub(super) fn new(config: &PriceConfig, first_chain: ChainId) -> Self {
        let paths = QuotePaths::new(config);
        let tokens = config.tokens.iter();
        let mut entries: Vec<TokenState> =
            tokens.map(|token| TokenState::new(config, token)).collect();
        let positions: FxHashMap<Token, usize> = entries
            .iter()
            .enumerate()
            .map(|(position, entry)| (entry.token.clone(), position))
            .collect();
        let venues = config.venues(Some(first_chain));
        for (source, venue) in config.sources.iter().zip(venues) {
            let quote = source.kind.quote();
            let Some(&position) = positions.get(&source.token) else {
                continue;
            };
            let quoted = quote
                .parse::<Token>()
                .ok()
                .and_then(|quote| positions.get(&quote));
            if let Some(&quoted) = quoted {
                entries[quoted].quoting.insert(position);
            }
            entries[position].sources.push(Source {
                name: source.source_name(),
                quote: quote.into(),
                max_age_ms: source.max_age_ms,
                on_chain: source.kind.contract().is_some(),
                feed: source.kind.has_answers(),
                venue,
                nearer: paths.is_nearer_to_usd(source.token.as_str(), quote),
                latest: None,
            });
        }
        let mut rated: Vec<usize> = (0..entries.len())
            .filter(|position| !entries[*position].quoting.is_empty())
            .collect();
        rated.sort_by_key(|position| paths.distance(entries[*position].token.as_str()));
        Self {
            entries,
            positions,
            rated,
            rates: UsdRates::new(),
            due: BTreeSet::new(),
            silent: SilentChains::default(),
        }
    }

    /// Replaces the chains whose ticks are not fresh.
    pub(super) fn set_silent(&mut self, silent: SilentChains) {
        self.silent = silent;
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        let tokens = self.entries.iter().map(|entry| entry.token.clone());
        tokens.collect()
    }

    /// The announced prices, with the times of the ticks that confirmed them since.
    pub(super) fn prices(&self) -> impl Iterator<Item = &Price> {
        let published = self
            .entries
            .iter()
            .filter_map(|entry| entry.published.as_ref());
        published.map(|published| &published.price)
    }

    /// A token's last announced price.
    pub(super) fn announced(&self, token: &Token) -> Option<&Price> {
        let entry = &self.entries[*self.positions.get(token)?];
        entry.published.as_ref().map(|published| &published.price)
    }

    /// Whether an on-chain source is configured.
    pub(super) fn reads_chains(&self) -> bool {
        let mut sources = self.entries.iter().flat_map(|entry| &entry.sources);
        sources.any(|source| source.on_chain)
    }

    /// Whether the tick belongs to a configured source.
    pub(super) fn knows(&self, tick: &Tick) -> bool {
        let position = self.positions.get(&tick.token);
        position.is_some_and(|position| self.entries[*position].source(tick).is_some())
    }

    /// Replaces the ticks of chains with these, the newest of each on-chain source in the store.
    pub(super) fn reload_chain_ticks(&mut self, ticks: &[Tick]) {
        for source in self.entries.iter_mut().flat_map(|entry| &mut entry.sources) {
            source.latest.take_if(|tick| tick.origin.is_some());
        }
        self.apply_ticks(ticks);
    }

    /// Applies ticks. A late one does not replace a newer one of its source, and one of an unconfigured source is ignored.
    /// Returns the tokens with a newer tick.
    pub(super) fn apply_ticks(&mut self, ticks: &[Tick]) -> TokenPositions {
        let mut affected = TokenPositions::new();
        for tick in ticks {
            let Some(&position) = self.positions.get(&tick.token) else {
                continue;
            };
            let Some(source) = self.entries[position].source(tick) else {
                continue;
            };
            let source = &mut self.entries[position].sources[source];
            let known = source.latest.as_ref();
            if known.is_none_or(|known| is_newer(tick, known)) {
                source.latest = Some(tick.clone());
                affected.insert(position);
            }
        }
        affected
    }

    /// Computes the prices of these tokens, of those quoted in them if their rates change, and of those that are due, at
    /// a time in ms. Returns the prices to announce.
    pub(super) fn evaluate(&mut self, mut affected: TokenPositions, now_ms: i64) -> Vec<Price> {
        affected.extend(self.take_due(now_ms));
        for at in 0..self.rated.len() {
            let position = self.rated[at];
            if affected.contains(&position) && self.update_rate(position, now_ms) {
                affected.extend(&self.entries[position].quoting);
            }
        }
        let mut changed = Vec::new();
        for position in affected {
            changed.extend(self.compute_price(position, now_ms));
        }
        changed
    }

    /// Computes the prices of all tokens, as after a reload or at a periodic check.
    pub(super) fn evaluate_all(&mut self, now_ms: i64) -> Vec<Price> {
        self.evaluate((0..self.entries.len()).collect(), now_ms)
    }

    /// When the next token must be evaluated without a new tick, in ms since the Unix epoch.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Restores a token's price that an earlier writer announced at a time in ms since the Unix epoch.
    pub(super) fn restore(&mut self, price: Price, announced_at: i64) {
        if let Some(&position) = self.positions.get(&price.token) {
            let level = JumpGuard::restored(&price, announced_at);
            let entry = &mut self.entries[position];
            entry.rate_level = level.clone();
            entry.level = level;
            // Older versions did not store the reason.
            entry.cut_off = price.status == PriceStatus::Stale
                && matches!(price.reason, Some(PriceReason::NodeDown) | None);
        }
        self.record_announced([price], announced_at);
    }

    /// Records prices as announced at a time in ms since the Unix epoch.
    pub(super) fn record_announced(
        &mut self,
        prices: impl IntoIterator<Item = Price>,
        announced_at: i64,
    ) {
        for price in prices {
            let Some(&position) = self.positions.get(&price.token) else {
                continue;
            };
            let published = PublishedPrice {
                price,
                announced_at,
            };
            let entry = &mut self.entries[position];
            let due = heartbeat_at(&entry.publish, &published);
            entry.published = Some(published);
            entry.times_changed = false;
            self.set_due(position, due);
        }
    }

    /// Announced prices that newer ticks confirmed since the last call.
    pub(super) fn take_confirmed(&mut self) -> Vec<Price> {
        let times_changed = self.entries.iter_mut().filter_map(|entry| {
            let published = entry.published.as_ref()?;
            std::mem::take(&mut entry.times_changed).then(|| published.price.clone())
        });
        times_changed.collect()
    }

    fn take_due(&mut self, now_ms: i64) -> TokenPositions {
        let mut due = TokenPositions::new();
        while let Some((at, position)) = self.due.first().copied()
            && at <= now_ms
        {
            self.set_due(position, None);
            due.insert(position);
        }
        due
    }

    fn set_due(&mut self, position: usize, due: Option<i64>) {
        let entry = &mut self.entries[position];
        if entry.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(before, position));
        }
        self.due.extend(due.map(|at| (at, position)));
    }

    /// Computes a token's rate again; returns whether anything but its time changed.
    fn update_rate(&mut self, position: usize, now_ms: i64) -> bool {
        let entry = &mut self.entries[position];
        entry.bound_times(now_ms);
        let ticks = ticks(&entry.sources, &self.silent, entry.cut_off, |source| {
            source.nearer
        });
        let rate = usd_rate(
            &entry.token,
            &ticks,
            &self.rates,
            &entry.rules,
            &mut entry.rate_level,
            now_ms,
        );
        let name = entry.name.clone();
        let value = |rate: &UsdRate| (rate.price.clone(), rate.confidence.clone(), rate.trust);
        let now = rate.as_ref().map(value);
        let before = match rate {
            Some(rate) => self.rates.insert(name, rate),
            None => self.rates.remove(&name),
        };
        now != before.as_ref().map(value)
    }

    /// The price of a token's newest ticks of any age, converted by rates of any age.
    fn first_stale(&self, position: usize, now_ms: i64) -> Option<Price> {
        fn ever(entry: &TokenState, used: impl Fn(&Source) -> bool) -> Vec<SourceTick<'_>> {
            let mut ticks = ticks(&entry.sources, &SilentChains::default(), false, used);
            for source in &mut ticks {
                source.max_age_ms = u64::MAX;
            }
            ticks
        }
        // A stale price is neither held nor a reference.
        let mut level = JumpGuard::default();
        let mut rates = UsdRates::new();
        for at in &self.rated {
            let entry = &self.entries[*at];
            let ticks = ever(entry, |source| source.nearer);
            let (token, rules) = (&entry.token, &entry.rules);
            let rate = usd_rate(token, &ticks, &rates, rules, &mut level, now_ms);
            rates.extend(rate.map(|rate| (entry.name.clone(), rate)));
            level = JumpGuard::default();
        }
        let entry = &self.entries[position];
        let ticks = ever(entry, |_| true);
        let (token, rules) = (&entry.token, &entry.rules);
        let price = aggregate(token, &ticks, &rates, rules, &mut level, None, now_ms)?;
        Some(Price {
            status: PriceStatus::Stale,
            reason: Some(PriceReason::Old),
            // Its ticks may have any age: it was never fresh.
            expires_at: price.observed_at,
            ..price
        })
    }

    /// Whether only the unresponsive node of its chain keeps a tick of the token from being fresh.
    fn is_cut_off(&self, position: usize, now_ms: i64) -> bool {
        let entry = &self.entries[position];
        entry.sources.iter().any(|source| {
            source.latest.as_ref().is_some_and(|tick| {
                let age = now_ms.saturating_sub(tick.observed_at).max(0);
                self.silent.excludes(tick, entry.cut_off) && age.unsigned_abs() <= source.max_age_ms
            })
        })
    }

    /// Computes a token's price; returns it if it must be announced.
    fn compute_price(&mut self, position: usize, now_ms: i64) -> Option<Price> {
        let entry = &mut self.entries[position];
        entry.bound_times(now_ms);
        let last = entry.published.as_ref().map(|published| &published.price);
        let ticks = ticks(&entry.sources, &self.silent, entry.cut_off, |_| true);
        let price = aggregate(
            &entry.token,
            &ticks,
            &self.rates,
            &entry.rules,
            &mut entry.level,
            last,
            now_ms,
        );
        let price = match (price, last) {
            // No tick has been fresh since the first one: a stale price is better than none.
            (None, None) => self.first_stale(position, now_ms)?,
            (price, _) => price?,
        };
        let price = match price.status {
            PriceStatus::Stale if self.is_cut_off(position, now_ms) => Price {
                reason: Some(PriceReason::NodeDown),
                ..price
            },
            _ => price,
        };
        let entry = &mut self.entries[position];
        let Some(published) = &mut entry.published else {
            return Some(price);
        };
        match decide(&entry.publish, published, &price, now_ms) {
            PublishDecision::Announce => return Some(price),
            PublishDecision::Defer(until) => self.set_due(position, Some(until)),
            PublishDecision::Unchanged => {
                let as_stored = published.price.observed_at == price.observed_at
                    && published.price.expires_at == price.expires_at
                    && published.price.details == price.details;
                if !as_stored {
                    published.price.observed_at = price.observed_at;
                    published.price.expires_at = price.expires_at;
                    published.price.details = price.details;
                    entry.times_changed = true;
                }
                let beat = heartbeat_at(&entry.publish, published);
                self.set_due(position, beat);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
