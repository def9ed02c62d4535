//! Reorgs: follows the node to another branch.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{IngestError, ReorgLimit, commit::Step, timeouts::STORE_TIMEOUT, writer::ChainWriter};
use chaincast_evm::chain::BlockTarget;
use chaincast_model::IndexedBlock;
use chaincast_protocol::BlockRef;
use chaincast_store::chain as stored;

impl ChainWriter<'_> {
    /// Moves the index to the branch that ends in `tip`: a block at a stored height with another hash, or the block above
    /// the head with another parent. The branch is walked by hash, so that it is consistent even if the node switches
    /// branches meanwhile, and is fetched completely before anything is unwound. `tip` may come from any provider: it
    /// counts only if it is canonical for the active one.
    pub(super) async fn reorg(&mut self, tip: BlockRef) -> Result<(), IngestError> {
        let stop = self.stop.clone();
        let branch = async {
            let confirmed = self.parts.node.confirm(tip).await;
            confirmed.map_err(|error| self.parts.node_failed(error))?;
            let (ancestor, branch) = self.common_ancestor(tip).await?;
            Ok::<_, IngestError>((ancestor, self.fetch_branch(branch).await?))
        };
        let (ancestor, blocks) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            found = branch => found?,
        };
        self.commit(Step {
            ancestor: Some(ancestor),
            blocks: &blocks,
            encoded: None,
            below: false,
            announce_from: 0,
        })
        .await
    }

    async fn fetch_branch(&self, branch: Vec<BlockRef>) -> Result<Vec<IndexedBlock>, IngestError> {
        let parts = self.parts;
        stream::iter(branch)
            .map(|block| parts.fetch(BlockTarget::Block(block)))
            .buffered(parts.config.concurrency.max(1))
            .try_collect()
            .await
            .map_err(|error| parts.node_failed(error))
    }

    /// The newest common block of both branches, and the new branch above it in order of height.
    async fn common_ancestor(
        &mut self,
        tip: BlockRef,
    ) -> Result<(BlockRef, Vec<BlockRef>), IngestError> {
        let parts = self.parts;
        let chain_id = parts.config.chain_id;
        let mut branch = vec![tip];
        let mut block = tip;
        loop {
            if let Some(limit) = self.reorg_limit(block.number) {
                return Err(self.too_deep(block.number, limit).await);
            }
            let link = parts
                .node
                .link(block.hash)
                .await
                .map_err(|error| parts.node_failed(error))?;
            let Some(number) = link.block.number.checked_sub(1) else {
                return Err(self.too_deep(0, ReorgLimit::Start(self.start)).await);
            };
            let parent = BlockRef {
                number,
                hash: link.parent_hash,
            };
            let known = if number + 1 == self.start {
                let root = stored::root(self.writer.connection(), chain_id);
                parts.within(STORE_TIMEOUT, root).await?
            } else {
                let stored = stored::ref_at(self.writer.connection(), chain_id, number);
                let stored = parts.within(STORE_TIMEOUT, stored).await?;
                stored.map(|block| block.hash)
            };
            if known == Some(parent.hash) {
                branch.reverse();
                return Ok((parent, branch));
            }
            branch.push(parent);
            block = parent;
        }
    }

    /// The limit that forbids dropping the stored block at this height, if any.
    fn reorg_limit(&self, number: u64) -> Option<ReorgLimit> {
        let config = &self.parts.config;
        let head = self.head?;
        if number > head.number {
            None
        } else if number < self.start || number == 0 {
            Some(ReorgLimit::Start(self.start))
        } else if let Some(finalized) = self.finalized.filter(|block| number <= block.number) {
            Some(ReorgLimit::Finalized(finalized.number))
        } else if head.number - number >= config.max_reorg_depth {
            Some(ReorgLimit::Depth(config.max_reorg_depth))
        } else {
            None
        }
    }

    /// The error for a branch that forks from the stored one below `below`. If even the genesis differs, returns that
    /// error instead.
    async fn too_deep(&self, below: u64, limit: ReorgLimit) -> IngestError {
        let Some(head) = self.head else {
            return IngestError::Store(chaincast_store::StoreError::Conflict(
                "a reorg was found although no block is indexed".to_owned(),
            ));
        };
        match self.check_chain().await {
            Ok(()) => IngestError::ReorgTooDeep {
                chain_id: self.parts.config.chain_id,
                head,
                below,
                limit,
            },
            Err(error) => error,
        }
    }
}
