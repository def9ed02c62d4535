//! Limits log lines that external parties can trigger: one line per kind and interval. Metrics count all events.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// Minimum interval between two lines of a kind.
pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// When a line of each kind was last written.
#[derive(Debug, Default)]
pub(super) struct LogInterval(BTreeMap<&'static str, Instant>);

impl LogInterval {
    /// Whether a line of this kind may be written now; it then counts as written.
    pub(super) fn due(&mut self, kind: &'static str) -> bool {
        let now = Instant::now();
        let last = self.0.get(kind);
        let due = last.is_none_or(|last| now.duration_since(*last) >= LOG_INTERVAL);
        if due {
            self.0.insert(kind, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_per_kind_and_interval() {
        let mut interval = LogInterval::default();
        assert!(interval.due("a") && interval.due("b"));
        advance(LOG_INTERVAL / 2).await;
        assert!(!interval.due("a"));
        // A suppressed line does not restart the interval.
        advance(LOG_INTERVAL / 2).await;
        assert!(interval.due("a"));
        assert!(!interval.due("a") && interval.due("b"));
    }
}
