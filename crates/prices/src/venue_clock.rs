//! Detects an offset of this machine's clock from the clocks of the venues.
//!
//! A late price was either delayed, or this clock is ahead. If the prices of every venue are late, or early, by about
//! the same amount, it is this clock: venues do not share a fault. At least two venues are required.

use std::{collections::BTreeMap, time::Duration};

use ::metrics::{describe_gauge, gauge};
use tokio::time::Instant;

use chaincast_base::telemetry::log_limit::LogLimit;

/// Older medians are ignored.
const FRESH: Duration = Duration::from_secs(60);
/// Minimum tolerated spread: medians of venues that report whole seconds differ by this much without a fault.
const MIN_SPREAD_MS: i64 = 1_000;

/// The lateness of all venues of this process, and the offset derived from it.
#[derive(Debug)]
pub(super) struct VenueClock {
    venues: BTreeMap<String, VenueLateness>,
    /// How far this clock is ahead, in ms, while every venue shows an offset.
    off_ms: Option<i64>,
    log: LogLimit,
}

/// Lateness of the prices of a venue, in ms.
#[derive(Debug)]
struct VenueLateness {
    /// The median of the last minute, and the time of its calculation.
    median: Option<(Instant, i64)>,
    /// The lowest lateness ever recorded, including snapshots.
    lowest: i64,
}

impl Default for VenueClock {
    fn default() -> Self {
        describe_gauge!(
            "chaincast_price_clock_off_milliseconds",
            "Offset of this machine's clock from that of every venue, positive when ahead; 0 while they do not agree on one"
        );
        let clock = Self {
            venues: BTreeMap::new(),
            off_ms: None,
            log: LogLimit::default(),
        };
        clock.update_gauge();
        clock
    }
}

impl VenueClock {
    /// Records the lateness of one price.
    pub(super) fn record(&mut self, feed: &str, late_ms: i64) {
        let venue = self.venue_lateness(feed);
        venue.lowest = venue.lowest.min(late_ms);
    }

    /// Records the median lateness of a feed. The clock is off if the medians of all venues exceed `tolerance_ms` on
    /// the same side by about the same amount.
    pub(super) fn record_median(
        &mut self,
        feed: &str,
        median_ms: i64,
        tolerance_ms: i64,
        now: Instant,
    ) {
        self.venue_lateness(feed).median = Some((now, median_ms));
        let medians: Vec<i64> = self.fresh(now).collect();
        let off_ms = match self.off_ms {
            // Hysteresis: near the limit a median fluctuates, so leaving the state requires half the tolerance.
            Some(_) => agreed_offset(&medians, tolerance_ms / 2, spread(tolerance_ms) * 3 / 2),
            None => agreed_offset(&medians, tolerance_ms, spread(tolerance_ms)),
        };
        match (off_ms, self.off_ms) {
            (Some(off_ms), None) => {
                self.log.force("offset", now);
                tracing::error!(
                    off_ms,
                    venues = medians.len(),
                    "this machine's clock is {} by the clocks of all venues; synchronize it, for example with NTP",
                    offset_text(off_ms)
                );
            }
            (None, Some(_)) if self.log.admit_at("offset", 1, now).is_some() => {
                tracing::info!("this machine's clock agrees with a venue again");
            }
            _ => {}
        }
        self.off_ms = off_ms;
        self.update_gauge();
    }

    /// How far this clock is ahead, in ms, while every venue shows an offset. Medians older than a minute are ignored.
    pub(super) fn off_ms(&mut self, now: Instant) -> Option<i64> {
        if self.off_ms.is_some() && self.fresh(now).count() < 2 {
            self.off_ms = None;
            self.update_gauge();
        }
        self.off_ms
    }

    /// Clears all records: no venue is connected any more.
    pub(super) fn clear(&mut self) {
        self.venues.clear();
        self.off_ms = None;
        self.update_gauge();
    }

    fn update_gauge(&self) {
        let gauge_ms = self.off_ms.unwrap_or_default();
        let gauge_ms = gauge_ms.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        gauge!("chaincast_price_clock_off_milliseconds")
            .set(i32::try_from(gauge_ms).unwrap_or_default());
    }

    /// The offset by the lowest lateness of each venue, for callers that cannot wait for a median.
    pub(super) fn offset_by_lowest(&self, tolerance_ms: i64) -> Option<i64> {
        let lowest: Vec<i64> = self.venues.values().map(|venue| venue.lowest).collect();
        agreed_offset(&lowest, tolerance_ms, spread(tolerance_ms))
    }

    /// Whether the median lateness of several venues exceeds `limit_ms` and that of no venue is below: then
    /// reconnecting to one of them does not help.
    pub(super) fn is_late_everywhere(&self, limit_ms: i64, now: Instant) -> bool {
        let mut medians = self.fresh(now);
        self.fresh(now).count() > 1 && medians.all(|median| median > limit_ms)
    }

    fn venue_lateness(&mut self, feed: &str) -> &mut VenueLateness {
        self.venues
            .entry(venue(feed).to_owned())
            .or_insert(VenueLateness {
                median: None,
                lowest: i64::MAX,
            })
    }

    fn fresh(&self, now: Instant) -> impl Iterator<Item = i64> {
        let medians = self.venues.values().filter_map(|venue| venue.median);
        medians
            .filter(move |(at, _)| now.duration_since(*at) <= FRESH)
            .map(|(_, median)| median)
    }
}

/// Formats an offset for people, such as `5.040 s ahead`.
pub fn offset_text(off_ms: i64) -> String {
    let side = if off_ms < 0 { "behind" } else { "ahead" };
    let off_ms = off_ms.unsigned_abs();
    format!("{}.{:03} s {side}", off_ms / 1_000, off_ms % 1_000)
}

/// The venue of a feed: `kraken-2` is a second connection to `kraken`.
fn venue(feed: &str) -> &str {
    match feed.rsplit_once('-') {
        Some((venue, number)) if number.bytes().all(|c| c.is_ascii_digit()) => venue,
        _ => feed,
    }
}

/// Maximum spread of medians that agree.
fn spread(tolerance_ms: i64) -> i64 {
    tolerance_ms.clamp(MIN_SPREAD_MS, i64::MAX / 3)
}

/// The offset that several venues agree on: the smallest lateness, since prices are never early and often a little
/// late.
fn agreed_offset(late_ms: &[i64], tolerance_ms: i64, spread: i64) -> Option<i64> {
    let (lowest, most) = (*late_ms.iter().min()?, *late_ms.iter().max()?);
    let is_off = lowest > tolerance_ms || most < tolerance_ms.saturating_neg();
    let agree = late_ms.len() > 1 && most.saturating_sub(lowest) <= spread;
    (is_off && agree).then_some(lowest)
}

#[cfg(test)]
mod tests {
    use super::{super::log_lines::LogLines, *};

    const TOLERANCE: i64 = 2_000;

    #[test]
    fn offset_requires_agreement_of_all_venues() {
        for (late, off) in [
            (&[5_000, 5_900, 5_100][..], Some(5_000)),
            (&[-7_000, -6_200], Some(-7_000)),
            (&[2_001, 2_001], Some(2_001)),
            (&[2_000, 2_001], None),
            (&[-2_000, -2_001], None),
            (&[5_000], None),
            (&[5_000, 100], None),
            (&[5_000, -5_000], None),
            // Late by different amounts: these venues are slow.
            (&[5_000, 9_000], None),
            (&[], None),
            (&[i64::MIN, i64::MAX], None),
        ] {
            let found = agreed_offset(late, TOLERANCE, spread(TOLERANCE));
            assert_eq!(found, off, "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_to_one_venue_count_once() {
        let mut clock = VenueClock::default();
        let now = Instant::now();
        clock.record_median("kraken", 5_000, TOLERANCE, now);
        clock.record_median("kraken-2", 5_000, TOLERANCE, now);
        assert_eq!(clock.off_ms(Instant::now()), None);
        assert!(!clock.is_late_everywhere(4_000, now));
        clock.record_median("coinbase", 5_200, TOLERANCE, now);
        assert_eq!(clock.off_ms(Instant::now()), Some(5_000));
        assert!(clock.is_late_everywhere(4_000, now));
        clock.record_median("coinbase", 20, TOLERANCE, now);
        assert_eq!(clock.off_ms(Instant::now()), None);
        // An old median is ignored.
        clock.record_median("coinbase", 5_200, TOLERANCE, now);
        tokio::time::advance(FRESH + Duration::from_secs(1)).await;
        clock.record_median("kraken", 5_000, TOLERANCE, Instant::now());
        assert_eq!(clock.off_ms(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn offset_expires_with_its_medians() {
        let mut clock = VenueClock::default();
        let off = |clock: &mut VenueClock| {
            for feed in ["kraken", "coinbase"] {
                clock.record_median(feed, 5_000, TOLERANCE, Instant::now());
            }
            clock.off_ms(Instant::now())
        };
        assert_eq!(off(&mut clock), Some(5_000));
        tokio::time::advance(FRESH).await;
        assert_eq!(clock.off_ms(Instant::now()), Some(5_000));
        // No venue sends data.
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(clock.off_ms(Instant::now()), None);
        assert_eq!(off(&mut clock), Some(5_000));
        clock.clear();
        assert_eq!(clock.off_ms(Instant::now()), None);
        assert_eq!(clock.offset_by_lowest(TOLERANCE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn offset_near_limit_does_not_flap() {
        for side in [1, -1] {
            let mut clock = VenueClock::default();
            let mut both = |late_ms: i64| {
                for feed in ["kraken", "coinbase"] {
                    clock.record_median(feed, side * late_ms, TOLERANCE, Instant::now());
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
    async fn offset_is_logged_once() {
        let lines = LogLines::capture();
        let mut clock = VenueClock::default();
        for late_ms in [-2_100, -1_900, -2_100, -1_500, -2_100] {
            for feed in ["kraken", "coinbase"] {
                clock.record_median(feed, late_ms, TOLERANCE, Instant::now());
            }
        }
        assert_eq!(lines.count("this machine's clock is"), 1);
    }

    #[test]
    fn offset_by_lowest_includes_snapshots() {
        let mut clock = VenueClock::default();
        for (feed, late) in [("kraken", 90_000), ("kraken", -5_000), ("coinbase", -4_800)] {
            clock.record(feed, late);
        }
        assert_eq!(clock.offset_by_lowest(TOLERANCE), Some(-5_000));
        clock.record("binance", 10);
        assert_eq!(clock.offset_by_lowest(TOLERANCE), None);
    }

    #[test]
    fn offset_text_names_direction() {
        assert_eq!(offset_text(5_040), "5.040 s ahead");
        assert_eq!(offset_text(-61_000), "61.000 s behind");
    }
}
