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
    bulk::Way,
    commit::COMMIT_PATIENCE,
    load::Load,
    session::{PATIENCE, Session},
};
use crate::{
    ingest::ChainContext,
    model::BlockRef,
    source::chain::{ChainConfig, Direction, Height, NodeError, Providers, Work},
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

/// What a backfill left behind.
#[derive(Debug)]
pub struct Filled {
    pub state: stored::ChainState,
    /// How high each provider that serves history was when the work ended.
    pub heights: Vec<Height>,
}

/// Fills a range of one chain.
pub struct Backfill {
    parts: Parts,
    from: u64,
    to: Option<u64>,
}

impl Backfill {
    /// Prepares to fill from block `from` to block `to`, or to the highest block that a provider has. Nothing is
    /// asked or written yet.
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

    /// Fills the range as far as any provider has it, or as much as `stop` allows; a commit that began is finished.
    /// Calls `known` with the goal once it is known. Whether the whole range is stored then is for the caller to see
    /// in the state that is returned.
    ///
    /// Fails at once with [`StoreError::Locked`] when another process writes the chain as it begins, and after two minutes
    /// without progress with what stood in the way.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        mut known: impl FnMut(Goal),
    ) -> Result<Filled, IngestError> {
        let parts = &self.parts;
        let mut outage = Outage::none(parts.config.chain_id);
        let (mut stuck_since, mut stored_blocks) = (Instant::now(), 0);
        let mut has_written = false;
        loop {
            let error = match self.once(stop, &mut has_written, &mut known).await {
                Ok(filled) => return Ok(filled),
                Err(error) => error,
            };
            let now = parts.progress.now().blocks;
            if now > stored_blocks {
                (stuck_since, stored_blocks) = (Instant::now(), now);
                outage.ended();
            }
            // One that took over from this run may end, as one that was there before would not.
            let locked =
                matches!(&error, IngestError::Store(StoreError::Locked(_))) && !has_written;
            let given_up = stop.is_cancelled() || stuck_since.elapsed() >= GIVE_UP;
            if error.is_final() || locked || given_up {
                return Err(error);
            }
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

    async fn once(
        &self,
        stop: &CancellationToken,
        has_written: &mut bool,
        known: &mut impl FnMut(Goal),
    ) -> Result<Filled, IngestError> {
        let parts = &self.parts;
        let chain_id = parts.config.chain_id;
        let mut session = Session::open_anywhere(parts, stop).await?;
        *has_written = true;
        let lost = session.writer.lease().lost();
        let filled = tokio::select! {
            biased;
            filled = self.fill(&mut session, known) => filled,
            lost = lost => Err(lost.into()),
        };
        let filled = match filled {
            // Not on the writer's connection: building indexes may have been broken off on it.
            Ok(heights) => {
                let state = parts.within(PATIENCE, async {
                    let mut connection = parts.store.pool().acquire().await?;
                    stored::state(&mut connection, chain_id).await
                });
                state.await.map(|state| (state, heights))
            }
            Err(error) => Err(error),
        };
        session.release().await?;
        let (state, heights) = filled?;
        let state = state.ok_or_else(|| {
            IngestError::Store(StoreError::Conflict(format!(
                "chain {chain_id} vanished from the database"
            )))
        })?;
        Ok(Filled { state, heights })
    }

    /// Returns how high the providers are.
    async fn fill(
        &self,
        session: &mut Session<'_>,
        known: &mut impl FnMut(Goal),
    ) -> Result<Vec<Height>, IngestError> {
        let parts = &self.parts;
        let heights = parts.node.heights().await;
        let heights = heights.map_err(|error| parts.node_failed(error))?;
        let heads = heights
            .iter()
            .filter_map(|height| height.head.as_ref().ok());
        let node_head = heads.copied().max().unwrap_or(0);
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
        let (mut ways, start, from) = (Vec::new(), session.start, self.from);
        if below > 0 {
            let first = start - 1;
            ways.push(Way { first, last: from });
        }
        if above > 0 {
            let first = next;
            ways.push(Way { first, last: to });
        }
        session.begin_load(&ways).await?;
        if below > 0 {
            session.load_down(self.from).await?;
        }
        // A reorg that is met is followed, and the walk begins anew from there.
        while !session.stop.is_cancelled() {
            let from = session.head.map_or(session.start, |head| head.number + 1);
            if from <= to {
                session.load_up(from, to, node_head).await?;
            } else if let Some(tip) = session.left_for().await? {
                session.reorg(tip).await?;
            } else {
                break;
            }
        }
        session.end_load().await?;
        if !session.stop.is_cancelled() {
            session.decode_contracts().await?;
        }
        Ok(heights)
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
        let load = Load::start(parts, to..=self.start - 1, Direction::Down, expected);
        let Some(block) = self.store(load, None).await? else {
            return Ok(());
        };
        // What is stored may be of a branch that was left: then that is what is wrong.
        if let Some(tip) = self.left_for().await? {
            self.reorg(tip).await?;
        }
        let root = stored::root(self.writer.connection(), chain_id);
        let expected = parts.within(PATIENCE, root).await?.unwrap_or_default();
        Err(IngestError::Unlinked {
            chain_id,
            block,
            expected,
        })
    }

    /// The node's block at the height of the stored head, when it is another: a reorg that came while what is below
    /// was filled.
    async fn left_for(&self) -> Result<Option<BlockRef>, IngestError> {
        let Some(head) = self.head else {
            return Ok(None);
        };
        let asked = self
            .parts
            .node
            .attempt(Work::Live, |node| async move { node.at(head.number).await });
        let there = asked.await.map_err(|error| self.parts.node_failed(error))?;
        Ok(there.filter(|block| block.hash != head.hash))
    }
}
