//! Backfill on request: indexes a range below or above the stored blocks, then ends.
//!
//! Promises what the writer promises: at every commit the stored blocks are one linked chain, so a kill loses only
//! uncommitted work, and the same command continues from there. Below the stored blocks it works downwards: the last
//! block of each transaction is the parent of the first stored block.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    IngestError, Parts, Progress, Retry,
    bulk::LoadRange,
    load::Load,
    timeouts::{COMMIT_TIMEOUT, STORE_TIMEOUT},
    writer::ChainWriter,
};
use crate::ChainContext;
use chaincast_evm::chain::{ChainConfig, Direction, Height, NodeError, Providers, Work};
use chaincast_protocol::BlockRef;
use chaincast_store::{StoreError, chain as stored};

/// The longest time without progress before the backfill fails: an operator is present and can act.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

/// The state after a backfill.
#[derive(Debug)]
pub struct BackfillOutcome {
    /// The stored state of the chain: whether the whole range is stored follows from it.
    pub state: stored::ChainState,
    /// The head of each provider that serves history, at the end of the backfill.
    pub heights: Vec<Height>,
}

/// Backfills a range of one chain.
pub struct Backfill {
    parts: Parts,
    from: u64,
    to: Option<u64>,
}

impl Backfill {
    /// Prepares a backfill from block `from` to block `to`, or to the highest block of any provider. Does no I/O.
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

    /// Progress counters, for display.
    pub fn progress(&self) -> Arc<Progress> {
        self.parts.progress.clone()
    }

    /// Fills the range as far as any provider has it, or until `stop`; a commit in progress is finished. Calls `on_goal`
    /// with the number of blocks to store once it is known. The caller must check the returned state for whether the
    /// whole range is stored.
    ///
    /// Fails immediately with [`StoreError::Locked`] if another process writes the chain at the start, and after two
    /// minutes without progress with the last error.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        mut on_goal: impl FnMut(u64),
    ) -> Result<BackfillOutcome, IngestError> {
        let parts = &self.parts;
        let mut retry = Retry::new(parts.config.chain_id);
        let (mut stuck_since, mut stored_blocks) = (Instant::now(), 0);
        let mut has_written = false;
        loop {
            let error = match self.try_once(stop, &mut has_written, &mut on_goal).await {
                Ok(filled) => return Ok(filled),
                Err(error) => error,
            };
            let now = parts.progress.now().blocks;
            if now > stored_blocks {
                (stuck_since, stored_blocks) = (Instant::now(), now);
                retry.reset();
            }
            // A process that took over from this run may end; one that wrote before it would not.
            let locked =
                matches!(&error, IngestError::Store(StoreError::Locked(_))) && !has_written;
            let given_up = stop.is_cancelled() || stuck_since.elapsed() >= GIVE_UP_AFTER;
            if error.is_final() || locked || given_up {
                return Err(error);
            }
            let wait = retry.delay_after(&error);
            parts.pause(wait, &error, stop).await;
        }
    }

    async fn try_once(
        &self,
        stop: &CancellationToken,
        has_written: &mut bool,
        on_goal: &mut impl FnMut(u64),
    ) -> Result<BackfillOutcome, IngestError> {
        let parts = &self.parts;
        let chain_id = parts.config.chain_id;
        let mut chain_writer = ChainWriter::open_for_backfill(parts, stop).await?;
        *has_written = true;
        let lost = chain_writer.writer.lease().lost();
        let filled = tokio::select! {
            biased;
            filled = self.fill(&mut chain_writer, on_goal) => filled,
            lost = lost => Err(lost.into()),
        };
        let filled = match filled {
            // Not on the writer's connection: an index build may have been interrupted on it.
            Ok(heights) => {
                let state = parts.within(STORE_TIMEOUT, async {
                    let mut connection = parts.store.pool().acquire().await?;
                    stored::state(&mut connection, chain_id).await
                });
                state.await.map(|state| (state, heights))
            }
            Err(error) => Err(error),
        };
        chain_writer.release().await?;
        let (state, heights) = filled?;
        let state = state.ok_or_else(|| {
            IngestError::Store(StoreError::Conflict(format!(
                "chain {chain_id} vanished from the database"
            )))
        })?;
        Ok(BackfillOutcome { state, heights })
    }

    /// Returns the heads of the providers.
    async fn fill(
        &self,
        chain_writer: &mut ChainWriter<'_>,
        on_goal: &mut impl FnMut(u64),
    ) -> Result<Vec<Height>, IngestError> {
        let parts = &self.parts;
        let heights = parts.node.heights().await;
        let heights = heights.map_err(|error| parts.node_failed(error))?;
        let heads = heights
            .iter()
            .filter_map(|height| height.head.as_ref().ok());
        let node_head = heads.copied().max().unwrap_or(0);
        let to = self.to.unwrap_or(node_head).min(node_head);
        let below = chain_writer
            .head
            .map_or(0, |_| chain_writer.start.saturating_sub(self.from));
        let next = chain_writer
            .head
            .map_or(chain_writer.start, |head| head.number + 1);
        let above = (to + 1).saturating_sub(next);
        on_goal(below + above);
        let (mut ranges, start, from) = (Vec::new(), chain_writer.start, self.from);
        if below > 0 {
            let first = start - 1;
            ranges.push(LoadRange { first, last: from });
        }
        if above > 0 {
            let first = next;
            ranges.push(LoadRange { first, last: to });
        }
        chain_writer.begin_load(&ranges).await?;
        if below > 0 {
            chain_writer.load_below(self.from).await?;
            chain_writer.reload_averages().await?;
        }
        // After a reorg the load restarts above the common ancestor.
        while !chain_writer.stop.is_cancelled() {
            let from = chain_writer
                .head
                .map_or(chain_writer.start, |head| head.number + 1);
            if from <= to {
                chain_writer.load_above(from, to, node_head).await?;
            } else if let Some(tip) = chain_writer.replaced_head().await? {
                chain_writer.reorg(tip).await?;
            } else {
                break;
            }
        }
        chain_writer.end_load().await?;
        if !chain_writer.stop.is_cancelled() {
            chain_writer.decode_contracts().await?;
        }
        Ok(heights)
    }
}

impl ChainWriter<'_> {
    /// Decodes the logs of configured contracts in blocks that were stored before.
    async fn decode_contracts(&mut self) -> Result<(), IngestError> {
        let parts = self.parts;
        let state = stored::state(self.writer.connection(), parts.config.chain_id);
        let Some(state) = parts.within(STORE_TIMEOUT, state).await? else {
            return Ok(());
        };
        // The stored chain may begin lower than when the writer was opened.
        self.contracts = parts.contracts(&mut self.writer, &state).await?;
        while !self.stop.is_cancelled() {
            let step = self.contracts.step(&mut self.writer);
            if !parts.within(COMMIT_TIMEOUT, step).await? {
                break;
            }
        }
        Ok(())
    }

    /// Stores the blocks from below the first stored one down to `to`, which is below it.
    async fn load_below(&mut self, to: u64) -> Result<(), IngestError> {
        let parts = self.parts;
        let chain_id = parts.config.chain_id;
        let root = stored::root(self.writer.connection(), chain_id);
        let expected = parts.within(STORE_TIMEOUT, root).await?;
        let load = Load::start(parts, to..=self.start - 1, Direction::Down, expected);
        let Some(block) = self.store(load, None).await? else {
            return Ok(());
        };
        // The cause may be a reorg of the stored chain.
        if let Some(tip) = self.replaced_head().await? {
            self.reorg(tip).await?;
        }
        let root = stored::root(self.writer.connection(), chain_id);
        let expected = parts.within(STORE_TIMEOUT, root).await?.unwrap_or_default();
        Err(IngestError::Unlinked {
            chain_id,
            block,
            expected,
        })
    }

    /// The node's block at the height of the stored head, if it differs: a reorg during the load below.
    async fn replaced_head(&self) -> Result<Option<BlockRef>, IngestError> {
        let Some(head) = self.head else {
            return Ok(None);
        };
        let current = self
            .parts
            .node
            .attempt(Work::Live, |node| async move { node.at(head.number).await });
        let current = current
            .await
            .map_err(|error| self.parts.node_failed(error))?;
        Ok(current.filter(|block| block.hash != head.hash))
    }
}
