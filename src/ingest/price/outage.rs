//! Trying again: how long to wait, and what of it is logged.

use std::time::Duration;

use tokio::time::Instant;

use super::PriceIngestError;
use crate::{
    ingest::outage::Logged,
    store::{StoreError, writer::LOOK_EVERY},
};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The time in which prices cannot be written, from the first failure to the next success.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    wait: Option<Duration>,
    /// The kind of failure that it waits for, once that was logged.
    told: Option<&'static str>,
    /// In this outage and those before it.
    logged: Logged,
}

impl Outage {
    /// Notes a failure, logs it when it is news, and says how long to wait.
    pub(super) fn failed(&mut self, error: &PriceIngestError) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        let kind = match error {
            PriceIngestError::Store(error) => error.trouble().unwrap_or("database"),
            PriceIngestError::Silent(_) => "silent",
        };
        let standby = matches!(error, PriceIngestError::Store(StoreError::Locked(_)));
        if self.told.replace(kind) != Some(kind) {
            if standby {
                tracing::info!(reason = %error, "this process stands by");
            } else if self.logged.is_due(kind) {
                tracing::warn!(kind, %error, "the price writer waits for the database; trying on");
            }
        }
        let held = matches!(
            error,
            PriceIngestError::Store(StoreError::StillHeld(_) | StoreError::Stuck(_))
        );
        if standby || held {
            return LOOK_EVERY;
        }
        let wait = match self.wait {
            Some(last) => (last * 2).min(LONGEST_WAIT),
            None => FIRST_WAIT,
        };
        self.wait = Some(wait);
        wait
    }

    /// Notes that work goes on.
    pub(super) fn ended(&mut self) {
        let Some(since) = self.since.take() else {
            return;
        };
        (self.told, self.wait) = (None, None);
        if self.logged.is_due("goes on") {
            let waited_ms = since.elapsed().as_millis() as u64;
            tracing::info!(waited_ms, "this process writes prices");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_its_waits_until_a_success() {
        let error = PriceIngestError::Silent(Duration::from_secs(10));
        let mut outage = Outage::default();
        assert_eq!(outage.failed(&error), FIRST_WAIT);
        assert_eq!(outage.failed(&error), FIRST_WAIT * 2);
        for _ in 0..9 {
            outage.failed(&error);
        }
        assert_eq!(outage.failed(&error), LONGEST_WAIT);
        outage.ended();
        assert_eq!(outage.failed(&error), FIRST_WAIT);
    }
}
