//! Lateness of a venue's prices: arrival time minus the venue's time.
//!
//! The first price of a symbol on a connection is ignored: it is a snapshot that may be old.

use std::{collections::VecDeque, time::Duration};

use ::metrics::{Gauge, describe_gauge, gauge};
use tokio::time::Instant;

/// Length of the window, and its maximum number of prices.
const WINDOW: Duration = Duration::from_secs(60);
const MAX_PRICES: usize = 1_024;
/// Interval of evaluating the window, which sorts it.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum number of consecutive late prices.
const MIN_PRICES: u32 = 10;
/// Maximum allowed time of lateness, which doubles after a replacement that did not help.
const MAX_ALLOWED: Duration = Duration::from_secs(3_600);

/// The lateness of one feed, by the connection that delivers a price first.
pub(super) struct Lateness {
    window: VecDeque<(Instant, i64)>,
    evaluated_at: Option<Instant>,
    gauges: [Gauge; 2],
}

/// Detects a connection that stays late.
#[derive(Debug, Clone)]
pub(super) struct LateWatch {
    limit_ms: i64,
    initial: Duration,
    /// How long it may be late; `None` disables the detection.
    allowed: Option<Duration>,
    since: Option<Instant>,
    prices: u32,
}

impl Lateness {
    pub(super) fn new(feed: &str) -> Self {
        describe_gauge!(
            "chaincast_price_feed_lateness_milliseconds",
            "Arrival time minus the venue's time of the prices of the last minute, by feed and quantile; negative where the \
             venue's clock is ahead, and NaN while no connection is open"
        );
        let gauges = ["0.5", "0.95"].map(|quantile| {
            gauge!(
                "chaincast_price_feed_lateness_milliseconds",
                "feed" => feed.to_owned(), "quantile" => quantile
            )
        });
        Self {
            window: VecDeque::new(),
            evaluated_at: None,
            gauges,
        }
    }

    /// Clears the window after the last connection closed.
    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.evaluated_at = None;
        for gauge in &self.gauges {
            gauge.set(f64::NAN);
        }
    }

    /// Records a price. Returns the median once per interval.
    pub(super) fn record(&mut self, late_ms: i64, now: Instant) -> Option<i64> {
        if self.window.len() >= MAX_PRICES {
            self.window.pop_front();
        }
        self.window.push_back((now, late_ms));
        if self
            .evaluated_at
            .is_some_and(|evaluated_at| now.duration_since(evaluated_at) < EVALUATION_INTERVAL)
        {
            return None;
        }
        self.evaluated_at = Some(now);
        while let Some((at, _)) = self.window.front()
            && now.duration_since(*at) > WINDOW
        {
            self.window.pop_front();
        }
        let mut sorted: Vec<i64> = self.window.iter().map(|(_, late_ms)| *late_ms).collect();
        sorted.sort_unstable();
        let [median, high] = [quantile(&sorted, 50)?, quantile(&sorted, 95)?];
        for (gauge, value) in self.gauges.iter().zip([median, high]) {
            let within = value.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            gauge.set(i32::try_from(within).unwrap_or_default());
        }
        Some(median)
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The percentile of sorted values by nearest rank; `None` if there are none.
fn quantile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

impl LateWatch {
    /// Allows lateness above `limit_ms` for the time `allowed`; a limit of 0 disables the detection.
    pub(super) fn new(limit_ms: u64, allowed: Duration) -> Self {
        Self {
            limit_ms: limit_ms.cast_signed(),
            initial: allowed,
            allowed: (limit_ms > 0).then_some(allowed),
            since: None,
            prices: 0,
        }
    }

    /// Records a price. Returns whether all prices were late for the allowed time.
    pub(super) fn observe(&mut self, late_ms: i64, now: Instant) -> bool {
        let Some(allowed) = self.allowed else {
            return false;
        };
        if late_ms <= self.limit_ms {
            self.since = None;
            self.prices = 0;
            self.allowed = Some(self.initial);
            return false;
        }
        self.prices = self.prices.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        self.prices >= MIN_PRICES && now.duration_since(since) >= allowed
    }

    /// Restarts the detection with twice the allowed time.
    pub(super) fn double(&mut self) {
        self.since = None;
        self.prices = 0;
        self.allowed = self.allowed.map(|allowed| (allowed * 2).min(MAX_ALLOWED));
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn quantile_is_nearest_rank() {
        let sorted: Vec<i64> = (1..=200).collect();
        assert_eq!(quantile(&sorted, 50), Some(100));
        assert_eq!(quantile(&sorted, 95), Some(190));
        assert_eq!(quantile(&[7], 95), Some(7));
        assert_eq!(quantile(&[], 50), None);
    }

    #[test]
    fn clear_sets_gauges_to_nan() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let gauges = |number: &str| {
            let text = handle.render();
            let lines = text.lines().filter(|line| line.ends_with(number));
            lines.count()
        };
        ::metrics::with_local_recorder(&recorder, || {
            let mut lateness = Lateness::new("test-feed");
            lateness.record(9_000, Instant::now());
            assert_eq!(gauges("} 9000"), 2);
            lateness.clear();
            assert_eq!(gauges("} NaN"), 2);
            lateness.record(9_000, Instant::now());
            assert_eq!(gauges("} 9000"), 2);
            drop(lateness);
            assert_eq!(gauges("} NaN"), 2);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn window_is_bounded_in_time_and_size() {
        let mut lateness = Lateness::new("test-feed");
        assert_eq!(lateness.record(9_000, Instant::now()), Some(9_000));
        assert_eq!(
            lateness.record(9_000, Instant::now()),
            None,
            "once per interval"
        );
        tokio::time::advance(WINDOW + EVALUATION_INTERVAL).await;
        assert_eq!(lateness.record(20, Instant::now()), Some(20));
        for _ in 0..2 * MAX_PRICES {
            lateness.record(30, Instant::now());
        }
        assert_eq!(lateness.window.len(), MAX_PRICES);
    }

    #[tokio::test(start_paused = true)]
    async fn is_late_after_allowed_time_and_count() {
        let allowed = Duration::from_secs(30);
        let mut watch = LateWatch::new(1_000, allowed);
        for _ in 0..MIN_PRICES {
            assert!(!watch.observe(1_001, Instant::now()));
        }
        tokio::time::advance(allowed).await;
        assert!(watch.observe(1_001, Instant::now()));
        // A price in time restarts the detection.
        assert!(!watch.observe(1_000, Instant::now()));
        assert!(!watch.observe(9_000, Instant::now()));
        watch.double();
        for _ in 0..2 * MIN_PRICES {
            watch.observe(1_001, Instant::now());
        }
        tokio::time::advance(allowed).await;
        assert!(!watch.observe(1_001, Instant::now()));
        tokio::time::advance(allowed).await;
        assert!(watch.observe(1_001, Instant::now()));
        let mut never = LateWatch::new(0, Duration::ZERO);
        assert!((0..99).all(|_| !never.observe(i64::MAX, Instant::now())));
    }
}
