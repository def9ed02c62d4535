//! What the parts of a chain's writer share, across the connections that it opens.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::PgConnection;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    IngestError, Progress, TickDecoder, contract,
    price::PendingAnswers,
    stall::Stall,
    telemetry::ChainMetrics,
    timeouts::{STORE_TIMEOUT, YIELD_AFTER},
    updates::Announcer,
};
use crate::{ChainContext, PriceSignals};
use chaincast_bus::Publisher;
use chaincast_evm::{
    chain::{ChainConfig, NodeError, Providers},
    contract::Contract,
};
use chaincast_protocol::BlockRef;
use chaincast_store::{
    Store, StoreError, chain as stored,
    writer::{Stream, Writer},
};

/// Shared by the connections that the writer opens one after another.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) config: ChainConfig,
    pub(super) node: Arc<Providers>,
    pub(super) store: Store,
    pub(super) publisher: Publisher,
    pub(super) decoder: Arc<dyn TickDecoder>,
    pub(super) signals: PriceSignals,
    pub(super) announcer: Announcer,
    pub(super) metrics: ChainMetrics,
    /// The configured contracts of this chain.
    pub(super) contracts: Arc<[Contract]>,
    pub(super) progress: Arc<Progress>,
    pub(super) stall: Arc<Stall>,
    /// As `stall`, while the node has been unreachable since the start.
    pub(super) start_stall: Arc<Stall>,
    /// How long the lock is held while the node fails and another process waits for the lock.
    pub(super) yield_after: Duration,
    /// Whether this process has logged that it indexes, since it was last a standby.
    pub(super) logged_active: Arc<AtomicBool>,
    /// Answers of price contracts that are not stored yet.
    pub(super) pending_answers: Arc<PendingAnswers>,
}

impl Parts {
    /// Those of one chain.
    pub(super) fn new(config: ChainConfig, node: Arc<Providers>, context: ChainContext) -> Self {
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
            yield_after: YIELD_AFTER,
            logged_active: Arc::default(),
            pending_answers: Arc::default(),
            config,
        }
    }

    /// The stream that the writer writes.
    pub(super) fn stream(&self) -> Stream {
        Stream::Chain(self.config.chain_id)
    }

    /// Waits before the next attempt, or until `stop`, and records the failure meanwhile.
    pub(super) async fn pause(
        &self,
        wait: Duration,
        error: &IngestError,
        stop: &CancellationToken,
    ) {
        let waiting = async {
            tokio::join!(tokio::time::sleep(wait), self.record_failure(error));
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = waiting => {}
        }
    }

    /// Records a write failure for `/readyz` and `/status`.
    pub(super) async fn record_failure(&self, error: &IngestError) {
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
    pub(super) fn database_recovered(&self, writer: &Writer) {
        writer.lease().record_success();
        self.store.clear_writer_failure(self.stream());
    }

    /// Takes the writer's lock. From then on, only nodes that serve the stored chain are used.
    pub(super) async fn acquire(&self) -> Result<Writer, IngestError> {
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
    pub(super) async fn identify_node(
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

    /// The block that identifies the node's chain.
    pub(super) async fn identity(&self) -> Result<BlockRef, IngestError> {
        self.node
            .identity()
            .await
            .map_err(|error| self.node_failed(error))
    }

    /// From now on, only nodes that serve the stored chain are used, if a chain is stored.
    pub(super) async fn expect_stored(
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
    pub(super) async fn within<T>(
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

    /// The error of a failed node.
    pub(super) fn node_failed(&self, error: NodeError) -> IngestError {
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

    /// Fails if the configuration does not fit the stored chain.
    pub(super) fn check_stored(&self, state: &stored::ChainState) -> Result<(), IngestError> {
        self.check_mode(state)?;
        match state.head {
            Some(_) => self.check_start(state.start_block),
            None => Ok(()),
        }
    }

    /// The stored chain may begin below the configured start, but not above it.
    pub(super) fn check_start(&self, stored: u64) -> Result<(), IngestError> {
        if stored <= self.config.start_block {
            return Ok(());
        }
        Err(IngestError::StartBlockMoved {
            chain_id: self.config.chain_id,
            stored,
            configured: self.config.start_block,
        })
    }

    /// An indexed chain keeps its mode.
    pub(super) fn check_mode(&self, state: &stored::ChainState) -> Result<(), IngestError> {
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
