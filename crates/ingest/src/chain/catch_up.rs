//! Catches up from the indexed head to the node's: blocks are fetched concurrently and stored in order.
//!
//! A few new blocks are fetched by hash and committed one by one; larger gaps go through [`Load`].

use futures_util::{StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{
    IngestError, Parts,
    bulk::LoadRange,
    commit::Step,
    load::{Load, LoadError},
    timeouts::COMMIT_TIMEOUT,
    writer::ChainWriter,
};
use chaincast_evm::chain::{BlockTarget, Direction, NodeError, Work};
use chaincast_model::IndexedBlock;
use chaincast_protocol::BlockRef;
use chaincast_store::chain as stored;

impl Parts {
    /// Fetches in a separate task, so that checking and decoding several blocks uses several threads.
    pub(super) async fn fetch(&self, wanted: BlockTarget) -> Result<IndexedBlock, NodeError> {
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
                // Only a runtime shutdown cancels the task, and then the result is not needed.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// The largest gap, in blocks, that is closed block by block, by hash where it is known: faster than a load.
const MAX_ONE_BY_ONE: u64 = 3;

impl ChainWriter<'_> {
    /// Indexes every block up to `node_head`, which must be above the indexed head. A reorg on the way is followed, and
    /// ends the catch-up.
    pub(super) async fn catch_up(&mut self, node_head: BlockRef) -> Result<(), IngestError> {
        let from = self.head.map_or(self.start, |head| head.number + 1);
        if node_head.number - from < MAX_ONE_BY_ONE {
            self.index_one_by_one(from, node_head).await
        } else {
            let last = node_head.number;
            self.begin_load(&[LoadRange { first: from, last }]).await?;
            self.load_above(from, node_head.number, node_head.number)
                .await
        }
    }

    /// The first announced block when the node's head is at this height.
    fn announce_from(&self, node_head: u64) -> u64 {
        node_head
            .saturating_add(1)
            .saturating_sub(self.parts.config.announce_blocks)
    }

    /// Indexes a few blocks, each in its own commit.
    async fn index_one_by_one(
        &mut self,
        from: u64,
        node_head: BlockRef,
    ) -> Result<(), IngestError> {
        let parts = self.parts;
        let announce_from = self.announce_from(node_head.number);
        let wanted = move |number| {
            if number == node_head.number && number == from {
                // Live: its hash is known, so block and receipts are requested concurrently.
                BlockTarget::Block(node_head)
            } else {
                BlockTarget::Number(number)
            }
        };
        let mut fetched = stream::iter(from..=node_head.number)
            .map(|number| parts.fetch(wanted(number)))
            .buffered(MAX_ONE_BY_ONE as usize);
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
                .record_position(self.head.map(|head| head.number), Some(node_head.number));
        }
    }

    /// Loads many blocks; `from` must be the block above the indexed head, or the first block. A reorg on the way is
    /// followed, and ends the load.
    pub(super) async fn load_above(
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

    /// Stores loaded blocks until `stop`: above the indexed head if `node_head` is given, else below the first block.
    /// Returns the block that does not link to the stored chain, if the load ended there.
    pub(super) async fn store(
        &mut self,
        load: Load,
        node_head: Option<u64>,
    ) -> Result<Option<BlockRef>, IngestError> {
        let unlinked = self.store_all(load, node_head).await?;
        let chain_id = self.parts.config.chain_id;
        let settled = stored::wait_until_durable(self.writer.connection(), chain_id);
        self.parts.within(COMMIT_TIMEOUT, settled).await?;
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
                        .record_position(self.head.map(|head| head.number), node_head);
                }
                Some(Err(LoadError::Node(error))) => return Err(parts.node_failed(error)),
                Some(Err(LoadError::Store(error))) => return Err(error.into()),
                Some(Err(LoadError::Unlinked(block))) => return Ok(Some(block)),
            }
        }
    }
}
