//! Retry delays of the price writer, and which failures it logs.

use std::time::Duration;

use tokio::time::Instant;

use super::PriceIngestError;
use chaincast_base::{retry::Backoff, telemetry::log_limit::LogLimit};
use chaincast_store::{StoreError, writer::LOCK_RETRY_INTERVAL};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The state of an outage: from the first failure to the next success.
#[derive(Debug)]
pub(super) struct Retry {
    since: Option<Instant>,
    backoff: Backoff,
    /// The kind of the current failure, once it was logged.
    logged_kind: Option<&'static str>,
    /// Log times, across outages.
    log: LogLimit,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            since: None,
            backoff: Backoff::exact(FIRST_WAIT, LONGEST_WAIT),
            logged_kind: None,
            log: LogLimit::default(),
        }
    }
}

impl Retry {
    /// Records a failure, logs it if its kind is new, and returns the delay before the next attempt.
    pub(super) fn delay_after(&mut self, error: &PriceIngestError) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        let kind = match error {
            PriceIngestError::Store(error) => error.failure_kind().unwrap_or("database"),
            PriceIngestError::Timeout(_) => "silent",
        };
        let standby = matches!(error, PriceIngestError::Store(StoreError::Locked(_)));
        if self.logged_kind.replace(kind) != Some(kind) {
            if standby {
                tracing::info!(reason = %error, "standing by: another process writes prices");
            } else if self.log.is_due(kind) {
                tracing::warn!(kind, %error, "the price writer is paused by a database failure; retrying");
            }
        }
        let held = matches!(
            error,
            PriceIngestError::Store(StoreError::StillHeld(_) | StoreError::Stuck(_))
        );
        if standby || held {
            return LOCK_RETRY_INTERVAL;
        }
        self.backoff.next_delay()
    }

    /// Records a success and ends the outage.
    pub(super) fn reset(&mut self) {
        let Some(since) = self.since.take() else {
            return;
        };
        self.logged_kind = None;
        self.backoff.reset();
        if self.log.is_due("recovered") {
            let waited_ms = since.elapsed().as_millis() as u64;
            tracing::info!(waited_ms, "this process writes prices");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delay_doubles_until_success() {
        let error = PriceIngestError::Timeout(Duration::from_secs(10));
        let mut retry = Retry::default();
        assert_eq!(retry.delay_after(&error), FIRST_WAIT);
        assert_eq!(retry.delay_after(&error), FIRST_WAIT * 2);
        for _ in 0..9 {
            retry.delay_after(&error);
        }
        assert_eq!(retry.delay_after(&error), LONGEST_WAIT);
        retry.reset();
        assert_eq!(retry.delay_after(&error), FIRST_WAIT);
    }
}
