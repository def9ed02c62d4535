//! Yields the lock of a writer whose node fails: another process may have a working node.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{IngestError, Parts, timeouts::STORE_TIMEOUT};
use chaincast_protocol::BlockRef;
use chaincast_store::writer::Writer;

/// How long it then waits before it takes the lock again: standbys check twice a second.
const YIELD_PAUSE: Duration = Duration::from_secs(5);

/// Since when the node has failed without progress of the indexed head.
#[derive(Debug, Default)]
pub(super) struct StuckTimer(Option<(Instant, Option<BlockRef>)>);

impl StuckTimer {
    /// Records a failure of the node; returns how long the writer has been stuck at this head.
    pub(super) fn record_failure(&mut self, head: Option<BlockRef>) -> Duration {
        let now = Instant::now();
        let (since, _) = self
            .0
            .filter(|(_, stuck)| *stuck == head)
            .unwrap_or((now, head));
        self.0 = Some((since, head));
        now.duration_since(since)
    }

    /// Records that the writer made progress.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

impl Parts {
    /// Whether a writer that has been stuck for this long must release the lock.
    pub(super) async fn should_yield(
        &self,
        stuck: Duration,
        writer: &mut Writer,
    ) -> Result<bool, IngestError> {
        if stuck < self.yield_after {
            return Ok(false);
        }
        self.within(STORE_TIMEOUT, writer.has_waiters()).await
    }

    /// Releases the lock, and gives another process time to take it.
    pub(super) async fn yield_lock(&self, writer: Writer, stop: &CancellationToken) {
        tracing::warn!(
            chain_id = self.config.chain_id,
            "yielded the chain's lock to a waiting process: this process cannot reach its node"
        );
        self.within(STORE_TIMEOUT, writer.release()).await.ok();
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(YIELD_PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::timeouts::YIELD_AFTER, *};

    #[tokio::test(start_paused = true)]
    async fn stuck_timer_counts_from_first_failure_at_head() {
        let head = |number| {
            Some(BlockRef {
                number,
                hash: Default::default(),
            })
        };
        let mut stuck = StuckTimer::default();
        assert_eq!(stuck.record_failure(head(1)), Duration::ZERO);
        tokio::time::advance(YIELD_AFTER).await;
        assert_eq!(stuck.record_failure(head(1)), YIELD_AFTER);
        assert_eq!(
            stuck.record_failure(head(2)),
            Duration::ZERO,
            "it made progress"
        );
        tokio::time::advance(YIELD_AFTER).await;
        stuck.reset();
        assert_eq!(stuck.record_failure(head(2)), Duration::ZERO);
    }
}
