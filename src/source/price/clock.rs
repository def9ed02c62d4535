//! Whether this machine's clock is off, by what the venues say the time is.
//!
//! A price that comes late was held up, or this clock is ahead. When the prices of every venue are late by the same
//! amount, or early, it is this clock: venues do not have one fault at one time. So at least two venues are needed.

use std::{collections::BTreeMap, time::Duration};

use ::metrics::{describe_gauge, gauge};
use tokio::time::Instant;

use super::seldom::LOG_EVERY;

/// What a venue said longer ago than this does not count.
const FRESH: Duration = Duration::from_secs(60);
/// Medians of venues that tell whole seconds differ by as much without a fault.
const LEAST_SPREAD_MS: i64 = 1_000;

/// What all feeds of this process say of the time.
#[derive(Debug)]
pub(super) struct Clock {
    venues: BTreeMap<String, Said>,
    /// By how much this clock is ahead, in ms, while every venue says that it is off.
    off_ms: Option<i64>,
    logged: Option<Instant>,
}

/// How late the prices of a venue are, in ms.
#[derive(Debug)]
struct Said {
    /// The median of the last minute, and when it was taken.
    median: Option<(Instant, i64)>,
    /// The least that was ever seen, of snapshots too.
    least: i64,
}

impl Default for Clock {
    fn default() -> Self {
        describe_gauge!(
            "chaincast_price_clock_off_milliseconds",
            "Offset of this machine's clock from that of every venue, positive when ahead; 0 while they do not agree on one"
        );
        let clock = Self {
            venues: BTreeMap::new(),
            off_ms: None,
            logged: None,
        };
        clock.show();
        clock
    }
}

impl Clock {
    /// A price of a feed was so late.
    pub(super) fn saw(&mut self, feed: &str, late_ms: i64) {
        let said = self.said(feed);
        said.least = said.least.min(late_ms);
    }

    /// The prices of a feed are so late at the median. The clock is off when every venue's are by more than
    /// `tolerance_ms`, on one side, and by about the same amount.
    pub(super) fn note(&mut self, feed: &str, median_ms: i64, tolerance_ms: i64, now: Instant) {
        self.said(feed).median = Some((now, median_ms));
        let medians: Vec<i64> = self.fresh(now).collect();
        let off_ms = match self.off_ms {
            // Near the limit a median goes back and forth: once off, it takes half of it to be right again.
            Some(_) => agreed(&medians, tolerance_ms / 2, spread(tolerance_ms) * 3 / 2),
            None => agreed(&medians, tolerance_ms, spread(tolerance_ms)),
        };
        if off_ms.is_some() != self.off_ms.is_some()
            && self
                .logged
                .is_none_or(|logged| now.duration_since(logged) >= LOG_EVERY || off_ms.is_some())
        {
            self.logged = Some(now);
            match off_ms {
                Some(off_ms) => tracing::error!(
                    off_ms,
                    venues = medians.len(),
                    "this machine's clock is {}: every venue says so; set it, such as by NTP",
                    words(off_ms)
                ),
                None => tracing::info!("this machine's clock agrees with a venue's"),
            }
        }
        self.off_ms = off_ms;
        self.show();
    }

    /// By how much this clock is ahead, in ms, while every venue says that it is off. What they said more than a minute ago
    /// does not count.
    pub(super) fn off_ms(&mut self, now: Instant) -> Option<i64> {
        if self.off_ms.is_some() && self.fresh(now).count() < 2 {
            self.off_ms = None;
            self.show();
        }
        self.off_ms
    }

    /// Forgets what the venues said: nobody listens to them any more.
    pub(super) fn clear(&mut self) {
        self.venues.clear();
        self.off_ms = None;
        self.show();
    }

    fn show(&self) {
        let shown = self.off_ms.unwrap_or_default();
        let shown = shown.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        gauge!("chaincast_price_clock_off_milliseconds")
            .set(i32::try_from(shown).unwrap_or_default());
    }

    /// The same by the least lateness that each venue showed at all, for who has no minute to wait.
    pub(super) fn off_at_least(&self, tolerance_ms: i64) -> Option<i64> {
        let least: Vec<i64> = self.venues.values().map(|said| said.least).collect();
        agreed(&least, tolerance_ms, spread(tolerance_ms))
    }

    /// Whether the prices of several venues are late by more than this, and of none in time: to connect to one of them
    /// again mends nothing.
    pub(super) fn is_late_everywhere(&self, limit_ms: i64, now: Instant) -> bool {
        let mut medians = self.fresh(now);
        self.fresh(now).count() > 1 && medians.all(|median| median > limit_ms)
    }

    fn said(&mut self, feed: &str) -> &mut Said {
        self.venues.entry(venue(feed).to_owned()).or_insert(Said {
            median: None,
            least: i64::MAX,
        })
    }

    fn fresh(&self, now: Instant) -> impl Iterator<Item = i64> {
        let medians = self.venues.values().filter_map(|said| said.median);
        medians
            .filter(move |(at, _)| now.duration_since(*at) <= FRESH)
            .map(|(_, median)| median)
    }
}

/// How a clock is off, for people.
pub fn words(off_ms: i64) -> String {
    let side = if off_ms < 0 { "behind" } else { "ahead" };
    let off_ms = off_ms.unsigned_abs();
    format!("{}.{:03} s {side}", off_ms / 1_000, off_ms % 1_000)
}

/// A feed's venue: the second connection to one is no second venue.
fn venue(feed: &str) -> &str {
    match feed.rsplit_once('-') {
        Some((venue, number)) if number.bytes().all(|c| c.is_ascii_digit()) => venue,
        _ => feed,
    }
}

/// How far apart the medians of venues that agree may be.
fn spread(tolerance_ms: i64) -> i64 {
    tolerance_ms.clamp(LEAST_SPREAD_MS, i64::MAX / 3)
}

/// The offset that several venues agree on: the smallest, as prices come never early and often a little late.
fn agreed(late_ms: &[i64], tolerance_ms: i64, spread: i64) -> Option<i64> {
    let (least, most) = (*late_ms.iter().min()?, *late_ms.iter().max()?);
    let is_off = least > tolerance_ms || most < tolerance_ms.saturating_neg();
    let agree = late_ms.len() > 1 && most.saturating_sub(least) <= spread;
    (is_off && agree).then_some(least)
}

#[cfg(test)]
mod tests {
    use super::{super::log_lines::LogLines, *};

    const TOLERANCE: i64 = 2_000;

    #[test]
    fn needs_every_venue_on_one_side_by_one_amount() {
        for (late, off) in [
            (&[5_000, 5_900, 5_100][..], Some(5_000)),
            (&[-7_000, -6_200], Some(-7_000)),
            (&[2_001, 2_001], Some(2_001)),
            (&[2_000, 2_001], None),
            (&[-2_000, -2_001], None),
            (&[5_000], None),
            (&[5_000, 100], None),
            (&[5_000, -5_000], None),
            // Late, and not by the same: these venues are slow.
            (&[5_000, 9_000], None),
            (&[], None),
            (&[i64::MIN, i64::MAX], None),
        ] {
            let found = agreed(late, TOLERANCE, spread(TOLERANCE));
            assert_eq!(found, off, "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_connections_to_a_venue_are_one_venue() {
        let mut clock = Clock::default();
        let now = Instant::now();
        clock.note("kraken", 5_000, TOLERANCE, now);
        clock.note("kraken-2", 5_000, TOLERANCE, now);
        assert_eq!(clock.off_ms(Instant::now()), None);
        assert!(!clock.is_late_everywhere(4_000, now));
        clock.note("coinbase", 5_200, TOLERANCE, now);
        assert_eq!(clock.off_ms(Instant::now()), Some(5_000));
        assert!(clock.is_late_everywhere(4_000, now));
        clock.note("coinbase", 20, TOLERANCE, now);
        assert_eq!(clock.off_ms(Instant::now()), None);
        // What a venue said long ago does not count.
        clock.note("coinbase", 5_200, TOLERANCE, now);
        tokio::time::advance(FRESH + Duration::from_secs(1)).await;
        clock.note("kraken", 5_000, TOLERANCE, Instant::now());
        assert_eq!(clock.off_ms(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_offset_ends_with_what_the_venues_say() {
        let mut clock = Clock::default();
        let off = |clock: &mut Clock| {
            for feed in ["kraken", "coinbase"] {
                clock.note(feed, 5_000, TOLERANCE, Instant::now());
            }
            clock.off_ms(Instant::now())
        };
        assert_eq!(off(&mut clock), Some(5_000));
        tokio::time::advance(FRESH).await;
        assert_eq!(clock.off_ms(Instant::now()), Some(5_000));
        // All fell silent.
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(clock.off_ms(Instant::now()), None);
        assert_eq!(off(&mut clock), Some(5_000));
        clock.clear();
        assert_eq!(clock.off_ms(Instant::now()), None);
        assert_eq!(clock.off_at_least(TOLERANCE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_offset_near_the_limit_does_not_flap() {
        for side in [1, -1] {
            let mut clock = Clock::default();
            let mut both = |late_ms: i64| {
                for feed in ["kraken", "coinbase"] {
                    clock.note(feed, side * late_ms, TOLERANCE, Instant::now());
                }
                clock.off_ms(Instant::now())
            };
            assert_eq!(both(TOLERANCE), None);
            assert_eq!(both(TOLERANCE + 1), Some(side * (TOLERANCE + 1)));
            assert_eq!(both(TOLERANCE - 1), Some(side * (TOLERANCE - 1)));
            assert_eq!(both(TOLERANCE / 2 + 1), Some(side * (TOLERANCE / 2 + 1)));
            assert_eq!(both(TOLERANCE / 2), None);
            assert_eq!(both(TOLERANCE), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_off_is_logged_once() {
        let lines = LogLines::listen();
        let mut clock = Clock::default();
        for late_ms in [-2_100, -1_900, -2_100, -1_500, -2_100] {
            for feed in ["kraken", "coinbase"] {
                clock.note(feed, late_ms, TOLERANCE, Instant::now());
            }
        }
        assert_eq!(lines.count("this machine's clock is"), 1);
    }

    #[test]
    fn snapshots_count_by_the_least_lateness() {
        let mut clock = Clock::default();
        for (feed, late) in [("kraken", 90_000), ("kraken", -5_000), ("coinbase", -4_800)] {
            clock.saw(feed, late);
        }
        assert_eq!(clock.off_at_least(TOLERANCE), Some(-5_000));
        clock.saw("binance", 10);
        assert_eq!(clock.off_at_least(TOLERANCE), None);
    }

    #[test]
    fn words_have_the_side() {
        assert_eq!(words(5_040), "5.040 s ahead");
        assert_eq!(words(-61_000), "61.000 s behind");
    }
}
