//! The one writer of a chain: from the node's head to rows, cursor and updates, one transaction at a time.
//!
//! Promises that the stored chain is hash-linked at every commit, that each indexed block is announced after the
//! transaction that holds it (see `announce_blocks` for history), and that a reorg is one transaction and one
//! `reorg` update. A node or a database that goes away, or falls silent, is waited for; [`ChainIngest::run`] fails only for what
//! waiting cannot mend. Assumes nothing of other processes: the database's lock and lease decide who writes.

mod backfill;
mod bulk;
mod commit;
mod contract;
mod error;
mod events;
mod forward;
mod give_way;
mod load;
mod outage;
mod price;
mod progress;
mod reorg;
mod session;
mod telemetry;
#[cfg(test)]
mod tests;
mod ticks;
mod token;
mod watched;
mod witness;

pub use backfill::{Backfill, Filled, Goal};
pub use error::{IngestError, ReorgLimit};
pub(super) use outage::Outage;
pub use progress::{Bottleneck, Progress, Rates};
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
    events::Announcer,
    session::{PATIENCE, Session},
    telemetry::ChainMetrics,
};
use super::{ChainContext, PriceSignals};
use crate::{
    bus::Publisher,
    model::BlockRef,
    source::{
        chain::{ChainConfig, HeadFollower, NodeError, NodeView, Providers},
        contract::Contract,
    },
    store::{
        Store, StoreError, chain as stored,
        writer::{Stream, Writer},
    },
};

/// Indexes one chain.
pub struct ChainIngest {
    parts: Parts,
    follower: HeadFollower,
    seen: watch::Receiver<NodeView>,
}

/// What every session of the writer uses.
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
    /// Those of this chain.
    contracts: Arc<[Contract]>,
    progress: Arc<Progress>,
    stall: Arc<bulk::Stall>,
    /// The same for a node that is away from the start.
    away: Arc<bulk::Stall>,
    /// How long the lock is kept while the node fails, though another process waits for it.
    keep: Duration,
    /// Whether it was logged that this process indexes, since it last stood by.
    indexes: Arc<AtomicBool>,
    /// Of price contracts, on their way to the store.
    answers: Arc<price::Answers>,
}

impl ChainIngest {
    /// Asks the node who it is and compares that with the config and with what is stored, so that a wrong URL or
    /// another chain fails the start. A node that does not answer fails it only when nothing is indexed yet: what is
    /// indexed can be served meanwhile. Nothing is written yet, and the right to write is not taken.
    pub async fn connect(config: ChainConfig, context: ChainContext) -> Result<Self, IngestError> {
        let chain_id = config.chain_id;
        let failed = |error: NodeError| IngestError::Node { chain_id, error };
        let node = Arc::new(Providers::new(&config).map_err(failed)?);
        let (follower, seen) = HeadFollower::new(&config, node.clone()).map_err(failed)?;
        let parts = Parts::new(config, node, context);
        let mut connection = parts
            .store
            .pool()
            .acquire()
            .await
            .map_err(StoreError::from)?;
        let state = parts
            .within(PATIENCE, stored::state(&mut connection, chain_id))
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
                        "the node has no block 0: this stored block tells the chain from others of its id"
                    );
                }
            }
            (Ok(_), None) => {}
            (Err(error), Some(_)) if !error.is_final() => {
                tracing::warn!(chain_id, %error, "the node does not answer yet; what is indexed is served meanwhile");
            }
            (Err(error), _) => return Err(error),
        }
        drop(connection);
        Ok(Self {
            parts,
            follower,
            seen,
        })
    }

    /// Indexes until `stop`. A commit that began is finished first, but is not waited for longer than it may take.
    pub async fn run(self, stop: CancellationToken) -> Result<(), IngestError> {
        let Self {
            parts,
            follower,
            mut seen,
        } = self;
        let _following = AbortOnDropHandle::new(tokio::spawn(follower.run(stop.child_token())));
        let mut outage = Outage::none(parts.config.chain_id);
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                () = stop.cancelled() => break,
                opened = Session::open(&parts, &stop, &mut outage) => opened,
            };
            let ended = match opened {
                // Only who holds the right to write records what its node says.
                Ok(session) => {
                    let (heard, asked) = (seen.clone(), seen.clone());
                    let lost = session.writer.lease().lost();
                    tokio::select! {
                        // A commit that gets no answer is given up with its connection: it counts or does not.
                        lost = lost => Err(lost.into()),
                        ended = session.run(&mut seen, &mut outage) => ended,
                        never = parts.witness(heard) => match never {},
                        never = parts.read_tokens() => match never {},
                        never = parts.follow_contracts() => match never {},
                        never = parts.poll_watched(asked) => match never {},
                    }
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => break,
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    let wait = outage.failed(&error);
                    let waiting = async {
                        tokio::join!(tokio::time::sleep(wait), parts.note_failure(&error));
                    };
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = waiting => {}
                    }
                }
            }
        }
        Ok(())
    }
}

impl Parts {
    fn new(config: ChainConfig, node: Arc<Providers>, context: ChainContext) -> Self {
        let chain_id = config.chain_id;
        let ours = context.contracts.iter();
        let contracts: Arc<[Contract]> = ours
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
            metrics: ChainMetrics::of(chain_id),
            contracts,
            progress: Arc::default(),
            stall: Arc::default(),
            away: Arc::default(),
            keep: give_way::KEEP,
            indexes: Arc::default(),
            answers: Arc::default(),
            config,
        }
    }

    fn stream(&self) -> Stream {
        Stream::Chain(self.config.chain_id)
    }

    /// Keeps what the database does not let this writer do where `/readyz` and `/status` find it.
    async fn note_failure(&self, error: &IngestError) {
        match error {
            IngestError::Store(error) => {
                if matches!(error, StoreError::Locked(_)) {
                    self.indexes.store(false, Ordering::Relaxed);
                }
                self.store.writer_failed(self.stream(), error).await;
            }
            IngestError::Silent { limit, .. } => {
                let error = StoreError::Silent(*limit);
                self.store.writer_failed(self.stream(), &error).await;
            }
            // What is missing is the node, and no longer the database.
            IngestError::Node { .. } => self.store.writer_works(self.stream()),
            _ => {}
        }
    }

    /// What the database kept this writer from is over, whatever the node does.
    fn database_works(&self, writer: &Writer) {
        writer.lease().works();
        self.store.writer_works(self.stream());
    }

    /// Takes the right to write. From then on nodes are used that serve what is stored.
    async fn acquire(&self) -> Result<Writer, IngestError> {
        let acquired = Writer::acquire(&self.store, self.stream());
        let mut writer = self.within(PATIENCE, acquired).await?;
        let known = stored::state(writer.connection(), self.config.chain_id);
        let known = self.within(PATIENCE, known).await?;
        self.expect_stored(writer.connection(), known.as_ref())
            .await?;
        Ok(writer)
    }

    /// Asks the node who it is, before a session is open. While it is away, what needs no node is done.
    async fn identity_meanwhile(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<BlockRef, IngestError> {
        let error = match self.identity().await {
            Ok(identity) => {
                self.away.ended();
                return Ok(identity);
            }
            Err(error) => error,
        };
        // Nobody else tells while no session is open. Without a stored chain there is nobody to tell.
        let providers = self.node.status();
        let told = self.record_providers(&providers);
        self.within(PATIENCE, told).await.ok();
        if !error.is_final() {
            self.decode_meanwhile(writer, stop).await?;
            self.regain_meanwhile(writer, stop).await?;
        }
        Err(error)
    }

    async fn identity(&self) -> Result<BlockRef, IngestError> {
        self.node
            .identity()
            .await
            .map_err(|error| self.node_failed(error))
    }

    /// From now on nodes are used that serve the stored chain, if one is stored.
    async fn expect_stored(
        &self,
        connection: &mut PgConnection,
        state: Option<&stored::ChainState>,
    ) -> Result<(), IngestError> {
        let known = match state {
            Some(state) => {
                self.within(PATIENCE, stored::known_blocks(connection, state))
                    .await?
            }
            None => Vec::new(),
        };
        self.node.expect(&known);
        Ok(())
    }

    /// Waits for the database no longer than it may take: a dead connection may never say so itself.
    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, IngestError> {
        match timeout(limit, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(IngestError::Silent {
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

    /// More may be stored than is asked for, but not less.
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
