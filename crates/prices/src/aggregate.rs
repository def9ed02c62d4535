//! Aggregates many ticks into one price. One source of each venue counts; outliers are dropped; each remaining source
//! votes with its confidence interval; the price is the median of the votes. A pure function of the ticks, the time,
//! and the earlier price of a single venue ([`JumpGuard`]).
//!
//! The votes follow [Pyth Price and Confidence Aggregation](https://pyth.network/blog/pyth-price-aggregation-proposal).
//! docs/prices.md has the complete rule and its sources.
//!
//! A tick in another token is converted by the [`usd_rate`] of that token; [`super::QuotePaths`] selects the sources of
//! a rate, so that no rate depends on itself.
//!
//! Intermediate results are exact or have guard digits; [`aggregate()`] rounds the price once.

mod quote;

use std::sync::Arc;

use bigdecimal::BigDecimal;

use self::quote::{Quote, fresh, is_fresh, mark_redundant, quote};
pub use self::quote::{SourceTick, Trust, UsdRate, UsdRates};
use super::{
    AggregateRules, JumpGuard,
    decimal::{half, places, significant_places, to_places},
    policy::BPS_PLACES,
    price_jump::VenueAgreement,
};
use chaincast_model::{Price, PriceDetail};
use chaincast_protocol::{PriceReason, PriceStatus, Token, USD};

/// Minimum number of fresh ticks for detecting outliers: of two, either may be wrong.
const MIN_TICKS_FOR_OUTLIERS: usize = 3;

/// The result of the votes, not rounded yet.
struct Aggregate {
    price: Price,
    agreement: VenueAgreement,
    trust: Trust,
    /// Why `trust` is not full.
    reason: Option<PriceReason>,
    /// Decimal places of the most exact number that a venue reported in USD.
    places: i64,
}

/// The current price of `token`.
///
/// `ticks` has the newest tick of each source; of each venue the first usable one counts. With a fresh tick the status
/// is `Ok`, or `Degraded` if fewer than `min_sources` venues are used, if the confidence is wider than
/// `max_confidence_bps`, if a conversion rate is degraded, or while `jump_guard` holds the price. Without a fresh tick
/// it is the last known price as `Stale`; `None` if there is none.
///
/// A last known price newer than every tick came from a dropped block. The newest ticks then replace it, whatever their
/// age. If none of them can be converted to USD, because the only tick of the token or the only rate of its quote token
/// was dropped, the last price stays as `Stale`.
///
/// Ticks with out-of-range numbers are ignored: no input causes a panic.
pub fn aggregate(
    token: &Token,
    ticks: &[SourceTick<'_>],
    rates: &UsdRates,
    rules: &AggregateRules,
    jump_guard: &mut JumpGuard,
    last: Option<&Price>,
    now_ms: i64,
) -> Option<Price> {
    if let Some(aggregated) = combine(token, fresh(ticks, rates, now_ms), rules) {
        return Some(
            aggregated
                .apply_hold(rules, jump_guard, now_ms)
                .into_price(),
        );
    }
    let newest = ticks.iter().map(|source| source.tick.observed_at).max();
    let is_dropped =
        newest.is_some_and(|newest| last.is_some_and(|last| last.observed_at > newest));
    let known = if is_dropped {
        let any_age = ticks.iter().filter_map(|source| quote(source, rates));
        let aggregated = combine(token, mark_redundant(any_age.collect()), rules);
        aggregated
            .map(Aggregate::into_price)
            .or_else(|| last.cloned())
    } else {
        last.cloned()
    };
    // Fresh ticks without a fresh conversion rate cannot be used.
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

/// The current USD rate of `token`, made only of the given ticks: those of its sources that are nearer to USD. `None`
/// without a fresh, convertible tick.
pub fn usd_rate(
    token: &Token,
    ticks: &[SourceTick<'_>],
    rates: &UsdRates,
    rules: &AggregateRules,
    jump_guard: &mut JumpGuard,
    now_ms: i64,
) -> Option<UsdRate> {
    let aggregated = combine(token, fresh(ticks, rates, now_ms), rules)?;
    let Aggregate { price, trust, .. } = aggregated.apply_hold(rules, jump_guard, now_ms);
    Some(UsdRate {
        price: price.price,
        confidence: price.confidence,
        observed_at: price.observed_at,
        expires_at: price.expires_at,
        trust,
    })
}

impl Aggregate {
    /// Marks the price of a single venue as doubtful while it is held.
    fn apply_hold(
        mut self,
        rules: &AggregateRules,
        jump_guard: &mut JumpGuard,
        now_ms: i64,
    ) -> Self {
        if jump_guard.holds(&self.price.price, self.agreement, rules, now_ms)
            && self.trust < Trust::Doubtful
        {
            self.trust = Trust::Doubtful;
            self.reason = Some(PriceReason::Jump);
        }
        self
    }

    /// Sets the status and rounds: to the significant digits of calculated numbers, but never below one place more than
    /// a venue reported.
    fn into_price(self) -> Price {
        let Self {
            price,
            trust,
            reason,
            ..
        } = self;
        // The mean of two numbers has one place more than they have.
        let kept = significant_places(&price.price).max(self.places + 1);
        Price {
            price: to_places(&price.price, kept),
            confidence: to_places(&price.confidence, kept),
            status: match trust {
                Trust::Full => PriceStatus::Ok,
                Trust::Few | Trust::Doubtful => PriceStatus::Degraded,
            },
            reason,
            doubtful: trust == Trust::Doubtful,
            ..price
        }
    }
}

/// Aggregates the quotes; `None` if there are none.
fn combine(token: &Token, mut quotes: Vec<Quote<'_>>, rules: &AggregateRules) -> Option<Aggregate> {
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
    let (price, confidence) = median_and_confidence(&votes)?;

    let observed_at = used().map(|quote| quote.observed_at).max()?;
    let expires_at = used().map(|quote| quote.expires_at).max()?;
    let mut sources: Vec<Arc<str>> = used().map(|quote| quote.tick.source.clone()).collect();
    sources.sort();
    let mut details: Vec<PriceDetail> = quotes.iter().map(Quote::detail).collect();
    details.sort_by(|a, b| a.source.cmp(&b.source));
    let limit = BigDecimal::new(rules.max_confidence_bps.into(), BPS_PLACES);
    let is_wide = rules.max_confidence_bps > 0 && confidence > &price * limit;
    let rates = used()
        .map(|quote| quote.trust)
        .fold(Trust::Full, Trust::max);
    // At equal weight, a reason of the price itself comes before one of a rate.
    let (trust, reason) = if is_wide {
        (Trust::Doubtful, Some(PriceReason::Disagreement))
    } else if rates == Trust::Doubtful {
        (Trust::Doubtful, Some(PriceReason::Rate))
    } else if sources.len() < rules.min_sources {
        (Trust::Few, Some(PriceReason::FewVenues))
    } else {
        (rates, (rates != Trust::Full).then_some(PriceReason::Rate))
    };
    let in_usd = used().filter(|quote| &*quote.tick.quote == USD);
    let places = in_usd.map(|quote| places(&quote.usd).max(places(&quote.confidence)));
    Some(Aggregate {
        places: places.max().unwrap_or(i64::MIN / 2),
        agreement: match sources.len() {
            _ if is_wide => VenueAgreement::Disagree,
            1 => VenueAgreement::Single {
                observed_at: used()
                    .next()
                    .filter(|quote| quote.tick.origin.is_none())
                    .map(|quote| quote.tick.observed_at),
            },
            _ => VenueAgreement::Agree,
        },
        trust,
        reason,
        price: Price {
            token: token.clone(),
            price,
            confidence,
            // Set from `trust` by `into_price`.
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

/// Marks quotes farther from the median than both the floor and `outlier_mads` median absolute deviations. At least
/// half of the quotes are within one deviation, so at least half remain.
fn mark_outliers(sorted: &mut [Quote<'_>], rules: &AggregateRules) {
    let counted = sorted.iter_mut().filter(|quote| !quote.is_redundant);
    let mut counted: Vec<&mut Quote<'_>> = counted.collect();
    if counted.len() < MIN_TICKS_FOR_OUTLIERS {
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

/// The median of the votes, and the larger of its distances to the quartiles. The quartiles are the votes at a quarter
/// of their number from either end, as in Pyth's program.
fn median_and_confidence(votes: &[BigDecimal]) -> Option<(BigDecimal, BigDecimal)> {
    let price = median(votes)?;
    let quarter = votes.len() / 4;
    let below = &price - votes.get(quarter)?;
    let above = votes.get(votes.len() - 1 - quarter)? - &price;
    Some((price, below.max(above)))
}

/// The middle of sorted values, or the mean of the middle two; `None` if there are none.
fn median(sorted: &[BigDecimal]) -> Option<BigDecimal> {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper.clone());
    }
    Some(half(upper + sorted.get(middle - 1)?))
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
pub(super) mod tests;
