//! Metrics of the price writer.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::age::age_ms;
use chaincast_model::Price;
use chaincast_protocol::PriceStatus;

pub(super) fn describe() {
    describe_counter!(
        "chaincast_price_commits_total",
        "Transactions of the price writer"
    );
    describe_counter!(
        "chaincast_price_ticks_stored_total",
        "Ticks of feeds committed by the price writer"
    );
    describe_counter!(
        "chaincast_price_feeds_restarted_total",
        "Feeds that ended unexpectedly and were restarted, by feed"
    );
    describe_counter!(
        "chaincast_price_updates_total",
        "Price updates committed, by token"
    );
    describe_gauge!(
        "chaincast_price_alerts",
        "Active price alerts of this process"
    );
    describe_counter!(
        "chaincast_price_alerts_fired_total",
        "Price alerts that fired"
    );
    counter!("chaincast_price_alerts_fired_total").increment(0);
    describe_counter!(
        "chaincast_price_candle_updates_total",
        "Candle updates committed"
    );
    describe_counter!(
        "chaincast_price_candle_late_total",
        "Prices too late for the candle of their event time, counted at their publication time"
    );
    candles(0, 0);
    describe_histogram!(
        "chaincast_price_commit_seconds",
        Unit::Seconds,
        "Time from the start of a transaction of prices to its commit"
    );
    describe_gauge!(
        "chaincast_price_age_seconds",
        Unit::Seconds,
        "Age of the newest tick in each token's price"
    );
    describe_gauge!(
        "chaincast_price_degraded",
        "1 while a token's price is degraded, by reason"
    );
}

pub(super) fn committed(prices: &[Price], ticks: usize, took: Duration) {
    counter!("chaincast_price_commits_total").increment(1);
    counter!("chaincast_price_ticks_stored_total").increment(ticks as u64);
    histogram!("chaincast_price_commit_seconds").record(took);
    for price in prices {
        counter!("chaincast_price_updates_total", "token" => price.token.to_string()).increment(1);
    }
}

pub(super) fn alerts(count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    gauge!("chaincast_price_alerts").set(count);
}

pub(super) fn alerts_fired(count: usize) {
    counter!("chaincast_price_alerts_fired_total").increment(count as u64);
}

pub(super) fn candles(updates: usize, late: u64) {
    counter!("chaincast_price_candle_updates_total").increment(updates as u64);
    counter!("chaincast_price_candle_late_total").increment(late);
}

pub(super) fn feed_restarted(feed: &str) {
    counter!("chaincast_price_feeds_restarted_total", "feed" => feed.to_owned()).increment(1);
}

/// Records the state of each token's price, once a second.
pub(super) fn price_status<'a>(prices: impl Iterator<Item = &'a Price>, now_ms: i64) {
    for price in prices {
        let age = Duration::from_millis(age_ms(price.observed_at, now_ms).unsigned_abs());
        gauge!("chaincast_price_age_seconds", "token" => price.token.to_string())
            .set(age.as_secs_f64());
        let degraded = price.status == PriceStatus::Degraded;
        for (reason, is_it) in [("venues", !price.doubtful), ("doubt", price.doubtful)] {
            gauge!("chaincast_price_degraded", "token" => price.token.to_string(), "reason" => reason)
                .set(u8::from(degraded && is_it));
        }
    }
}
