//! How late the prices of a venue come: their arrival less the venue's own time.
//!
//! The first price of a symbol on a connection is left out: it is a snapshot of what may be long ago.

use std::{collections::VecDeque, time::Duration};

use ::metrics::{Gauge, describe_gauge, gauge};
use tokio::time::Instant;

/// What is shown is of this long, and of at most so many prices.
const WINDOW: Duration = Duration::from_secs(60);
const MOST: usize = 1_024;
/// Between two looks at a window, which sort it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Prices in a row from which on a connection can be late.
const ENOUGH: u32 = 10;
/// A connection that was replaced for nothing is waited for longer the next time, up to this.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The lateness of one feed, for people: by whichever connection a price came first.
pub(super) struct Lateness {
    window: VecDeque<(Instant, i64)>,
    looked: Option<Instant>,
    shown: [Gauge; 2],
}

/// Whether one connection is late, and stays so.
#[derive(Debug, Clone)]
pub(super) struct LateWatch {
    limit_ms: i64,
    first: Duration,
    /// How long it may be late; never given up when none.
    patience: Option<Duration>,
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
        let shown = ["0.5", "0.95"].map(|quantile| {
            gauge!(
                "chaincast_price_feed_lateness_milliseconds",
                "feed" => feed.to_owned(), "quantile" => quantile
            )
        });
        Self {
            window: VecDeque::new(),
            looked: None,
            shown,
        }
    }

    /// Nobody listens to the venue any more: what was seen says nothing of now.
    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.looked = None;
        for gauge in &self.shown {
            gauge.set(f64::NAN);
        }
    }

    /// One more price. Returns the median now and then.
    pub(super) fn note(&mut self, late_ms: i64, now: Instant) -> Option<i64> {
        if self.window.len() >= MOST {
            self.window.pop_front();
        }
        self.window.push_back((now, late_ms));
        if self
            .looked
            .is_some_and(|looked| now.duration_since(looked) < LOOK_EVERY)
        {
            return None;
        }
        self.looked = Some(now);
        while let Some((at, _)) = self.window.front()
            && now.duration_since(*at) > WINDOW
        {
            self.window.pop_front();
        }
        let mut sorted: Vec<i64> = self.window.iter().map(|(_, late_ms)| *late_ms).collect();
        sorted.sort_unstable();
        let [median, high] = [quantile(&sorted, 50)?, quantile(&sorted, 95)?];
        for (gauge, value) in self.shown.iter().zip([median, high]) {
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

/// The value below which so many of a hundred lie (the nearest rank); `None` of nothing.
fn quantile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

impl LateWatch {
    /// Of a connection that may be later than `limit_ms` for `patience`; 0 is never too late.
    pub(super) fn new(limit_ms: u64, patience: Duration) -> Self {
        Self {
            limit_ms: limit_ms.cast_signed(),
            first: patience,
            patience: (limit_ms > 0).then_some(patience),
            since: None,
            prices: 0,
        }
    }

    /// One more price. Returns whether all of them were late for as long as that may be.
    pub(super) fn heard(&mut self, late_ms: i64, now: Instant) -> bool {
        let Some(patience) = self.patience else {
            return false;
        };
        if late_ms <= self.limit_ms {
            self.since = None;
            self.prices = 0;
            self.patience = Some(self.first);
            return false;
        }
        self.prices = self.prices.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        self.prices >= ENOUGH && now.duration_since(since) >= patience
    }

    /// Begins to wait anew, for twice as long.
    pub(super) fn double(&mut self) {
        self.since = None;
        self.prices = 0;
        self.patience = self.patience.map(|patience| (patience * 2).min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn shows_median_and_95th_percentile() {
        let sorted: Vec<i64> = (1..=200).collect();
        assert_eq!(quantile(&sorted, 50), Some(100));
        assert_eq!(quantile(&sorted, 95), Some(190));
        assert_eq!(quantile(&[7], 95), Some(7));
        assert_eq!(quantile(&[], 50), None);
    }

    #[test]
    fn shows_no_number_once_nobody_listens() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let shown = |number: &str| {
            let text = handle.render();
            let lines = text.lines().filter(|line| line.ends_with(number));
            lines.count()
        };
        ::metrics::with_local_recorder(&recorder, || {
            let mut lateness = Lateness::new("of-a-test");
            lateness.note(9_000, Instant::now());
            assert_eq!(shown("} 9000"), 2);
            lateness.clear();
            assert_eq!(shown("} NaN"), 2);
            lateness.note(9_000, Instant::now());
            assert_eq!(shown("} 9000"), 2);
            drop(lateness);
            assert_eq!(shown("} NaN"), 2);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_what_is_older_than_its_window() {
        let mut lateness = Lateness::new("of-a-test");
        assert_eq!(lateness.note(9_000, Instant::now()), Some(9_000));
        assert_eq!(lateness.note(9_000, Instant::now()), None, "once a second");
        tokio::time::advance(WINDOW + LOOK_EVERY).await;
        assert_eq!(lateness.note(20, Instant::now()), Some(20));
        for _ in 0..2 * MOST {
            lateness.note(30, Instant::now());
        }
        assert_eq!(lateness.window.len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn is_late_after_many_prices_and_its_patience() {
        let patience = Duration::from_secs(30);
        let mut watch = LateWatch::new(1_000, patience);
        for _ in 0..ENOUGH {
            assert!(!watch.heard(1_001, Instant::now()));
        }
        tokio::time::advance(patience).await;
        assert!(watch.heard(1_001, Instant::now()));
        // One that comes in time begins it anew.
        assert!(!watch.heard(1_000, Instant::now()));
        assert!(!watch.heard(9_000, Instant::now()));
        watch.double();
        for _ in 0..2 * ENOUGH {
            watch.heard(1_001, Instant::now());
        }
        tokio::time::advance(patience).await;
        assert!(!watch.heard(1_001, Instant::now()));
        tokio::time::advance(patience).await;
        assert!(watch.heard(1_001, Instant::now()));
        let mut never = LateWatch::new(0, Duration::ZERO);
        assert!((0..99).all(|_| !never.heard(i64::MAX, Instant::now())));
    }
}
