//! History on purpose: a range is filled, below what is stored or above it, and then the work ends.
//!
//! Promises what the writer promises: at every moment the stored blocks are one linked chain, so a kill at any moment
//! costs what was not committed, and the same command goes on from there. Below the stored blocks it works downwards,
//! each transaction ending in the parent of the first stored block.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    IngestError, Outage, Parts, Progress,
    commit::{COMMIT_PATIENCE, Step},
    load::{Broken, Load},
    session::{PATIENCE, Session},
};
use crate::{
    ingest::ChainContext,
    source::chain::{ChainConfig, Direction, NodeError, Providers, Tag},
    store::{StoreError, chain as stored},
};

/// A node or a database that nothing is stored from for so long is given up: whoever runs this is there to look.
const GIVE_UP: Duration = Duration::from_secs(120);

/// What is left to do, as it is known when the work begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// The first and the last block that will be indexed when all is done.
    pub from: u64,
    pub to: u64,
    /// Blocks that are to be stored for that.
    pub blocks: u64,
}

/// Fills a range of one chain.
pub struct Backfill {
    parts: Parts,
    from: u64,
    to: Option<u64>,
}

impl Backfill {
    /// Prepares to fill from block `from` to block `to`, or to the node's head. Nothing is asked or written yet.
    pub fn new(
        config: ChainConfig,
        context: ChainContext,
        from: u64,
        to: Option<u64>,
    ) -> Result<Self, IngestError> {
        let chain_id = config.chain_id;
        let failed = |error: NodeError| IngestError::Node { chain_id, error };
        let config = ChainConfig {
            start_block: from,
            ..config
        };
        let node = Providers::new(&config).map_err(failed)?;
        let parts = Parts::new(config, Arc::new(node), context);
        Ok(Self { parts, from, to })
    }

    /// What is done so far, for whoever shows it.
    pub fn progress(&self) -> Arc<Progress> {
        self.parts.progress.clone()
    }

    /// Fills the range, or as much as `stop` allows; a commit that began is finished. `known` is told the goal once
    /// it is known. Returns what is stored then.
    ///
    /// Fails at once with [`StoreError::Locked`] when another process writes the chain, and after two minutes without
    /// progress with what stood in the way.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        mut known: impl FnMut(Goal),
    ) -> Result<stored::ChainState, IngestError> {
        let parts = &self.parts;
        let mut outage = Outage::none(parts.config.chain_id);
        let (mut stuck_since, mut stored_blocks) = (Instant::now(), 0);
        loop {
            let error = match self.once(stop, &mut known).await {
                Ok(state) => return Ok(state),
                Err(error) => error,
            };
            let now = parts.progress.now().blocks;
            if now > stored_blocks {
                (stuck_since, stored_blocks) = (Instant::now(), now);
                outage.ended();
            }
            let locked = matches!(&error, IngestError::Store(StoreError::Locked(_)));
            let given_up = stop.is_cancelled() || stuck_since.elapsed() >= GIVE_UP;
            if error.is_final() || locked || given_up {
                return Err(error);
            }
            let wait = outage.failed(&error);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn once(
        &self,
        stop: &CancellationToken,
        known: &mut impl FnMut(Goal),
    ) -> Result<stored::ChainState, IngestError> {
        let parts = &self.parts;
        let chain_id = parts.config.chain_id;
        let mut session = Session::open_anywhere(parts, stop).await?;
        let filled = self.fill(&mut session, known).await;
        let stands = match filled {
            // Not on the writer's connection: building indexes may have been broken off on it.
            Ok(()) => {
                parts
                    .within(PATIENCE, async {
                        let mut connection = parts.store.pool().acquire().await?;
                        stored::state(&mut connection, chain_id).await
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        session.release().await?;
        stands?.ok_or_else(|| {
            IngestError::Store(StoreError::Conflict(format!(
                "chain {chain_id} vanished from the database"
            )))
        })
    }

    async fn fill(
        &self,
        session: &mut Session<'_>,
        known: &mut impl FnMut(Goal),
    ) -> Result<(), IngestError> {
        let parts = &self.parts;
        let head = parts.node.tagged(Tag::Latest).await;
        let head = head.map_err(|error| parts.node_failed(error))?;
        let node_head = head.map_or(0, |head| head.number);
        let to = self.to.unwrap_or(node_head).min(node_head);
        let below = session
            .head
            .map_or(0, |_| session.start.saturating_sub(self.from));
        let next = session.head.map_or(session.start, |head| head.number + 1);
        let above = (to + 1).saturating_sub(next);
        known(Goal {
            from: session.start.min(self.from),
            to: session.head.map_or(to, |head| head.number.max(to)),
            blocks: below + above,
        });
        session.begin_load(below + above).await?;
        if below > 0 {
            session.load_down(self.from).await?;
        }
        // A reorg that is met is followed, and the walk begins anew from there.
        while !session.stop.is_cancelled() {
            let from = session.head.map_or(session.start, |head| head.number + 1);
            if from > to {
                break;
            }
            session.load_up(from, to, node_head).await?;
        }
        session.end_load().await?;
        if session.stop.is_cancelled() {
            return Ok(());
        }
        session.decode_contracts().await
    }
}

impl Session<'_> {
    /// Decodes what configured contracts said in blocks that were stored without looking for it.
    async fn decode_contracts(&mut self) -> Result<(), IngestError> {
        let parts = self.parts;
        let state = stored::state(self.writer.connection(), parts.config.chain_id);
        let Some(state) = parts.within(PATIENCE, state).await? else {
            return Ok(());
        };
        // The stored chain may begin lower than when the session was opened.
        self.contracts = parts.contracts(&mut self.writer, &state).await?;
        while !self.stop.is_cancelled() {
            let step = self.contracts.step(&mut self.writer);
            if !parts.within(COMMIT_PATIENCE, step).await? {
                break;
            }
        }
        Ok(())
    }

    /// Stores the blocks from below the first stored one down to `to`, which is below it.
    async fn load_down(&mut self, to: u64) -> Result<(), IngestError> {
        let parts = self.parts;
        let chain_id = parts.config.chain_id;
        let root = stored::root(self.writer.connection(), chain_id);
        let expected = parts.within(PATIENCE, root).await?;
        let mut load = Load::start(parts, to..=self.start - 1, Direction::Down, expected);
        let stopped = self.stop.clone();
        loop {
            let ready = tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(()),
                ready = load.next() => ready,
            };
            match ready {
                None => return Ok(()),
                Some(Ok(ready)) => {
                    self.commit(Step {
                        ancestor: None,
                        blocks: &ready.blocks,
                        encoded: Some(&ready.batch),
                        below: true,
                        announce_from: u64::MAX,
                    })
                    .await?;
                    ready.free();
                }
                Some(Err(Broken::Node(error))) => return Err(parts.node_failed(error)),
                Some(Err(Broken::Store(error))) => return Err(error.into()),
                Some(Err(Broken::Unlinked(block))) => {
                    let root = stored::root(self.writer.connection(), chain_id);
                    let expected = parts.within(PATIENCE, root).await?.unwrap_or_default();
                    return Err(IngestError::Unlinked {
                        chain_id,
                        block,
                        expected,
                    });
                }
            }
        }
    }
}
