//! From the indexed head to the node's: fetched concurrently, stored in order.

use futures_util::{StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{IngestError, Parts, commit::Step, session::Session};
use crate::{
    model::{BlockRef, IndexedBlock},
    source::chain::{NodeError, Wanted, Work},
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

impl Session<'_> {
    /// Indexes every block up to `node_head`, which is above the indexed head; a reorg that is met on the way is
    /// followed, and ends the walk.
    pub(super) async fn forward(&mut self, node_head: BlockRef) -> Result<(), IngestError> {
        let parts = self.parts;
        let config = &parts.config;
        let from = self.head.map_or(config.start_block, |head| head.number + 1);
        let announce_from = node_head
            .number
            .saturating_add(1)
            .saturating_sub(config.announce_blocks);
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
            .buffered(config.concurrency.max(1));

        let mut batch = Vec::<IndexedBlock>::new();
        let stopped = self.stop.clone();
        loop {
            let block = tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(()),
                block = fetched.next() => match block {
                    Some(block) => block,
                    None => return Ok(()),
                },
            };
            let below = batch.last().map(IndexedBlock::block_ref).or(self.head);
            let (failed, tip) = match block {
                Ok(block) if below.is_some_and(|below| below.hash != block.header.parent_hash) => {
                    (None, Some(block.block_ref()))
                }
                Ok(block) => {
                    batch.push(block);
                    (None, None)
                }
                Err(error) => (Some(parts.node_failed(error)), None),
            };
            let last = batch
                .last()
                .is_some_and(|block| block.header.number == node_head.number);
            let full = batch.len() >= config.batch_blocks.max(1);
            if !batch.is_empty() && (full || last || failed.is_some() || tip.is_some()) {
                self.commit(Step {
                    ancestor: None,
                    blocks: &batch,
                    announce_from,
                })
                .await?;
                batch.clear();
                parts
                    .metrics
                    .stands(self.head.map(|head| head.number), Some(node_head.number));
            }
            match (failed, tip) {
                (Some(error), _) => return Err(error),
                (None, Some(tip)) => {
                    drop(fetched);
                    return self.reorg(tip).await;
                }
                (None, None) => {}
            }
        }
    }
}
