//! One price from many ticks: the median of the fresh ones in USD. A pure function of ticks and time.
//!
//! A tick in another token is converted by that token's [`usd_rate`], which is made of its sources *in USD* alone.
//! So conversion is one level deep and two tokens may be priced in each other without a circle.

use std::{collections::BTreeMap, sync::Arc};

use bigdecimal::BigDecimal;

use super::decimal::{half, product};
use crate::model::{Price, PriceStatus, Tick, Token, USD};

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
    /// Event time of the newest tick in it, in ms.
    pub observed_at: i64,
}

/// Fresh rates by the symbol of the quote token. A token without one has no fresh price in USD.
pub type UsdRates = BTreeMap<Arc<str>, UsdRate>;

/// One usable tick in USD.
struct Quote<'a> {
    usd: BigDecimal,
    source: &'a Arc<str>,
    observed_at: i64,
}

/// The price of `token` now.
///
/// `ticks` are the newest of each of the token's sources, in any order. With a fresh one, the price is their median
/// (of an even count, the mean of the two in the middle), `confidence` half the distance from the lowest to the
/// highest, and the status `Ok`, or `Degraded` with fewer than `min_sources`. Without any, it is the last known
/// price as `Stale`; `None` when there never was one.
///
/// A last known price that is newer than every tick there is came from a block that was dropped since; then the
/// newest ticks stand in for it, however old. With none left that can be told in USD, because the token's only tick
/// or the only rate of its quote token was dropped, it stays: no better price is known, and `Stale` says not to use it.
pub fn aggregate(
    token: &Token,
    ticks: &[SourceTick<'_>],
    rates: &UsdRates,
    min_sources: usize,
    last: Option<&Price>,
    now_ms: i64,
) -> Option<Price> {
    let fresh = ticks
        .iter()
        .filter(|source| is_fresh(source, now_ms))
        .filter_map(|source| quote(source.tick, rates));
    if let Some(mut price) = combine(token, fresh.collect()) {
        price.status = if price.sources.len() < min_sources {
            PriceStatus::Degraded
        } else {
            PriceStatus::Ok
        };
        return Some(price);
    }
    let newest = ticks.iter().map(|source| source.tick.observed_at).max();
    let dropped = newest.is_some_and(|newest| last.is_some_and(|last| last.observed_at > newest));
    let known = if dropped {
        let any_age = ticks.iter().filter_map(|source| quote(source.tick, rates));
        combine(token, any_age.collect()).or_else(|| last.cloned())
    } else {
        last.cloned()
    };
    known.map(|price| Price {
        status: PriceStatus::Stale,
        ..price
    })
}

/// What one `token` is worth in USD now, by its fresh sources in USD; `None` without any.
pub fn usd_rate(token: &Token, ticks: &[SourceTick<'_>], now_ms: i64) -> Option<UsdRate> {
    let direct = ticks
        .iter()
        .filter(|source| &*source.tick.quote == USD && is_fresh(source, now_ms))
        .filter_map(|source| quote(source.tick, &UsdRates::new()));
    let price = combine(token, direct.collect())?;
    Some(UsdRate {
        price: price.price,
        observed_at: price.observed_at,
    })
}

/// A tick may be exactly `max_age_ms` old. One from the future is as fresh as can be: clocks differ.
fn is_fresh(source: &SourceTick<'_>, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(source.tick.observed_at);
    age <= 0 || age.unsigned_abs() <= source.max_age_ms
}

/// A tick in USD. One that is converted is as old as the older of its two halves.
fn quote<'a>(tick: &'a Tick, rates: &UsdRates) -> Option<Quote<'a>> {
    let (usd, observed_at) = if &*tick.quote == USD {
        (tick.price.clone(), tick.observed_at)
    } else {
        let rate = rates.get(&tick.quote)?;
        (
            product(&tick.price, &rate.price),
            tick.observed_at.min(rate.observed_at),
        )
    };
    Some(Quote {
        usd,
        source: &tick.source,
        observed_at,
    })
}

/// The median and its spread; `None` of nothing. The status is left for the caller to lower.
fn combine(token: &Token, mut quotes: Vec<Quote<'_>>) -> Option<Price> {
    // By price, then by name: equal prices may differ in their digits, and the order of arrival must not show.
    quotes.sort_by(|a, b| a.usd.cmp(&b.usd).then_with(|| a.source.cmp(b.source)));
    let (low, high) = (&quotes.first()?.usd, &quotes.last()?.usd);
    let middle = quotes.len() / 2;
    let median = if quotes.len() % 2 == 1 {
        quotes[middle].usd.clone()
    } else {
        half(&quotes[middle - 1].usd + &quotes[middle].usd)
    };
    let confidence = half(high - low);
    let observed_at = quotes.iter().map(|quote| quote.observed_at).max()?;
    let mut sources: Vec<Arc<str>> = quotes.iter().map(|quote| quote.source.clone()).collect();
    sources.sort();
    Some(Price {
        token: token.clone(),
        price: median.normalized(),
        confidence: confidence.normalized(),
        sources,
        status: PriceStatus::Ok,
        observed_at,
    })
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
