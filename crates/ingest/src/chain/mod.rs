//! The single writer of a chain: turns the node's blocks into rows, cursor and updates, one transaction at a time.
//!
//! Promises that the stored chain is hash-linked at every commit, that each indexed block is announced after the
//! transaction that stores it (see `announce_blocks` for history), and that a reorg is one transaction and one
//! `reorg` update. An unreachable or unresponsive node or database is retried; [`ChainIngest::run`] fails only with
//! errors that a retry cannot fix. Assumes nothing about other processes: the database's lock and lease decide which
//! process writes.

mod backfill;
mod bulk;
mod catch_up;
mod commit;
mod contract;
mod error;
mod load;
mod node_status;
mod parts;
mod price;
mod progress;
mod reorg;
mod retry;
mod stall;
mod telemetry;
#[cfg(test)]
mod tests;
mod ticks;
mod timeouts;
mod token_metadata;
mod updates;
mod watched;
mod writer;
mod yield_lock;

pub use backfill::{Backfill, BackfillOutcome};
pub use error::IngestError;
use error::ReorgLimit;
pub use progress::{Progress, Rates};
pub(super) use retry::Retry;
pub(crate) use ticks::TickDecoder;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{parts::Parts, timeouts::STORE_TIMEOUT, writer::ChainWriter};
use super::ChainContext;
use chaincast_evm::chain::{ChainConfig, HeadFollower, NodeError, NodeView, Providers};
use chaincast_store::{StoreError, chain as stored};

/// Indexes one chain.
pub(crate) struct ChainIngest {
    parts: Parts,
    follower: HeadFollower,
    node_view: watch::Receiver<NodeView>,
}

impl ChainIngest {
    /// Compares the node's chain with the configuration and the stored chain, so that a wrong URL or another chain fails
    /// the start. An unreachable node fails the start only when nothing is indexed yet; otherwise the indexed data is
    /// served meanwhile. Writes nothing and does not take the writer's lock.
    pub(crate) async fn connect(
        config: ChainConfig,
        context: ChainContext,
    ) -> Result<Self, IngestError> {
        let chain_id = config.chain_id;
        let failed = |error: NodeError| IngestError::Node { chain_id, error };
        let node = Arc::new(Providers::new(&config).map_err(failed)?);
        let (follower, node_view) = HeadFollower::new(&config, node.clone()).map_err(failed)?;
        let parts = Parts::new(config, node, context);
        let mut connection = parts
            .store
            .pool()
            .acquire()
            .await
            .map_err(StoreError::from)?;
        let state = parts
            .within(STORE_TIMEOUT, stored::state(&mut connection, chain_id))
            .await?;
        parts.expect_stored(&mut connection, state.as_ref()).await?;
        match (parts.identity().await, state) {
            (Ok(actual), Some(state)) => {
                parts.check_stored(&state)?;
                if actual.number > 0 {
                    tracing::info!(
                        chain_id,
                        block = actual.number,
                        hash = %actual.hash,
                        "the node has no block 0: this stored block identifies the chain"
                    );
                }
            }
            (Ok(_), None) => {}
            (Err(error), Some(_)) if !error.is_final() => {
                tracing::warn!(chain_id, %error, "the node is unreachable; serving the indexed data meanwhile");
            }
            (Err(error), _) => return Err(error),
        }
        drop(connection);
        Ok(Self {
            parts,
            follower,
            node_view,
        })
    }

    /// Indexes until `stop`. Finishes a commit in progress first, within its time limit.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), IngestError> {
        let Self {
            parts,
            follower,
            mut node_view,
        } = self;
        let _following = AbortOnDropHandle::new(tokio::spawn(follower.run(stop.child_token())));
        let mut retry = Retry::new(parts.config.chain_id);
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                () = stop.cancelled() => break,
                opened = ChainWriter::open(&parts, &stop, &mut retry) => opened,
            };
            let ended = match opened {
                // Only the lock holder records the state of its node.
                Ok(chain_writer) => {
                    let (for_status, for_polls) = (node_view.clone(), node_view.clone());
                    let lost = chain_writer.writer.lease().lost();
                    tokio::select! {
                        // A commit without an answer is abandoned with its connection: it was applied or it was not.
                        lost = lost => Err(lost.into()),
                        ended = chain_writer.run(&mut node_view, &mut retry) => ended,
                        never = parts.report_node_status(for_status) => match never {},
                        never = parts.read_tokens() => match never {},
                        never = parts.poll_contracts() => match never {},
                        never = parts.poll_watched(for_polls) => match never {},
                    }
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => break,
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    let wait = retry.delay_after(&error);
                    parts.pause(wait, &error, &stop).await;
                }
            }
        }
        Ok(())
    }
}
