//! When a writer whose node does not let it go on releases the lock: another process may have a node that does.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{IngestError, Parts, session::PATIENCE};
use crate::{model::BlockRef, store::writer::Writer};

/// How long a writer whose node fails keeps the lock, although another process waits for it.
pub(super) const KEEP: Duration = Duration::from_secs(60);
/// How long it stands aside then: standbys look twice a second.
const ASIDE: Duration = Duration::from_secs(5);

/// Since when a node fails, and the indexed head does not move.
#[derive(Debug, Default)]
pub(super) struct Stuck(Option<(Instant, Option<BlockRef>)>);

impl Stuck {
    /// Notes a failure of the node; returns how long the writer is stuck at this head.
    pub(super) fn failed(&mut self, head: Option<BlockRef>) -> Duration {
        let now = Instant::now();
        let (since, _) = self
            .0
            .filter(|(_, stuck)| *stuck == head)
            .unwrap_or((now, head));
        self.0 = Some((since, head));
        now.duration_since(since)
    }

    /// Notes that the node lets the writer go on.
    pub(super) fn ended(&mut self) {
        self.0 = None;
    }
}

impl Parts {
    /// Whether a writer that is stuck for so long is to release the lock.
    pub(super) async fn gives_way(
        &self,
        stuck: Duration,
        writer: &mut Writer,
    ) -> Result<bool, IngestError> {
        if stuck < self.keep {
            return Ok(false);
        }
        self.within(PATIENCE, writer.is_waited_for()).await
    }

    /// Releases the lock, and leaves time for another process to take it.
    pub(super) async fn stand_aside(&self, writer: Writer, stop: &CancellationToken) {
        tracing::warn!(
            chain_id = self.config.chain_id,
            "released the right to write to another process, which waits for it: the node of this one does not answer"
        );
        self.within(PATIENCE, writer.release()).await.ok();
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ASIDE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_from_the_first_failure_at_a_head() {
        let head = |number| {
            Some(BlockRef {
                number,
                hash: Default::default(),
            })
        };
        let mut stuck = Stuck::default();
        assert_eq!(stuck.failed(head(1)), Duration::ZERO);
        tokio::time::advance(KEEP).await;
        assert_eq!(stuck.failed(head(1)), KEEP);
        assert_eq!(stuck.failed(head(2)), Duration::ZERO, "it made progress");
        tokio::time::advance(KEEP).await;
        stuck.ended();
        assert_eq!(stuck.failed(head(2)), Duration::ZERO);
    }
}
