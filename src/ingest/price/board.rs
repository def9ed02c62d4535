//! What the price writer knows: the newest tick of each source, the rates of the tokens that others are counted in, and
//! the price of each token as it was announced last.
//!
//! No I/O, and no clock of its own. Only what changed is computed again. Prices to be announced are put back with
//! [`Board::keep`] once they are committed; a commit that fails ends the board with its session.

use std::{collections::BTreeSet, sync::Arc};

use rustc_hash::FxHashMap;

use super::publish::{Said, Verdict, heartbeat_at, verdict};
use crate::{
    model::{ChainId, Price, PriceReason, PriceStatus, Tick, Token},
    source::price::{
        AggregateRules, Level, MOST_AHEAD_MS, PriceConfig, PublishRules, QuotePaths, SourceKind,
        SourceTick, TokenConfig, UsdRate, UsdRates, aggregate, usd_rate,
    },
};

/// Tokens by their place in the configuration, which is the order of announcements.
pub(super) type Places = BTreeSet<usize>;

/// The state that prices are computed from.
#[derive(Debug)]
pub(super) struct Board {
    entries: Vec<Entry>,
    places: FxHashMap<Token, usize>,
    /// Tokens that others are counted in, those nearer to USD first.
    rated: Vec<usize>,
    /// As of the newest ticks and the last look.
    rates: UsdRates,
    /// When which token is to be looked at although nothing came.
    due: BTreeSet<(i64, usize)>,
    silent: Silent,
}

/// Chains whose node does not answer: what was read from them may be false by now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Silent {
    /// Its node is down: no tick of it is fresh.
    pub(super) down: BTreeSet<ChainId>,
    /// The store knows no answer of its node for as long, and nobody watched meanwhile, so the store itself may be why.
    /// A price that went stale because the node was down stays so.
    pub(super) unseen: BTreeSet<ChainId>,
}

/// A token.
#[derive(Debug)]
struct Entry {
    token: Token,
    name: Arc<str>,
    rules: AggregateRules,
    publish: PublishRules,
    sources: Vec<Source>,
    /// Tokens with a source that is counted in this one.
    quoting: Places,
    /// What its price is compared with while one venue alone gives it, and the same of its rate.
    level: Level,
    rate_level: Level,
    said: Option<Said>,
    /// An earlier writer left it stale, and maybe because a node was down.
    cut_off: bool,
    /// The times in `said` moved since they were stored.
    moved: bool,
    due: Option<i64>,
}

#[derive(Debug)]
struct Source {
    name: Arc<str>,
    quote: Arc<str>,
    max_age_ms: u64,
    on_chain: bool,
    /// A feed of Chainlink.
    feed: bool,
    /// Sources of one venue have the same.
    venue: usize,
    /// Whether the token's rate is made of it.
    nearer: bool,
    latest: Option<Tick>,
}

impl Board {
    /// Empty. The configuration must be valid; `first_chain` is the chain of the sources that name none.
    pub(super) fn new(config: &PriceConfig, first_chain: ChainId) -> Self {
        let paths = QuotePaths::new(config);
        let tokens = config.tokens.iter();
        let mut entries: Vec<Entry> = tokens.map(|token| Entry::new(config, token)).collect();
        let places: FxHashMap<Token, usize> = entries
            .iter()
            .enumerate()
            .map(|(place, entry)| (entry.token.clone(), place))
            .collect();
        let venues = config.venues(Some(first_chain));
        for (source, venue) in config.sources.iter().zip(venues) {
            let quote = source.kind.quote();
            let Some(&place) = places.get(&source.token) else {
                continue;
            };
            let quoted = quote
                .parse::<Token>()
                .ok()
                .and_then(|quote| places.get(&quote));
            if let Some(&quoted) = quoted {
                entries[quoted].quoting.insert(place);
            }
            entries[place].sources.push(Source {
                name: source.source_name(),
                quote: quote.into(),
                max_age_ms: source.max_age_ms,
                on_chain: source.kind.contract().is_some(),
                feed: matches!(source.kind, SourceKind::Chainlink(_)),
                venue,
                nearer: paths.is_shorter(source.token.as_str(), quote),
                latest: None,
            });
        }
        let mut rated: Vec<usize> = (0..entries.len())
            .filter(|place| !entries[*place].quoting.is_empty())
            .collect();
        rated.sort_by_key(|place| paths.distance(entries[*place].token.as_str()));
        Self {
            entries,
            places,
            rated,
            rates: UsdRates::new(),
            due: BTreeSet::new(),
            silent: Silent::default(),
        }
    }

    /// Ticks of these chains are not fresh from now on, and those of others are again.
    pub(super) fn set_silent(&mut self, silent: Silent) {
        self.silent = silent;
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        let tokens = self.entries.iter().map(|entry| entry.token.clone());
        tokens.collect()
    }

    /// Prices as announced, with the times of what confirmed them since.
    pub(super) fn prices(&self) -> impl Iterator<Item = &Price> {
        let said = self.entries.iter().filter_map(|entry| entry.said.as_ref());
        said.map(|said| &said.price)
    }

    /// A token's price as announced.
    pub(super) fn announced(&self, token: &Token) -> Option<&Price> {
        let entry = &self.entries[*self.places.get(token)?];
        entry.said.as_ref().map(|said| &said.price)
    }

    /// Whether a source on a chain is configured.
    pub(super) fn reads_chains(&self) -> bool {
        let mut sources = self.entries.iter().flat_map(|entry| &entry.sources);
        sources.any(|source| source.on_chain)
    }

    /// Whether the tick is of a configured source.
    pub(super) fn knows(&self, tick: &Tick) -> bool {
        let place = self.places.get(&tick.token);
        place.is_some_and(|place| self.entries[*place].source(tick).is_some())
    }

    /// Forgets the ticks that came from chains and takes these, the newest of each source on a chain in the store.
    pub(super) fn replace_chain_ticks(&mut self, ticks: &[Tick]) {
        for source in self.entries.iter_mut().flat_map(|entry| &mut entry.sources) {
            source.latest.take_if(|tick| tick.origin.is_some());
        }
        self.take(ticks);
    }

    /// Takes ticks; a late one does not replace a newer one of its source, and one of a source that is not configured
    /// is ignored. Returns the tokens that have a newer one now.
    pub(super) fn take(&mut self, ticks: &[Tick]) -> Places {
        let mut affected = Places::new();
        for tick in ticks {
            let Some(&place) = self.places.get(&tick.token) else {
                continue;
            };
            let Some(source) = self.entries[place].source(tick) else {
                continue;
            };
            let source = &mut self.entries[place].sources[source];
            let known = source.latest.as_ref();
            if known.is_none_or(|known| is_newer(tick, known)) {
                source.latest = Some(tick.clone());
                affected.insert(place);
            }
        }
        affected
    }

    /// Computes the prices of these tokens, of those whose quotes' rates change with them, and of those that are due,
    /// at a time in ms. Returns what is to be announced.
    pub(super) fn evaluate(&mut self, mut affected: Places, now_ms: i64) -> Vec<Price> {
        affected.extend(self.take_due(now_ms));
        for at in 0..self.rated.len() {
            let place = self.rated[at];
            if affected.contains(&place) && self.rate(place, now_ms) {
                affected.extend(&self.entries[place].quoting);
            }
        }
        let mut news = Vec::new();
        for place in affected {
            news.extend(self.price(place, now_ms));
        }
        news
    }

    /// All tokens at once, as after a reload or when time alone has passed.
    pub(super) fn evaluate_all(&mut self, now_ms: i64) -> Vec<Price> {
        self.evaluate((0..self.entries.len()).collect(), now_ms)
    }

    /// When the next token is to be looked at although nothing came, in ms since the Unix epoch.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes in the price of a token that an earlier writer announced last, and when, in ms since the Unix epoch.
    pub(super) fn recall(&mut self, price: Price, announced_at: i64) {
        if let Some(&place) = self.places.get(&price.token) {
            let level = Level::recalled(&price, announced_at);
            let entry = &mut self.entries[place];
            entry.rate_level = level.clone();
            entry.level = level;
            // An earlier version did not store why.
            entry.cut_off = price.status == PriceStatus::Stale
                && matches!(price.reason, Some(PriceReason::NodeDown) | None);
        }
        self.keep([price], announced_at);
    }

    /// Remembers prices as announced at a time in ms since the Unix epoch.
    pub(super) fn keep(&mut self, prices: impl IntoIterator<Item = Price>, announced_at: i64) {
        for price in prices {
            let Some(&place) = self.places.get(&price.token) else {
                continue;
            };
            let said = Said {
                price,
                announced_at,
            };
            let entry = &mut self.entries[place];
            let due = heartbeat_at(&entry.publish, &said);
            entry.said = Some(said);
            entry.moved = false;
            self.set_due(place, due);
        }
    }

    /// Announced prices whose times moved since the last call, because newer ticks say the same.
    pub(super) fn take_moved(&mut self) -> Vec<Price> {
        let moved = self.entries.iter_mut().filter_map(|entry| {
            let said = entry.said.as_ref()?;
            std::mem::take(&mut entry.moved).then(|| said.price.clone())
        });
        moved.collect()
    }

    fn take_due(&mut self, now_ms: i64) -> Places {
        let mut due = Places::new();
        while let Some((at, place)) = self.due.first().copied()
            && at <= now_ms
        {
            self.set_due(place, None);
            due.insert(place);
        }
        due
    }

    fn set_due(&mut self, place: usize, due: Option<i64>) {
        let entry = &mut self.entries[place];
        if entry.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(before, place));
        }
        self.due.extend(due.map(|at| (at, place)));
    }

    /// Computes a token's rate anew; whether it changed but for its time.
    fn rate(&mut self, place: usize, now_ms: i64) -> bool {
        let entry = &mut self.entries[place];
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

    /// The price that a token's newest ticks make however old they are, converted by rates of any age.
    fn first_stale(&self, place: usize, now_ms: i64) -> Option<Price> {
        fn ever(entry: &Entry, used: impl Fn(&Source) -> bool) -> Vec<SourceTick<'_>> {
            let mut ticks = ticks(&entry.sources, &Silent::default(), false, used);
            for source in &mut ticks {
                source.max_age_ms = u64::MAX;
            }
            ticks
        }
        // What is stale is neither held nor compared with.
        let mut level = Level::default();
        let mut rates = UsdRates::new();
        for at in &self.rated {
            let entry = &self.entries[*at];
            let ticks = ever(entry, |source| source.nearer);
            let (token, rules) = (&entry.token, &entry.rules);
            let rate = usd_rate(token, &ticks, &rates, rules, &mut level, now_ms);
            rates.extend(rate.map(|rate| (entry.name.clone(), rate)));
            level = Level::default();
        }
        let entry = &self.entries[place];
        let ticks = ever(entry, |_| true);
        let (token, rules) = (&entry.token, &entry.rules);
        let price = aggregate(token, &ticks, &rates, rules, &mut level, None, now_ms)?;
        Some(Price {
            status: PriceStatus::Stale,
            reason: Some(PriceReason::Old),
            // Its ticks were of any age: it never was fresh.
            expires_at: price.observed_at,
            ..price
        })
    }

    /// Whether a tick of the token would be fresh, but for its chain, whose node does not answer.
    fn is_cut_off(&self, place: usize, now_ms: i64) -> bool {
        let entry = &self.entries[place];
        entry.sources.iter().any(|source| {
            source.latest.as_ref().is_some_and(|tick| {
                let age = now_ms.saturating_sub(tick.observed_at).max(0);
                self.silent.doubts(tick, entry.cut_off) && age.unsigned_abs() <= source.max_age_ms
            })
        })
    }

    /// Computes a token's price; returned when it is to be announced.
    fn price(&mut self, place: usize, now_ms: i64) -> Option<Price> {
        let entry = &mut self.entries[place];
        entry.bound_times(now_ms);
        let last = entry.said.as_ref().map(|said| &said.price);
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
            // Nothing was fresh since the first tick came: an old price is better known than none, when it says so.
            (None, None) => self.first_stale(place, now_ms)?,
            (price, _) => price?,
        };
        let price = match price.status {
            PriceStatus::Stale if self.is_cut_off(place, now_ms) => Price {
                reason: Some(PriceReason::NodeDown),
                ..price
            },
            _ => price,
        };
        let entry = &mut self.entries[place];
        let Some(said) = &mut entry.said else {
            return Some(price);
        };
        match verdict(&entry.publish, said, &price, now_ms) {
            Verdict::Announce => return Some(price),
            Verdict::Wait(until) => self.set_due(place, Some(until)),
            Verdict::Keep => {
                let as_stored = said.price.observed_at == price.observed_at
                    && said.price.expires_at == price.expires_at
                    && said.price.details == price.details;
                if !as_stored {
                    said.price.observed_at = price.observed_at;
                    said.price.expires_at = price.expires_at;
                    said.price.details = price.details;
                    entry.moved = true;
                }
                let beat = heartbeat_at(&entry.publish, said);
                self.set_due(place, beat);
            }
        }
        None
    }
}

impl Silent {
    /// Whether a tick is of one of them; `cut_off` as of its token.
    fn doubts(&self, tick: &Tick, cut_off: bool) -> bool {
        let is_of = |chains: &BTreeSet<ChainId>| {
            let origin = tick.origin.as_ref();
            origin.is_some_and(|from| chains.contains(&from.chain_id))
        };
        is_of(&self.down) || (cut_off && is_of(&self.unseen))
    }
}

impl Entry {
    fn new(config: &PriceConfig, token: &TokenConfig) -> Self {
        Self {
            token: token.symbol.clone(),
            name: token.symbol.as_str().into(),
            rules: config.aggregate_rules(token),
            publish: config.publish_rules(token),
            sources: Vec::new(),
            quoting: Places::new(),
            level: Level::default(),
            rate_level: Level::default(),
            said: None,
            cut_off: false,
            moved: false,
            due: None,
        }
    }

    /// The place of the source that a tick is of. One in another quote is of what the source was before.
    fn source(&self, tick: &Tick) -> Option<usize> {
        self.sources
            .iter()
            .position(|source| source.name == tick.source && source.quote == tick.quote)
    }

    /// A tick of a feed was taken at its arrival at the latest. When it is of the future all the same, our clock was set
    /// back since: it counts as of now, so that it stays neither fresh nor the newest until the clock is there again. So
    /// does one of a chain whose blocks are more than a minute ahead of our clock: it is no fresher than its arrival.
    fn bound_times(&mut self, now_ms: i64) {
        let ticks = self
            .sources
            .iter_mut()
            .filter_map(|source| source.latest.as_mut());
        for tick in ticks {
            let allowed = match tick.origin {
                Some(_) => now_ms.saturating_add(MOST_AHEAD_MS.cast_signed()),
                None => now_ms,
            };
            if tick.observed_at > allowed {
                tick.observed_at = now_ms;
            }
        }
    }
}

/// The newest ticks of some of a token's sources, in their order; those of `silent` chains cannot be
/// used; `cut_off` as of the token.
fn ticks<'a>(
    sources: &'a [Source],
    silent: &Silent,
    cut_off: bool,
    used: impl Fn(&Source) -> bool,
) -> Vec<SourceTick<'a>> {
    let sources = sources.iter().filter(|source| used(source));
    sources
        .filter_map(|source| {
            let tick = source.latest.as_ref()?;
            Some(SourceTick {
                tick,
                max_age_ms: source.max_age_ms,
                usable: !silent.doubts(tick, cut_off),
                venue: source.venue,
                feed: source.feed,
            })
        })
        .collect()
}

/// On one chain its own order decides: a later log may claim an earlier time. Elsewhere the event time does, and of
/// one time the tick that came last.
fn is_newer(tick: &Tick, known: &Tick) -> bool {
    match (&tick.origin, &known.origin) {
        (Some(new), Some(old)) if new.chain_id == old.chain_id => {
            (new.block_number, new.log_index) > (old.block_number, old.log_index)
        }
        _ => tick.observed_at >= known.observed_at,
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
