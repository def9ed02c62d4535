//! Trying again: how long to wait, and saying so once.

use std::time::Duration;

use tokio::time::Instant;

use super::PriceIngestError;
use crate::store::StoreError;

const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Also the longest that a standby process takes to notice that it may write.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The time in which prices cannot be written, from the first failure to the next success.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    wait: Option<Duration>,
    /// The kind of failure that was logged.
    told: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standby,
    Database,
}

impl Outage {
    /// Notes a failure, logs it when it is news, and says how long to wait.
    pub(super) fn failed(&mut self, error: &PriceIngestError) -> Duration {
        self.since.get_or_insert_with(Instant::now);
        let kind = match error {
            PriceIngestError::Store(StoreError::Locked(_)) => Kind::Standby,
            _ => Kind::Database,
        };
        if self.told.replace(kind) != Some(kind) {
            match kind {
                Kind::Standby => {
                    tracing::info!(
                        "the lock of the price writer is held, by another process or by a connection that this one lost; this one stands by"
                    );
                }
                Kind::Database => tracing::warn!(%error, "trying on"),
            }
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
        if let Some(since) = self.since {
            let waited_ms = since.elapsed().as_millis() as u64;
            tracing::info!(waited_ms, "this process writes prices");
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_their_bound_and_start_over_after_a_success() {
        let error = PriceIngestError::Store(StoreError::Locked("the price feed".into()));
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
