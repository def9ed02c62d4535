//! Whole blocks: header, transactions and receipts of one hash.

use super::{
    ChecksConfig, Node, NodeError, RawBlock, genesis,
    verify::{Times, settle_outcomes},
    wire::RawHeader,
};
use chaincast_model::{IndexMode, IndexedBlock};
use chaincast_protocol::BlockRef;

/// Selects a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockTarget {
    /// The canonical block of the node at this height.
    Number(u64),
    /// This block only.
    Block(BlockRef),
}

impl Node {
    /// Fetches, checks and decodes a block.
    pub async fn block(
        &self,
        selector: BlockTarget,
        checks: &ChecksConfig,
    ) -> Result<IndexedBlock, NodeError> {
        if self.index != IndexMode::Blocks {
            return self.log_block(selector, checks).await;
        }
        let block = self.raw_block(selector).await?;
        self.check_and_decode(block, checks, &mut Times::default())
    }

    /// Fetches a block and the receipts of its hash, unchecked.
    pub(super) async fn raw_block(&self, selector: BlockTarget) -> Result<RawBlock, NodeError> {
        let (method, block, receipts) = match selector {
            // The receipts are requested by hash, so that both answers are of one branch.
            BlockTarget::Number(number) => {
                let method = "eth_getBlockByNumber";
                let block: Option<RawHeader> =
                    self.request(method, (format!("{number:#x}"), true)).await?;
                let block = self.or_missing(block, || format!("block {number}"))?;
                let at = block.block_ref();
                (method, block, self.block_receipts(at).await?)
            }
            BlockTarget::Block(at) => {
                let hash = at.hash;
                let method = "eth_getBlockByHash";
                let block = async {
                    let block: Option<RawHeader> = self.request(method, (hash, true)).await?;
                    self.or_missing(block, || format!("block {hash}"))
                };
                let (block, receipts) = tokio::try_join!(block, self.block_receipts(at))?;
                (method, block, receipts)
            }
        };
        let matches = match selector {
            BlockTarget::Number(number) => block.number == number,
            BlockTarget::Block(at) => block.hash == at.hash,
        };
        if !matches {
            let reason = format!(
                "block {} {} instead of {selector:?}",
                block.number, block.hash
            );
            return Err(self.bad_answer(method, reason));
        }
        let receipts = self.complete_receipts(&block, receipts).await?;
        let mut block = RawBlock::new(block, receipts);
        self.check_receipts_match(&block)?;
        settle_outcomes(&mut block);
        Ok(block)
    }

    /// Warns that the roots of block 0 are not checked.
    pub(super) fn log_odd_genesis(&self, block: &RawBlock) {
        if let Some(root) = genesis::nonstandard_root(block) {
            tracing::warn!(
                chain_id = self.chain_id,
                node = self.redacted_url(),
                "block 0 has a {root} that is not the empty root; indexing it anyway, because it has no transactions and \
                 its hash identifies the chain"
            );
        }
    }

    /// Checks that the receipts are those of the transactions, in order and of the block hash; otherwise the node lags
    /// or answered from two branches.
    pub(super) fn check_receipts_match(&self, block: &RawBlock) -> Result<(), NodeError> {
        let method = "eth_getBlockReceipts";
        let at = block.block_ref();
        if block.receipts.len() < block.transactions.len() {
            return Err(self.counted(NodeError::Missing {
                url: self.redacted_url(),
                what: format!(
                    "all receipts of block {} {} (it returned {} of {})",
                    at.number,
                    at.hash,
                    block.receipts.len(),
                    block.transactions.len()
                ),
            }));
        }
        if block.receipts.len() > block.transactions.len() {
            let reason = format!("block {} has more receipts than transactions", at.number);
            return Err(self.bad_answer(method, reason));
        }
        for (index, (tx, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
            if receipt.block_hash != at.hash || receipt.transaction_hash != tx.hash {
                let reason = format!(
                    "receipt {index} is of transaction {} in block {}, not of {} in {}",
                    receipt.transaction_hash, receipt.block_hash, tx.hash, at.hash
                );
                return Err(self.bad_answer(method, reason));
            }
        }
        Ok(())
    }
}
