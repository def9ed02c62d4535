//! Measurements of the product over some seconds.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{product::Metrics, stats};

/// All counters at one moment.
pub struct Sample {
    /// By the clock that all processes share, in ns, and by the server's.
    pub at: u64,
    pub clock: DateTime<Utc>,
    /// Ticks sent by the venues.
    pub sent: u64,
    pub metrics: Metrics,
    /// CPU seconds.
    pub product: f64,
    pub postgres: f64,
    pub venues: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub seconds: f64,
    /// Ticks sent, stored and conflated, and updates published.
    pub sent: f64,
    pub stored: f64,
    pub conflated: f64,
    pub updates: f64,
    /// Ticks in a transaction: median and maximum.
    pub batch_p50: f64,
    pub batch_most: f64,
    /// The mean transaction of the price writer, and the median of inserting one row concurrently, in ms.
    pub commit_ms: f64,
    pub bare_ms: f64,
    /// From the venue's send to the socket of a client, in ms.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// CPU seconds a second.
    pub product: f64,
    pub postgres: f64,
    pub venues: f64,
    /// Memory of the product: at the end, and its peak until then.
    pub resident_mb: f64,
    pub peak_mb: f64,
}

/// Values for [`Figures`] that do not come from the two samples.
pub struct Measurements {
    pub batches: Vec<f64>,
    pub bare_ms: Vec<f64>,
    pub latency_ms: Vec<f64>,
    pub resident: u64,
    pub peak: u64,
}

impl Figures {
    pub fn new(before: &Sample, after: &Sample, seen: &Measurements) -> Self {
        let seconds = (after.at - before.at) as f64 / 1e9;
        let grown = |name: &str| after.metrics.sum(name) - before.metrics.sum(name);
        let commits = grown("chaincast_price_commit_seconds_count");
        Self {
            seconds,
            sent: (after.sent - before.sent) as f64,
            stored: grown("chaincast_price_ticks_stored_total"),
            conflated: grown("chaincast_price_ticks_conflated_total"),
            updates: grown("chaincast_price_updates_total"),
            batch_p50: stats::median(&seen.batches),
            batch_most: stats::percentile(&seen.batches, 100.0),
            commit_ms: grown("chaincast_price_commit_seconds_sum") / commits * 1e3,
            bare_ms: stats::median(&seen.bare_ms),
            p50_ms: stats::median(&seen.latency_ms),
            p99_ms: stats::percentile(&seen.latency_ms, 99.0),
            product: (after.product - before.product) / seconds,
            postgres: (after.postgres - before.postgres) / seconds,
            venues: (after.venues - before.venues) / seconds,
            resident_mb: seen.resident as f64 / 1e6,
            peak_mb: seen.peak as f64 / 1e6,
        }
    }

    /// The median of the rounds.
    pub fn median(rounds: &[Self], value: impl Fn(&Self) -> f64) -> f64 {
        let values: Vec<f64> = rounds.iter().map(value).collect();
        stats::median(&values)
    }
}
