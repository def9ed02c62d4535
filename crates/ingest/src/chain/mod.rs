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
mod price;
mod progress;
mod reorg;
mod retry;
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

pub use backfill::{Backfill, BackfillOutcome, Goal};
pub use error::{IngestError, ReorgLimit};
pub use progress::{Bottleneck, Progress, Rates};
pub(super) use retry::Retry;
pub use ticks::TickDecoder;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::PgConnection;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    telemetry::ChainMetrics, timeouts::STORE_TIMEOUT, updates::Announcer, writer::ChainWriter,
};
use super::{ChainContext, PriceSignals};
use chaincast_bus::Publisher;
use chaincast_evm::{
    chain::{ChainConfig, HeadFollower, NodeError, NodeView, Providers},
    contract::Contract,
};
use chaincast_protocol::BlockRef;
use chaincast_store::{
    Store, StoreError, chain as stored,
    writer::{Stream, Writer},
};

/// Indexes one chain.
pub struct ChainIngest {
    parts: Parts,
    follower: HeadFollower,
    node_view: watch::Receiver<NodeView>,
}

/// Shared by the connections that the writer opens one after another.
#[derive(Clone)]
struct Parts {
    config: ChainConfig,
    node: Arc<Providers>,
    store: Store,
    publisher: Publisher,
    decoder: Arc<dyn TickDecoder>,
    signals: PriceSignals,
    announcer: Announcer,
    metrics: ChainMetrics,
    /// The configured contracts of this chain.
    contracts: Arc<[Contract]>,
    progress: Arc<Progress>,
    stall: Arc<bulk::Stall>,
    /// As `stall`, while the node has been unreachable since the start.
    start_stall: Arc<bulk::Stall>,
    /// How long the lock is held while the node fails and another process waits for the lock.
    yield_after: Duration,
    /// Whether this process has logged that it indexes, since it was last a standby.
    logged_active: Arc<AtomicBool>,
    /// Answers of price contracts that are not stored yet.
    pending_answers: Arc<price::PendingAnswers>,
}

impl ChainIngest {
    /// Compares the node's chain with the configuration and the stored chain, so that a wrong URL or another chain fails
    /// the start. An unreachable node fails the start only when nothing is indexed yet; otherwise the indexed data is
    /// served meanwhile. Writes nothing and does not take the writer's lock.
    pub async fn connect(config: ChainConfig, context: ChainContext) -> Result<Self, IngestError> {
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
    pub async fn run(self, stop: CancellationToken) -> Result<(), IngestError> {
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

impl Parts {
    fn new(config: ChainConfig, node: Arc<Providers>, context: ChainContext) -> Self {
        let chain_id = config.chain_id;
        let all = context.contracts.iter();
        let contracts: Arc<[Contract]> = all
            .filter(|contract| contract.chain_id == chain_id)
            .cloned()
            .collect();
        contract::describe(&contracts);
        Self {
            node,
            store: context.store,
            publisher: context.publisher,
            decoder: context.decoder,
            signals: context.signals,
            announcer: Announcer::new(chain_id, context.first_chain),
            metrics: ChainMetrics::new(chain_id),
            contracts,
            progress: Arc::default(),
            stall: Arc::default(),
            start_stall: Arc::default(),
            yield_after: yield_lock::YIELD_AFTER,
            logged_active: Arc::default(),
            pending_answers: Arc::default(),
            config,
        }
    }

    fn stream(&self) -> Stream {
        Stream::Chain(self.config.chain_id)
    }

    /// Waits before the next attempt, or until `stop`, and records the failure meanwhile.
    async fn pause(&self, wait: Duration, error: &IngestError, stop: &CancellationToken) {
        let waiting = async {
            tokio::join!(tokio::time::sleep(wait), self.record_failure(error));
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = waiting => {}
        }
    }

    /// Records a write failure for `/readyz` and `/status`.
    async fn record_failure(&self, error: &IngestError) {
        match error {
            IngestError::Store(error) => {
                if matches!(error, StoreError::Locked(_)) {
                    self.logged_active.store(false, Ordering::Relaxed);
                }
                self.store.record_writer_failure(self.stream(), error).await;
            }
            IngestError::Timeout { limit, .. } => {
                let error = StoreError::Timeout(*limit);
                self.store
                    .record_writer_failure(self.stream(), &error)
                    .await;
            }
            // The node failed; the database works again.
            IngestError::Node { .. } => self.store.clear_writer_failure(self.stream()),
            _ => {}
        }
    }

    /// Records that the database works again, whatever the state of the node.
    fn database_recovered(&self, writer: &Writer) {
        writer.lease().record_success();
        self.store.clear_writer_failure(self.stream());
    }

    /// Takes the writer's lock. From then on, only nodes that serve the stored chain are used.
    async fn acquire(&self) -> Result<Writer, IngestError> {
        let acquired = Writer::acquire(&self.store, self.stream());
        let mut writer = self.within(STORE_TIMEOUT, acquired).await?;
        let known = stored::state(writer.connection(), self.config.chain_id);
        let known = self.within(STORE_TIMEOUT, known).await?;
        self.expect_stored(writer.connection(), known.as_ref())
            .await?;
        Ok(writer)
    }

    /// Reads the node's identity before the writer is open. While the node is unreachable, does the work that needs no
    /// node.
    async fn identify_node(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<BlockRef, IngestError> {
        let error = match self.identity().await {
            Ok(identity) => {
                self.start_stall.clear();
                return Ok(identity);
            }
            Err(error) => error,
        };
        // Nothing else records it while no writer is open. Without a stored chain there is no row to record it in.
        let providers = self.node.status();
        let recorded = self.record_providers(&providers);
        self.within(STORE_TIMEOUT, recorded).await.ok();
        if !error.is_final() {
            self.decode_offline(writer, stop).await?;
            self.restore_indexes_offline(writer, stop).await?;
        }
        Err(error)
    }

    async fn identity(&self) -> Result<BlockRef, IngestError> {
        self.node
            .identity()
            .await
            .map_err(|error| self.node_failed(error))
    }

    /// From now on, only nodes that serve the stored chain are used, if a chain is stored.
    async fn expect_stored(
        &self,
        connection: &mut PgConnection,
        state: Option<&stored::ChainState>,
    ) -> Result<(), IngestError> {
        let known = match state {
            Some(state) => {
                self.within(STORE_TIMEOUT, stored::known_blocks(connection, state))
                    .await?
            }
            None => Vec::new(),
        };
        self.node.expect(&known);
        Ok(())
    }

    /// Limits the time of a database operation: a dead connection may never report an error.
    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, IngestError> {
        match timeout(limit, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(IngestError::Timeout {
                chain_id: self.config.chain_id,
                limit,
            }),
        }
    }

    fn node_failed(&self, error: NodeError) -> IngestError {
        let chain_id = self.config.chain_id;
        match error.cause() {
            NodeError::WrongGenesis {
                number,
                expected,
                actual,
                ..
            } => IngestError::DifferentChain {
                chain_id,
                number: *number,
                stored: *expected,
                actual: *actual,
            },
            _ => IngestError::Node { chain_id, error },
        }
    }

    fn check_stored(&self, state: &stored::ChainState) -> Result<(), IngestError> {
        self.check_mode(state)?;
        match state.head {
            Some(_) => self.check_start(state.start_block),
            None => Ok(()),
        }
    }

    /// The stored chain may begin below the configured start, but not above it.
    fn check_start(&self, stored: u64) -> Result<(), IngestError> {
        if stored <= self.config.start_block {
            return Ok(());
        }
        Err(IngestError::StartBlockMoved {
            chain_id: self.config.chain_id,
            stored,
            configured: self.config.start_block,
        })
    }

    fn check_mode(&self, state: &stored::ChainState) -> Result<(), IngestError> {
        if state.head.is_none() || state.index_mode == self.config.index {
            return Ok(());
        }
        Err(IngestError::IndexModeChanged {
            chain_id: self.config.chain_id,
            stored: state.index_mode,
            configured: self.config.index,
        })
    }
}
