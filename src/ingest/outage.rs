//! What writers have logged of what they wait for: a failure that comes and goes is a line a minute, not one each time.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// A kind of failure that was logged is not logged again for this long.
const QUIET: Duration = Duration::from_secs(60);

/// Kinds of failures and when each was logged.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Logged(HashMap<&'static str, Instant>);

impl Logged {
    /// Whether a failure of this kind is to be logged; it then counts as logged.
    pub(in crate::ingest) fn is_due(&mut self, kind: &'static str) -> bool {
        let now = Instant::now();
        let last = self.0.get(kind);
        let due = last.is_none_or(|last| now.duration_since(*last) >= QUIET);
        if due {
            self.0.insert(kind, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn logs_a_kind_of_failure_once_a_minute() {
        let mut logged = Logged::default();
        assert!(logged.is_due("lock"));
        assert!(logged.is_due("disk full"));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!logged.is_due("lock"));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(logged.is_due("lock"));
    }
}
