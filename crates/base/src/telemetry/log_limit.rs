//! Limits log lines by kind and interval, so that nobody outside can fill the log. Suppressed lines are counted.

use std::{collections::HashMap, time::Duration};

use rustc_hash::FxBuildHasher;
use tokio::time::Instant;

/// The interval of [`LogLimit::default`].
pub const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts lines by kind. Kinds are constants of this program, never text from outside: each takes memory.
#[derive(Debug)]
pub struct LogLimit {
    lines: u32,
    interval: Duration,
    kinds: HashMap<&'static str, Usage, FxBuildHasher>,
}

/// The lines of one kind in its current interval, which begins with the first line.
#[derive(Debug)]
struct Usage {
    since: Instant,
    written: u32,
    suppressed: u64,
}

impl Usage {
    fn new(since: Instant) -> Self {
        Self {
            since,
            written: 0,
            suppressed: 0,
        }
    }
}

impl Default for LogLimit {
    /// One line per kind and minute.
    fn default() -> Self {
        Self::new(1, LOG_INTERVAL)
    }
}

impl LogLimit {
    /// Allows `lines` per kind and interval.
    pub const fn new(lines: u32, interval: Duration) -> Self {
        Self {
            lines,
            interval,
            kinds: HashMap::with_hasher(FxBuildHasher),
        }
    }

    /// Whether a line of this kind may be written now; if so, it counts as written.
    pub fn is_due(&mut self, kind: &'static str) -> bool {
        self.admit(kind).is_some()
    }

    /// As [`Self::is_due`]; returns the number of lines suppressed since the last written one.
    pub fn admit(&mut self, kind: &'static str) -> Option<u64> {
        self.admit_at(kind, self.lines, Instant::now())
    }

    /// As [`Self::admit`], with another number of lines per interval, at a given time.
    pub fn admit_at(&mut self, kind: &'static str, lines: u32, now: Instant) -> Option<u64> {
        let usage = self.kinds.entry(kind).or_insert_with(|| Usage::new(now));
        let mut suppressed = 0;
        if now.saturating_duration_since(usage.since) >= self.interval {
            suppressed = usage.suppressed;
            *usage = Usage::new(now);
        }
        if usage.written >= lines {
            usage.suppressed += 1;
            return None;
        }
        usage.written += 1;
        Some(suppressed)
    }

    /// A line of this kind is written whatever the limit; its interval begins anew.
    pub fn force(&mut self, kind: &'static str, now: Instant) {
        let usage = self.kinds.entry(kind).or_insert_with(|| Usage::new(now));
        *usage = Usage {
            written: self.lines,
            ..Usage::new(now)
        };
    }

    /// The kinds with suppressed lines whose interval is over, and the number of lines; each is returned once.
    pub fn take_suppressed(&mut self) -> Vec<(&'static str, u64)> {
        let now = Instant::now();
        let mut reported = Vec::new();
        for (kind, usage) in &mut self.kinds {
            if usage.suppressed > 0 && now.saturating_duration_since(usage.since) >= self.interval {
                reported.push((*kind, usage.suppressed));
                *usage = Usage::new(now);
            }
        }
        reported
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn default_admits_one_line_per_kind_and_minute() {
        let mut limit = LogLimit::default();
        assert!(limit.is_due("lock"));
        assert!(limit.is_due("disk full"));
        // A suppressed line does not restart the interval.
        for _ in 0..59 {
            advance(Duration::from_secs(1)).await;
            assert!(!limit.is_due("lock"));
        }
        advance(Duration::from_secs(1)).await;
        assert_eq!(limit.admit("lock"), Some(59));
        assert!(!limit.is_due("lock") && limit.is_due("disk full"));
    }

    #[tokio::test(start_paused = true)]
    async fn limits_lines_per_kind_and_counts_the_rest() {
        let mut limit = LogLimit::new(2, LOG_INTERVAL);
        let written = |limit: &mut LogLimit, kind| (0..5).filter(|_| limit.is_due(kind)).count();
        assert_eq!(written(&mut limit, "abuse"), 2);
        assert_eq!(written(&mut limit, "slow"), 2);
        advance(LOG_INTERVAL / 2).await;
        assert_eq!(limit.take_suppressed(), []);
        advance(LOG_INTERVAL / 2).await;
        let mut suppressed = limit.take_suppressed();
        suppressed.sort_unstable();
        assert_eq!(suppressed, [("abuse", 3), ("slow", 3)]);
        assert_eq!(limit.take_suppressed(), []);
        assert_eq!(written(&mut limit, "abuse"), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn next_line_or_report_has_the_suppressed_count() {
        let mut limit = LogLimit::default();
        assert_eq!(limit.admit("full"), Some(0));
        assert_eq!(limit.admit("full"), None);
        advance(LOG_INTERVAL).await;
        assert_eq!(limit.admit("full"), Some(1));
        advance(LOG_INTERVAL).await;
        assert_eq!(limit.take_suppressed(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn forced_line_restarts_the_interval() {
        let mut limit = LogLimit::default();
        assert!(limit.is_due("clock"));
        advance(LOG_INTERVAL / 2).await;
        limit.force("clock", Instant::now());
        advance(LOG_INTERVAL / 2).await;
        assert!(!limit.is_due("clock"));
        advance(LOG_INTERVAL / 2).await;
        assert!(limit.is_due("clock"));
    }
}
