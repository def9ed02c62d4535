//! One price from many ticks: outliers are dropped, then each source votes with its interval of confidence, and the
//! median of the votes is the price. A pure function of ticks and time.
//!
//! The votes are Pyth's: [Pyth Price and Confidence Aggregation](https://pyth.network/blog/pyth-price-aggregation-proposal).
//! docs/prices.md tells the whole rule and its sources.
//!
//! A tick in another token is converted by that token's [`usd_rate`]; [`super::QuotePaths`] says which sources a rate
//! is made of, so that no rate stands on itself.

use std::{collections::BTreeMap, sync::Arc};

use bigdecimal::{BigDecimal, num_traits::Zero};

use super::{
    AggregateRules,
    decimal::{half, is_bounded, is_price, product},
};
use crate::model::{Price, PriceBlock, PriceDetail, PriceStatus, Tick, Token, USD};

/// Fresh ticks from which on outliers are looked for: of two, nobody knows which is wrong.
const ENOUGH_TO_JUDGE: usize = 3;
/// Decimal places of a basis point.
const BPS_PLACES: i64 = 4;

/// The newest tick of one source, and how long that source's ticks are used.
#[derive(Debug, Clone, Copy)]
pub struct SourceTick<'a> {
    pub tick: &'a Tick,
    pub max_age_ms: u64,
}

/// What one token is worth in USD, for converting ticks that are counted in it.
#[derive(Debug, Clone, PartialEq)]
pub struct UsdRate {
    pub price: BigDecimal,
    /// How far it may be off, in USD.
    pub confidence: BigDecimal,
    /// Event time of the newest tick in it, in ms.
    pub observed_at: i64,
}

/// Fresh rates by the symbol of the quote token. A token without one has no fresh price in USD.
pub type UsdRates = BTreeMap<Arc<str>, UsdRate>;

/// One usable tick in USD.
struct Quote<'a> {
    tick: &'a Tick,
    usd: BigDecimal,
    confidence: BigDecimal,
    observed_at: i64,
    outlier: bool,
}

/// The price of `token` now.
///
/// `ticks` are the newest of each of the token's sources, in any order. With a fresh one, the status is `Ok`, or
/// `Degraded` when fewer than `min_sources` are used. Without any, it is the last known price as `Stale`; `None` when
/// there never was one.
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
    last: Option<&Price>,
    now_ms: i64,
) -> Option<Price> {
    if let Some(price) = combine(token, fresh(ticks, rates, now_ms), rules) {
        return Some(price);
    }
    let newest = ticks.iter().map(|source| source.tick.observed_at).max();
    let dropped = newest.is_some_and(|newest| last.is_some_and(|last| last.observed_at > newest));
    let known = if dropped {
        let any_age = ticks.iter().filter_map(|source| quote(source.tick, rates));
        combine(token, any_age.collect(), rules).or_else(|| last.cloned())
    } else {
        last.cloned()
    };
    known.map(|price| Price {
        status: PriceStatus::Stale,
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
    now_ms: i64,
) -> Option<UsdRate> {
    let price = combine(token, fresh(ticks, rates, now_ms), rules)?;
    Some(UsdRate {
        price: price.price,
        confidence: price.confidence,
        observed_at: price.observed_at,
    })
}

fn fresh<'a>(ticks: &[SourceTick<'a>], rates: &UsdRates, now_ms: i64) -> Vec<Quote<'a>> {
    let fresh = ticks.iter().filter(|source| is_fresh(source, now_ms));
    fresh
        .filter_map(|source| quote(source.tick, rates))
        .collect()
}

/// A tick may be exactly `max_age_ms` old. One from the future is as fresh as can be: clocks differ.
fn is_fresh(source: &SourceTick<'_>, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(source.tick.observed_at);
    age <= 0 || age.unsigned_abs() <= source.max_age_ms
}

/// A tick in USD. One that is converted is as old as the older of its two halves, and as uncertain as both: the
/// interval of a product is, to first order, `p·Δr + r·Δp`.
fn quote<'a>(tick: &'a Tick, rates: &UsdRates) -> Option<Quote<'a>> {
    let zero = BigDecimal::zero();
    let own = tick.confidence.as_ref().unwrap_or(&zero);
    if !is_price(&tick.price) || !is_bounded(own) {
        return None;
    }
    // An interval has no sign.
    let own = own.abs();
    let (usd, confidence, observed_at) = if &*tick.quote == USD {
        (tick.price.clone(), own, tick.observed_at)
    } else {
        let rate = rates.get(&tick.quote)?;
        if !is_price(&rate.price) || !is_bounded(&rate.confidence) {
            return None;
        }
        (
            product(&tick.price, &rate.price),
            product(&tick.price, &rate.confidence) + product(&own, &rate.price),
            tick.observed_at.min(rate.observed_at),
        )
    };
    (is_price(&usd) && is_bounded(&confidence)).then_some(Quote {
        tick,
        usd,
        confidence,
        observed_at,
        outlier: false,
    })
}

/// The price of these quotes; `None` of nothing.
fn combine(token: &Token, mut quotes: Vec<Quote<'_>>, rules: &AggregateRules) -> Option<Price> {
    quotes.sort_by(|a, b| a.usd.cmp(&b.usd));
    mark_outliers(&mut quotes, rules);
    let used = || quotes.iter().filter(|quote| !quote.outlier);

    let mut votes = Vec::with_capacity(quotes.len() * 3);
    for quote in used() {
        votes.push(&quote.usd - &quote.confidence);
        votes.push(&quote.usd + &quote.confidence);
        votes.push(quote.usd.clone());
    }
    votes.sort();
    let (price, confidence) = tally(&votes)?;

    let observed_at = used().map(|quote| quote.observed_at).max()?;
    let mut details: Vec<PriceDetail> = quotes.iter().map(detail).collect();
    details.sort_by(|a, b| a.source.cmp(&b.source));
    let sources: Vec<Arc<str>> = details
        .iter()
        .filter(|detail| !detail.outlier)
        .map(|detail| detail.source.clone())
        .collect();
    Some(Price {
        token: token.clone(),
        price: price.normalized(),
        confidence: confidence.normalized(),
        status: if sources.len() < rules.min_sources {
            PriceStatus::Degraded
        } else {
            PriceStatus::Ok
        },
        sources,
        details,
        observed_at,
    })
}

/// Marks what is farther from the median than `outlier_mads` median absolute deviations, and than the floor. At least
/// half of the quotes are within one deviation, so at least half stay.
fn mark_outliers(sorted: &mut [Quote<'_>], rules: &AggregateRules) {
    if sorted.len() < ENOUGH_TO_JUDGE {
        return;
    }
    let prices: Vec<BigDecimal> = sorted.iter().map(|quote| quote.usd.clone()).collect();
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
    for (quote, distance) in sorted.iter_mut().zip(distances) {
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
mod tests;
