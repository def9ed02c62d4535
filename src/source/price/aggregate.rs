//! One price from many ticks: of one venue one counts, outliers are dropped, then each source that is left votes with its
//! interval of confidence, and the median of the votes is the price. A pure function of the ticks, the time, and of what
//! the price of a venue alone was before ([`Level`]).
//!
//! The votes are Pyth's: [Pyth Price and Confidence Aggregation](https://pyth.network/blog/pyth-price-aggregation-proposal).
//! docs/prices.md tells the whole rule and its sources.
//!
//! A tick in another token is converted by that token's [`usd_rate`]; [`super::QuotePaths`] says which sources a rate
//! is made of, so that no rate stands on itself.
//!
//! Everything in between is exact or has digits to spare; the price is rounded once, as it leaves [`aggregate()`].

use std::{collections::BTreeMap, sync::Arc};

use bigdecimal::{BigDecimal, num_traits::Zero};

use super::{
    AggregateRules, Level,
    decimal::{half, is_bounded, is_price, places, product, significant_places, to_places},
    level::Footing,
};
use crate::model::{
    LogOrigin, Price, PriceBlock, PriceDetail, PriceReason, PriceStatus, Tick, Token, USD,
};

/// Fresh ticks from which on outliers are looked for: of two, nobody knows which is wrong.
const ENOUGH_TO_JUDGE: usize = 3;
/// Decimal places of a basis point.
pub(super) const BPS_PLACES: i64 = 4;

/// The newest tick of one source, and how long that source's ticks are used.
#[derive(Debug, Clone, Copy)]
pub struct SourceTick<'a> {
    pub tick: &'a Tick,
    pub max_age_ms: u64,
    /// Whether it can be fresh. One of a chain whose node does not answer cannot, whatever its time; it may still stand
    /// in for what a reorg took back.
    pub usable: bool,
    /// Sources of one venue have the same number here; see [`super::PriceConfig::venues`].
    pub venue: usize,
    /// Of a Chainlink feed, whose answers have one time and one price however they are read.
    pub feed: bool,
}

/// What one token is worth in USD, for converting ticks that are counted in it.
#[derive(Debug, Clone, PartialEq)]
pub struct UsdRate {
    pub price: BigDecimal,
    /// How far it may be off, in USD.
    pub confidence: BigDecimal,
    /// Event time of the newest tick in it, in ms.
    pub observed_at: i64,
    /// The last ms in which a tick of it is fresh; as [`Price::expires_at`].
    pub expires_at: i64,
    pub trust: Trust,
}

/// How far a number can be trusted, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Enough venues that agree.
    Full,
    /// Fewer venues than wanted.
    Few,
    /// The number itself is in doubt: venues that disagree, or one alone that jumped.
    Doubt,
}

/// Fresh rates by the symbol of the quote token. A token without one has no fresh price in USD.
pub type UsdRates = BTreeMap<Arc<str>, UsdRate>;

/// One usable tick in USD.
struct Quote<'a> {
    tick: &'a Tick,
    venue: usize,
    feed: bool,
    usd: BigDecimal,
    confidence: BigDecimal,
    observed_at: i64,
    /// The last ms in which it is fresh, and the rate that converted it.
    expires_at: i64,
    /// Of the rate that converted it.
    trust: Trust,
    /// Another source of its venue counts.
    stands_by: bool,
    outlier: bool,
}

/// What came of the votes: a price that is not rounded yet.
struct Tally {
    price: Price,
    footing: Footing,
    trust: Trust,
    /// Why `trust` is not full.
    reason: Option<PriceReason>,
    /// Places behind the point of the most exact number that a venue said in USD.
    places: i64,
}

/// The price of `token` now.
///
/// `ticks` are the newest of each of the token's sources; of one venue the first that can be used counts. With a fresh
/// one, the status is `Ok`, or `Degraded` when fewer than `min_sources` venues are used, when its confidence is wider
/// than `max_confidence_bps`, when it stands on a rate that is, or while `level` holds it. Without any, it is the last
/// known price as `Stale`; `None` when there never was one.
///
/// A last known price that is newer than every tick there is came from a block that was dropped since; then the
/// newest ticks stand in for it, however old. With none left that can be told in USD, because the token's only tick
/// or the only rate of its quote token was dropped, it stays: no better price is known, and `Stale` says not to use it.
///
/// A tick whose numbers are out of all bounds counts as none: nothing here panics, whatever it is given.
pub fn aggregate(
    token: &Token,
    ticks: &[SourceTick<'_>],
    rates: &UsdRates,
    rules: &AggregateRules,
    level: &mut Level,
    last: Option<&Price>,
    now_ms: i64,
) -> Option<Price> {
    if let Some(tally) = combine(token, fresh(ticks, rates, now_ms), rules) {
        return Some(tally.judged(rules, level, now_ms).into_price());
    }
    let newest = ticks.iter().map(|source| source.tick.observed_at).max();
    let dropped = newest.is_some_and(|newest| last.is_some_and(|last| last.observed_at > newest));
    let known = if dropped {
        let any_age = ticks.iter().filter_map(|source| quote(source, rates));
        let tally = combine(token, one_a_venue(any_age.collect()), rules);
        tally.map(Tally::into_price).or_else(|| last.cloned())
    } else {
        last.cloned()
    };
    // Fresh ticks that no fresh rate converts are of no use.
    let unconverted = ticks.iter().any(|source| is_fresh(source, now_ms));
    known.map(|price| Price {
        status: PriceStatus::Stale,
        reason: Some(match unconverted {
            true => PriceReason::Rate,
            false => PriceReason::Old,
        }),
        ..price
    })
}

/// What one `token` is worth in USD now, by these ticks alone: those of its sources that are nearer to USD. `None`
/// without a fresh one that can be converted.
pub fn usd_rate(
    token: &Token,
    ticks: &[SourceTick<'_>],
    rates: &UsdRates,
    rules: &AggregateRules,
    level: &mut Level,
    now_ms: i64,
) -> Option<UsdRate> {
    let tally = combine(token, fresh(ticks, rates, now_ms), rules)?;
    let Tally { price, trust, .. } = tally.judged(rules, level, now_ms);
    Some(UsdRate {
        price: price.price,
        confidence: price.confidence,
        observed_at: price.observed_at,
        expires_at: price.expires_at,
        trust,
    })
}

impl Tally {
    /// Held, where it is of one venue alone and jumped.
    fn judged(mut self, rules: &AggregateRules, level: &mut Level, now_ms: i64) -> Self {
        if level.holds(&self.price.price, self.footing, rules, now_ms) && self.trust < Trust::Doubt
        {
            self.trust = Trust::Doubt;
            self.reason = Some(PriceReason::Jump);
        }
        self
    }

    /// With its status, and rounded: to the significant digits of what is calculated, but never more than one place
    /// short of what a venue said.
    fn into_price(self) -> Price {
        let Self {
            price,
            trust,
            reason,
            ..
        } = self;
        // The middle of two numbers has one place more than they.
        let kept = significant_places(&price.price).max(self.places + 1);
        Price {
            price: to_places(&price.price, kept),
            confidence: to_places(&price.confidence, kept),
            status: match trust {
                Trust::Full => PriceStatus::Ok,
                Trust::Few | Trust::Doubt => PriceStatus::Degraded,
            },
            reason,
            doubtful: trust == Trust::Doubt,
            ..price
        }
    }
}

fn fresh<'a>(ticks: &[SourceTick<'a>], rates: &UsdRates, now_ms: i64) -> Vec<Quote<'a>> {
    let fresh = ticks.iter().filter(|source| is_fresh(source, now_ms));
    one_a_venue(fresh.filter_map(|source| quote(source, rates)).collect())
}

/// Of the sources of one venue the first counts, and the others stand by. So do those that read the same log or the same
/// answer, as a proxy and its aggregator do.
fn one_a_venue(mut quotes: Vec<Quote<'_>>) -> Vec<Quote<'_>> {
    for at in 1..quotes.len() {
        let (before, rest) = quotes.split_at_mut(at);
        let Some(quote) = rest.first_mut() else {
            break;
        };
        let mut counted = before.iter().filter(|other| !other.stands_by);
        quote.stands_by = counted.any(|other| {
            other.venue == quote.venue
                || reads_same_log(other.tick, quote.tick)
                || reads_same_answer(other, quote)
        });
    }
    quotes
}

/// Whether both ticks were read from one log; at the end of a block there is none.
fn reads_same_log(one: &Tick, other: &Tick) -> bool {
    one.origin == other.origin
        && one
            .origin
            .is_some_and(|origin| origin.log_index != LogOrigin::END_OF_BLOCK)
}

/// Whether two feeds of one chain gave the same answer, of which one was read by a call: there is no log to compare, and
/// the chain's writer alone knows which aggregator a proxy has. Two aggregators that answer the same at the same second
/// lose a vote by it, and nothing else.
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

/// A tick may be exactly `max_age_ms` old. One from the future is as fresh as can be: clocks differ.
fn is_fresh(source: &SourceTick<'_>, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(source.tick.observed_at);
    source.usable && (age <= 0 || age.unsigned_abs() <= source.max_age_ms)
}

/// A tick in USD. One that is converted is as old as the older of its two halves, and as uncertain as both: the
/// interval of a product is, to first order, `p·Δr + r·Δp`.
fn quote<'a>(source: &SourceTick<'a>, rates: &UsdRates) -> Option<Quote<'a>> {
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
        stands_by: false,
        outlier: false,
    })
}

/// The price of these quotes; `None` of nothing.
fn combine(token: &Token, mut quotes: Vec<Quote<'_>>, rules: &AggregateRules) -> Option<Tally> {
    quotes.sort_by(|a, b| a.usd.cmp(&b.usd));
    mark_outliers(&mut quotes, rules);
    let used = || quotes.iter().filter(|quote| quote.is_used());

    let mut votes = Vec::with_capacity(quotes.len() * 3);
    for quote in used() {
        votes.push(&quote.usd - &quote.confidence);
        votes.push(&quote.usd + &quote.confidence);
        votes.push(quote.usd.clone());
    }
    votes.sort();
    let (price, confidence) = tally(&votes)?;

    let observed_at = used().map(|quote| quote.observed_at).max()?;
    let expires_at = used().map(|quote| quote.expires_at).max()?;
    let mut sources: Vec<Arc<str>> = used().map(|quote| quote.tick.source.clone()).collect();
    sources.sort();
    let mut details: Vec<PriceDetail> = quotes.iter().map(detail).collect();
    details.sort_by(|a, b| a.source.cmp(&b.source));
    let limit = BigDecimal::new(rules.max_confidence_bps.into(), BPS_PLACES);
    let wide = rules.max_confidence_bps > 0 && confidence > &price * limit;
    let rates = used()
        .map(|quote| quote.trust)
        .fold(Trust::Full, Trust::max);
    // Of equal weight, what is of the price itself comes before what is of a rate.
    let (trust, reason) = if wide {
        (Trust::Doubt, Some(PriceReason::Disagreement))
    } else if rates == Trust::Doubt {
        (Trust::Doubt, Some(PriceReason::Rate))
    } else if sources.len() < rules.min_sources {
        (Trust::Few, Some(PriceReason::FewVenues))
    } else {
        (rates, (rates != Trust::Full).then_some(PriceReason::Rate))
    };
    let said = used().filter(|quote| &*quote.tick.quote == USD);
    let places = said.map(|quote| places(&quote.usd).max(places(&quote.confidence)));
    Some(Tally {
        places: places.max().unwrap_or(i64::MIN / 2),
        footing: match sources.len() {
            _ if wide => Footing::Disputed,
            1 => Footing::Alone {
                said_at: used()
                    .next()
                    .filter(|quote| quote.tick.origin.is_none())
                    .map(|quote| quote.tick.observed_at),
            },
            _ => Footing::Agreed,
        },
        trust,
        reason,
        price: Price {
            token: token.clone(),
            price,
            confidence,
            // As trust says, in the end.
            status: PriceStatus::Ok,
            reason: None,
            doubtful: false,
            sources,
            details,
            observed_at,
            expires_at,
        },
    })
}

/// Marks what is farther from the median than `outlier_mads` median absolute deviations, and than the floor. At least
/// half of the quotes are within one deviation, so at least half stay.
fn mark_outliers(sorted: &mut [Quote<'_>], rules: &AggregateRules) {
    let counted = sorted.iter_mut().filter(|quote| !quote.stands_by);
    let mut counted: Vec<&mut Quote<'_>> = counted.collect();
    if counted.len() < ENOUGH_TO_JUDGE {
        return;
    }
    let prices: Vec<BigDecimal> = counted.iter().map(|quote| quote.usd.clone()).collect();
    let Some(center) = median(&prices) else {
        return;
    };
    let distances: Vec<BigDecimal> = prices.iter().map(|price| (price - &center).abs()).collect();
    let mut by_size = distances.clone();
    by_size.sort();
    let Some(deviation) = median(&by_size) else {
        return;
    };
    let floor = &center * BigDecimal::new(rules.outlier_floor_bps.into(), BPS_PLACES);
    let limit = (deviation * BigDecimal::from(rules.outlier_mads.max(1))).max(floor);
    for (quote, distance) in counted.iter_mut().zip(distances) {
        quote.outlier = distance > limit;
    }
}

/// The median of the votes, and the larger of its distances to their quartiles. The quartiles are the votes at a
/// quarter of their number from either end, as in Pyth's program.
fn tally(votes: &[BigDecimal]) -> Option<(BigDecimal, BigDecimal)> {
    let price = median(votes)?;
    let quarter = votes.len() / 4;
    let below = &price - votes.get(quarter)?;
    let above = votes.get(votes.len() - 1 - quarter)? - &price;
    Some((price, below.max(above)))
}

/// The middle of sorted values, of an even count the mean of the two in the middle; `None` of nothing.
fn median(sorted: &[BigDecimal]) -> Option<BigDecimal> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper.clone());
    }
    Some(half(upper + sorted.get(middle - 1)?))
}

impl Quote<'_> {
    fn is_used(&self) -> bool {
        !self.stands_by && !self.outlier
    }
}

fn detail(quote: &Quote<'_>) -> PriceDetail {
    PriceDetail {
        source: quote.tick.source.clone(),
        observed_at: quote.observed_at,
        block: quote.tick.origin.map(|origin| PriceBlock {
            chain_id: origin.chain_id,
            number: origin.block_number,
        }),
        outlier: quote.outlier,
    }
}

#[cfg(test)]
#[path = "aggregate_property_tests.rs"]
mod property_tests;
#[cfg(test)]
#[path = "aggregate_tests.rs"]
pub(super) mod tests;
