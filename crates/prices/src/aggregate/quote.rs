//! The newest ticks of a token as quotes in USD: which are fresh, which read the same venue, and what each is worth.

use std::{collections::BTreeMap, sync::Arc};

use bigdecimal::{BigDecimal, num_traits::Zero};

use super::super::decimal::{is_bounded, is_price, product};
use chaincast_model::{LogOrigin, PriceDetail, Tick};
use chaincast_protocol::{PriceBlock, USD};

/// The newest tick of a source, and its maximum age.
#[derive(Debug, Clone, Copy)]
pub struct SourceTick<'a> {
    /// As the source reported it, in its own quote currency.
    pub tick: &'a Tick,
    /// Older ticks, by the time when they were observed, are not used.
    pub max_age_ms: u64,
    /// False while the node of its chain does not answer: then it is not fresh, whatever its time. It can still replace
    /// a price that a reorg removed.
    pub is_usable: bool,
    /// Sources of the same venue have the same number; see [`crate::PriceConfig::venues`].
    pub venue: usize,
    /// Whether it is of a Chainlink feed, whose answers have the same time and price whether read from a log or by a
    /// call.
    pub feed: bool,
}

/// The price of one token in USD, for converting ticks quoted in it.
#[derive(Debug, Clone, PartialEq)]
pub struct UsdRate {
    /// In USD.
    pub price: BigDecimal,
    /// Confidence in USD.
    pub confidence: BigDecimal,
    /// Event time of its newest tick, in ms.
    pub observed_at: i64,
    /// The last ms in which one of its ticks is fresh; as [`Price::expires_at`](chaincast_model::Price::expires_at).
    pub expires_at: i64,
    /// How far it can be trusted; a price that is converted with it is trusted no more.
    pub trust: Trust,
}

/// How far a price can be trusted, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Enough venues, and they agree.
    Full,
    /// Fewer venues than required.
    Few,
    /// The price itself is doubtful: venues disagree, or a single venue jumped.
    Doubtful,
}

/// Fresh rates by symbol of the quote token. A missing token has no fresh USD price.
pub type UsdRates = BTreeMap<Arc<str>, UsdRate>;

/// One usable tick in USD.
pub(super) struct Quote<'a> {
    pub(super) tick: &'a Tick,
    pub(super) venue: usize,
    pub(super) feed: bool,
    pub(super) usd: BigDecimal,
    pub(super) confidence: BigDecimal,
    pub(super) observed_at: i64,
    /// The last ms in which the tick and its conversion rate are fresh.
    pub(super) expires_at: i64,
    /// Trust in the conversion rate.
    pub(super) trust: Trust,
    /// Another source of the same venue counts instead.
    pub(super) is_redundant: bool,
    pub(super) outlier: bool,
}

impl Quote<'_> {
    pub(super) fn is_used(&self) -> bool {
        !self.is_redundant && !self.outlier
    }

    pub(super) fn detail(&self) -> PriceDetail {
        PriceDetail {
            source: self.tick.source.clone(),
            observed_at: self.observed_at,
            block: self.tick.origin.map(|origin| PriceBlock {
                chain_id: origin.chain_id,
                number: origin.block_number,
            }),
            outlier: self.outlier,
        }
    }
}

pub(super) fn fresh<'a>(ticks: &[SourceTick<'a>], rates: &UsdRates, now_ms: i64) -> Vec<Quote<'a>> {
    let fresh = ticks.iter().filter(|source| is_fresh(source, now_ms));
    mark_redundant(fresh.filter_map(|source| quote(source, rates)).collect())
}

/// Marks all but the first source of each venue as redundant. Sources that read the same log or the same answer count
/// as one venue too, such as a proxy and its aggregator.
pub(super) fn mark_redundant(mut quotes: Vec<Quote<'_>>) -> Vec<Quote<'_>> {
    for at in 1..quotes.len() {
        let (before, rest) = quotes.split_at_mut(at);
        let Some(quote) = rest.first_mut() else {
            break;
        };
        let mut counted = before.iter().filter(|other| !other.is_redundant);
        quote.is_redundant = counted.any(|other| {
            other.venue == quote.venue
                || reads_same_log(other.tick, quote.tick)
                || reads_same_answer(other, quote)
        });
    }
    quotes
}

/// Whether both ticks come from the same log. Ticks made at the end of a block have no log.
fn reads_same_log(one: &Tick, other: &Tick) -> bool {
    one.origin == other.origin
        && one
            .origin
            .is_some_and(|origin| origin.log_index != LogOrigin::END_OF_BLOCK)
}

/// Whether two feeds of one chain gave the same answer and at least one of them was read by a call. There is no log to
/// compare, and only the chain writer knows the aggregator of a proxy. Two distinct aggregators with the same answer in
/// the same second lose a vote, and nothing else.
fn reads_same_answer(one: &Quote<'_>, other: &Quote<'_>) -> bool {
    let (Some(from), Some(other_from)) = (one.tick.origin, other.tick.origin) else {
        return false;
    };
    one.feed
        && other.feed
        && from.chain_id == other_from.chain_id
        && (from.log_index == LogOrigin::END_OF_BLOCK
            || other_from.log_index == LogOrigin::END_OF_BLOCK)
        && one.tick.observed_at == other.tick.observed_at
        && one.tick.quote == other.tick.quote
        && one.tick.price == other.tick.price
}

/// A tick may be exactly `max_age_ms` old. One from the future is fresh: clocks differ.
pub(super) fn is_fresh(source: &SourceTick<'_>, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(source.tick.observed_at);
    source.is_usable && (age <= 0 || age.unsigned_abs() <= source.max_age_ms)
}

/// Converts a tick to USD. The result is as old as the older of tick and rate, and as uncertain as both: to first
/// order, the interval of a product is `p·Δr + r·Δp`.
pub(super) fn quote<'a>(source: &SourceTick<'a>, rates: &UsdRates) -> Option<Quote<'a>> {
    let tick = source.tick;
    let zero = BigDecimal::zero();
    let own = tick.confidence.as_ref().unwrap_or(&zero);
    if !is_price(&tick.price) || !is_bounded(own) {
        return None;
    }
    // An interval has no sign.
    let own = own.abs();
    let max_age_ms = i64::try_from(source.max_age_ms).unwrap_or(i64::MAX);
    let expires_at = tick.observed_at.saturating_add(max_age_ms);
    let (usd, confidence, observed_at, expires_at, trust) = if &*tick.quote == USD {
        let observed_at = tick.observed_at;
        (
            tick.price.clone(),
            own,
            observed_at,
            expires_at,
            Trust::Full,
        )
    } else {
        let rate = rates.get(&tick.quote)?;
        if !is_price(&rate.price) || !is_bounded(&rate.confidence) {
            return None;
        }
        (
            product(&tick.price, &rate.price),
            product(&tick.price, &rate.confidence) + product(&own, &rate.price),
            tick.observed_at.min(rate.observed_at),
            expires_at.min(rate.expires_at),
            rate.trust,
        )
    };
    (is_price(&usd) && is_bounded(&confidence)).then_some(Quote {
        tick,
        venue: source.venue,
        feed: source.feed,
        usd,
        confidence,
        observed_at,
        expires_at,
        trust,
        is_redundant: false,
        outlier: false,
    })
}
