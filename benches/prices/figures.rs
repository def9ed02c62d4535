//! What was seen of the product over some seconds.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{product::Metrics, stats};

/// Everything that counts up, at some moment.
pub struct Moment {
    /// By the clock that all processes share, in ns, and by the server's.
    pub at: u64,
    pub clock: DateTime<Utc>,
    /// Ticks told by the venues.
    pub told: u64,
    pub metrics: Metrics,
    /// CPU seconds.
    pub product: f64,
    pub postgres: f64,
    pub venues: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub seconds: f64,
    /// Ticks told, stored and conflated, and updates announced.
    pub told: f64,
    pub stored: f64,
    pub conflated: f64,
    pub updates: f64,
    /// Ticks of a transaction: in the middle, and the most.
    pub batch_p50: f64,
    pub batch_most: f64,
    /// A transaction of the price writer on average, and one row inserted beside it in the middle, in ms.
    pub commit_ms: f64,
    pub bare_ms: f64,
    /// From being told to the socket of a client, in ms.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// CPU seconds a second.
    pub product: f64,
    pub postgres: f64,
    pub venues: f64,
    /// Of the product, at the end, and the most that there was until then.
    pub resident_mb: f64,
    pub peak_mb: f64,
}

/// What has to be looked up for [`Figures`] beside the two moments.
pub struct Seen {
    pub batches: Vec<f64>,
    pub bare_ms: Vec<f64>,
    pub late_ms: Vec<f64>,
    pub resident: u64,
    pub peak: u64,
}

impl Figures {
    pub fn new(before: &Moment, after: &Moment, seen: &Seen) -> Self {
        let seconds = (after.at - before.at) as f64 / 1e9;
        let grown = |name: &str| after.metrics.sum(name) - before.metrics.sum(name);
        let commits = grown("chaincast_price_commit_seconds_count");
        Self {
            seconds,
            told: (after.told - before.told) as f64,
            stored: grown("chaincast_price_ticks_stored_total"),
            conflated: grown("chaincast_price_ticks_conflated_total"),
            updates: grown("chaincast_price_updates_total"),
            batch_p50: stats::median(&seen.batches),
            batch_most: stats::percentile(&seen.batches, 100.0),
            commit_ms: grown("chaincast_price_commit_seconds_sum") / commits * 1e3,
            bare_ms: stats::median(&seen.bare_ms),
            p50_ms: stats::median(&seen.late_ms),
            p99_ms: stats::percentile(&seen.late_ms, 99.0),
            product: (after.product - before.product) / seconds,
            postgres: (after.postgres - before.postgres) / seconds,
            venues: (after.venues - before.venues) / seconds,
            resident_mb: seen.resident as f64 / 1e6,
            peak_mb: seen.peak as f64 / 1e6,
        }
    }

    /// The middle of the rounds.
    pub fn median(rounds: &[Self], value: impl Fn(&Self) -> f64) -> f64 {
        let values: Vec<f64> = rounds.iter().map(value).collect();
        stats::median(&values)
    }
}
