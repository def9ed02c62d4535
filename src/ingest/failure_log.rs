//! Rate limit for the failures that writers log: a recurring failure is logged at most once a minute.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// The shortest time between two log lines of one kind of failure.
const QUIET: Duration = Duration::from_secs(60);

/// When each kind of failure was last logged.
#[derive(Debug, Default)]
pub(in crate::ingest) struct FailureLog(HashMap<&'static str, Instant>);

impl FailureLog {
    /// Whether to log a failure of this kind now; if so, it counts as logged.
    pub(in crate::ingest) fn should_log(&mut self, kind: &'static str) -> bool {
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
    async fn logs_each_kind_of_failure_once_a_minute() {
        let mut log = FailureLog::default();
        assert!(log.should_log("lock"));
        assert!(log.should_log("disk full"));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!log.should_log("lock"));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(log.should_log("lock"));
    }
}
