//! Whole blocks: header, transactions and receipts, all of one hash.

use std::sync::atomic::Ordering;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    ChecksConfig, Node, NodeError, RawBlock,
    decode::decode,
    verify::verify,
    wire::{RawHeader, RawReceipt},
};
use crate::model::{B256, BlockRef, IndexMode, IndexedBlock};

/// Requests in flight for the receipts of one block, when the node gives them only one by one.
const SINGLE_RECEIPTS_AT_ONCE: usize = 16;

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
                let hash = block.hash;
                (method, block, self.block_receipts(hash).await?)
            }
            Wanted::Block(BlockRef { hash, .. }) => {
                let method = "eth_getBlockByHash";
                let block = async {
                    let block: Option<RawHeader> = self.request(method, (hash, true)).await?;
                    self.present(block, || format!("block {hash}"))
                };
                let (block, receipts) = tokio::try_join!(block, self.block_receipts(hash))?;
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
        let receipts = match receipts {
            Some(receipts) => receipts,
            None => self.single_receipts(&block).await?,
        };
        let block = RawBlock::new(block, receipts);
        self.matched(&block)?;
        Ok(block)
    }

    /// The receipts of a block; `None` when the node has no method for that.
    async fn block_receipts(&self, hash: B256) -> Result<Option<Vec<RawReceipt>>, NodeError> {
        if self.single_receipts.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let answer: Result<Option<Vec<RawReceipt>>, _> =
            self.request("eth_getBlockReceipts", (hash,)).await;
        match answer {
            Ok(receipts) => self
                .present(receipts, || format!("the receipts of block {hash}"))
                .map(Some),
            Err(error) if error.is_unknown_method() => {
                self.lacks_block_receipts();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers that receipts are to be asked for by transaction.
    pub(super) fn lacks_block_receipts(&self) {
        if !self.single_receipts.swap(true, Ordering::Relaxed) {
            tracing::info!(
                node = self.shown_url(),
                "the node has no eth_getBlockReceipts: receipts are fetched one by one"
            );
        }
    }

    async fn single_receipts(&self, block: &RawHeader) -> Result<Vec<RawReceipt>, NodeError> {
        let hashes: Vec<B256> = block.transactions.iter().map(|sent| sent.hash).collect();
        stream::iter(hashes)
            .map(|hash| async move {
                let receipt: Option<RawReceipt> =
                    self.request("eth_getTransactionReceipt", (hash,)).await?;
                self.present(receipt, || format!("the receipt of transaction {hash}"))
            })
            .buffered(SINGLE_RECEIPTS_AT_ONCE)
            .try_collect()
            .await
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
