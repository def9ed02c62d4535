//! Whole blocks: header, transactions and receipts, all of one hash.

use super::{
    ChecksConfig, Node, NodeError, RawBlock,
    decode::decode,
    genesis,
    verify::{settle_outcomes, verify},
    wire::RawHeader,
};
use crate::model::{BlockRef, IndexMode, IndexedBlock};

/// Which block to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the node holds canonical at this height.
    Number(u64),
    /// This block and no other.
    Block(BlockRef),
}

impl Node {
    /// Fetches a block, checks it and decodes it.
    pub async fn block(
        &self,
        wanted: Wanted,
        checks: &ChecksConfig,
    ) -> Result<IndexedBlock, NodeError> {
        if self.index != IndexMode::Blocks {
            return self.log_block(wanted, checks).await;
        }
        let block = self.raw_block(wanted).await?;
        verify(&block, checks).map_err(|error| {
            self.counted(NodeError::Check {
                url: self.shown_url(),
                error,
            })
        })?;
        self.tell_odd_genesis(&block);
        decode(block, checks).map_err(|reason| self.bad_answer("eth_getBlockByNumber", reason))
    }

    /// Fetches a block as the node has it, with the receipts of that very hash.
    pub async fn raw_block(&self, wanted: Wanted) -> Result<RawBlock, NodeError> {
        let (method, block, receipts) = match wanted {
            // The receipts are asked for by hash, so that both answers are of one branch.
            Wanted::Number(number) => {
                let method = "eth_getBlockByNumber";
                let block: Option<RawHeader> =
                    self.request(method, (format!("{number:#x}"), true)).await?;
                let block = self.present(block, || format!("block {number}"))?;
                let at = block.block_ref();
                (method, block, self.block_receipts(at).await?)
            }
            Wanted::Block(at) => {
                let hash = at.hash;
                let method = "eth_getBlockByHash";
                let block = async {
                    let block: Option<RawHeader> = self.request(method, (hash, true)).await?;
                    self.present(block, || format!("block {hash}"))
                };
                let (block, receipts) = tokio::try_join!(block, self.block_receipts(at))?;
                (method, block, receipts)
            }
        };
        let asked = match wanted {
            Wanted::Number(number) => block.number == number,
            Wanted::Block(wanted) => block.hash == wanted.hash,
        };
        if !asked {
            let reason = format!("block {} {}, not {wanted:?}", block.number, block.hash);
            return Err(self.bad_answer(method, reason));
        }
        let receipts = self.completed(&block, receipts).await?;
        let mut block = RawBlock::new(block, receipts);
        self.matched(&block)?;
        settle_outcomes(&mut block);
        Ok(block)
    }

    /// Says once that block 0 is not held against its roots.
    pub(super) fn tell_odd_genesis(&self, block: &RawBlock) {
        if let Some(root) = genesis::odd_root(block) {
            tracing::warn!(
                chain_id = self.chain_id,
                node = self.shown_url(),
                "block 0 has a {root} that is not the one of an empty list; it is indexed all the same, as it has no \
                 transactions and its hash identifies the chain"
            );
        }
    }

    /// Receipts must be those of the block's transactions, in order and of its hash; else the node lags or answered
    /// from two branches.
    pub(super) fn matched(&self, block: &RawBlock) -> Result<(), NodeError> {
        let method = "eth_getBlockReceipts";
        let at = block.block_ref();
        if block.receipts.len() < block.transactions.len() {
            return Err(self.counted(NodeError::Missing {
                url: self.shown_url(),
                what: format!(
                    "all receipts of block {} {}: {} of {}",
                    at.number,
                    at.hash,
                    block.receipts.len(),
                    block.transactions.len()
                ),
            }));
        }
        if block.receipts.len() > block.transactions.len() {
            let reason = format!("more receipts than block {} has transactions", at.number);
            return Err(self.bad_answer(method, reason));
        }
        for (index, (sent, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
            if receipt.block_hash != at.hash || receipt.transaction_hash != sent.hash {
                let reason = format!(
                    "receipt {index} is of transaction {} in block {}, not of {} in {}",
                    receipt.transaction_hash, receipt.block_hash, sent.hash, at.hash
                );
                return Err(self.bad_answer(method, reason));
            }
        }
        Ok(())
    }
}
