//! Helpers of the tests.

mod freshness;
mod venues;
mod votes;

use super::*;
use chaincast_model::{LogOrigin, Tick};
use chaincast_protocol::{B256, PriceBlock};

pub(super) const NOW: i64 = 1_700_000_000_000;
pub(super) const MAX_AGE: u64 = 60_000;
pub(in super::super) const RULES: AggregateRules = AggregateRules {
    min_sources: 2,
    outlier_mads: 5,
    outlier_floor_bps: 100,
    max_confidence_bps: 500,
    max_jump_bps: 0,
    jump_hold_ms: 30_000,
};

pub(super) fn token() -> Token {
    "ETH".parse().unwrap()
}

pub(super) fn tick(source: &str, quote: &str, price: &str, age_ms: i64) -> Tick {
    Tick {
        token: token(),
        source: source.into(),
        quote: quote.into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at: NOW - age_ms,
        origin: None,
    }
}

/// A fresh tick in USD with a confidence.
pub(super) fn tick_with_confidence(source: &str, price: &str, confidence: &str) -> Tick {
    Tick {
        confidence: Some(decimal(confidence)),
        ..tick(source, "USD", price, 0)
    }
}

pub(super) fn with_age(ticks: &[Tick]) -> Vec<SourceTick<'_>> {
    // Each at its own venue.
    let ticks = ticks.iter().enumerate();
    ticks
        .map(|(venue, tick)| SourceTick {
            tick,
            max_age_ms: MAX_AGE,
            is_usable: true,
            venue,
            feed: false,
        })
        .collect()
}

pub(super) fn price_of(ticks: &[Tick], rates: &UsdRates, last: Option<&Price>) -> Option<Price> {
    aggregated(&with_age(ticks), rates, &RULES, last)
}

fn aggregated(
    ticks: &[SourceTick<'_>],
    rates: &UsdRates,
    rules: &AggregateRules,
    last: Option<&Price>,
) -> Option<Price> {
    let jump_guard = &mut JumpGuard::default();
    aggregate(&token(), ticks, rates, rules, jump_guard, last, NOW)
}

pub(super) fn fresh_price(ticks: &[Tick]) -> Price {
    price_of(ticks, &UsdRates::new(), None).unwrap()
}

pub(super) fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

pub(super) fn rates(price: &str, confidence: &str, age_ms: i64) -> UsdRates {
    let rate = UsdRate {
        price: decimal(price),
        confidence: decimal(confidence),
        observed_at: NOW - age_ms,
        expires_at: NOW - age_ms + MAX_AGE as i64,
        trust: Trust::Full,
    };
    UsdRates::from([("BTC".into(), rate)])
}

/// Price and confidence.
fn numbers(price: &Price) -> (BigDecimal, BigDecimal) {
    (price.price.clone(), price.confidence.clone())
}

fn rate_of(ticks: &[Tick], rates: &UsdRates) -> Option<UsdRate> {
    let jump_guard = &mut JumpGuard::default();
    usd_rate(&token(), &with_age(ticks), rates, &RULES, jump_guard, NOW)
}
