//! From the indexed head to the node's: fetched concurrently, stored in order.
//!
//! What just came is fetched by hash and committed block by block; what is more goes through [`Load`].

use futures_util::{StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{
    IngestError, Parts,
    bulk::Way,
    commit::{COMMIT_PATIENCE, Step},
    load::{Broken, Load},
    session::Session,
};
use crate::{
    model::{BlockRef, IndexedBlock},
    source::chain::{Direction, NodeError, Wanted, Work},
    store::chain as stored,
};

impl Parts {
    /// Fetches on a task of its own, so that checking and decoding several blocks uses several threads.
    pub(super) async fn fetch(&self, wanted: Wanted) -> Result<IndexedBlock, NodeError> {
        let (node, checks) = (self.node.clone(), self.config.checks);
        let task = tokio::spawn(async move {
            node.attempt(Work::Live, |node| async move {
                node.block(wanted, &checks).await
            })
            .await
        });
        match AbortOnDropHandle::new(task).await {
            Ok(fetched) => fetched,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a runtime that shuts down cancels it, and then nobody waits.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// A gap of at most so many blocks is closed one by one, by hash where it is known: that is quicker than a load.
const FEW: u64 = 3;

impl Session<'_> {
    /// Indexes every block up to `node_head`, which is above the indexed head; a reorg that is met on the way is
    /// followed, and ends the walk.
    pub(super) async fn forward(&mut self, node_head: BlockRef) -> Result<(), IngestError> {
        let from = self.head.map_or(self.start, |head| head.number + 1);
        if node_head.number - from < FEW {
            self.step_by_step(from, node_head).await
        } else {
            let last = node_head.number;
            self.begin_load(&[Way { first: from, last }]).await?;
            self.load_up(from, node_head.number, node_head.number).await
        }
    }

    /// Where announcing begins when the node's head is at this height.
    fn announce_from(&self, node_head: u64) -> u64 {
        node_head
            .saturating_add(1)
            .saturating_sub(self.parts.config.announce_blocks)
    }

    /// Few blocks, each committed as it comes.
    async fn step_by_step(&mut self, from: u64, node_head: BlockRef) -> Result<(), IngestError> {
        let parts = self.parts;
        let announce_from = self.announce_from(node_head.number);
        let wanted = move |number| {
            if number == node_head.number && number == from {
                // Live: its hash is known, so block and receipts are asked for at once.
                Wanted::Block(node_head)
            } else {
                Wanted::Number(number)
            }
        };
        let mut fetched = stream::iter(from..=node_head.number)
            .map(|number| parts.fetch(wanted(number)))
            .buffered(FEW as usize);
        let stopped = self.stop.clone();
        loop {
            let block = tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(()),
                block = fetched.next() => match block {
                    Some(block) => block.map_err(|error| parts.node_failed(error))?,
                    None => return Ok(()),
                },
            };
            if self
                .head
                .is_some_and(|head| head.hash != block.header.parent_hash)
            {
                drop(fetched);
                return self.reorg(block.block_ref()).await;
            }
            self.commit(Step {
                ancestor: None,
                blocks: &[block],
                encoded: None,
                below: false,
                announce_from,
            })
            .await?;
            parts
                .metrics
                .stands(self.head.map(|head| head.number), Some(node_head.number));
        }
    }

    /// Many blocks, `from` being the one above the indexed head, or the first. A reorg that is met is followed, and
    /// ends the walk.
    pub(super) async fn load_up(
        &mut self,
        from: u64,
        to: u64,
        node_head: u64,
    ) -> Result<(), IngestError> {
        let below = self.head.map(|head| head.hash);
        let load = Load::start(self.parts, from..=to, Direction::Up, below);
        match self.store(load, Some(node_head)).await? {
            Some(tip) => self.reorg(tip).await,
            None => Ok(()),
        }
    }

    /// Stores what is loaded, until `stop`: above the indexed head when the node's is given, else below the first
    /// block. Returns the block that does not link to what was stored before it, if the load ends there.
    pub(super) async fn store(
        &mut self,
        load: Load,
        node_head: Option<u64>,
    ) -> Result<Option<BlockRef>, IngestError> {
        let unlinked = self.store_all(load, node_head).await?;
        let chain_id = self.parts.config.chain_id;
        let settled = stored::settle(self.writer.connection(), chain_id);
        self.parts.within(COMMIT_PATIENCE, settled).await?;
        Ok(unlinked)
    }

    async fn store_all(
        &mut self,
        mut load: Load,
        node_head: Option<u64>,
    ) -> Result<Option<BlockRef>, IngestError> {
        let parts = self.parts;
        let announce_from = node_head.map_or(u64::MAX, |head| self.announce_from(head));
        let stopped = self.stop.clone();
        loop {
            let ready = tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(None),
                ready = load.next() => ready,
            };
            match ready {
                None => return Ok(None),
                Some(Ok(ready)) => {
                    self.commit(Step {
                        ancestor: None,
                        blocks: &ready.blocks,
                        encoded: Some(&ready.batch),
                        below: node_head.is_none(),
                        announce_from,
                    })
                    .await?;
                    ready.free();
                    parts
                        .metrics
                        .stands(self.head.map(|head| head.number), node_head);
                }
                Some(Err(Broken::Node(error))) => return Err(parts.node_failed(error)),
                Some(Err(Broken::Store(error))) => return Err(error.into()),
                Some(Err(Broken::Unlinked(block))) => return Ok(Some(block)),
            }
        }
    }
}
