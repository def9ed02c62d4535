//! Whole blocks: header, transactions and receipts, all of one hash.

use std::sync::atomic::Ordering;

use alloy::network::{AnyRpcBlock, AnyRpcHeader, AnyRpcTransaction, AnyTransactionReceipt};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{ChecksConfig, Node, NodeError, decode::decode, verify::verify};
use crate::model::{B256, BlockRef, IndexedBlock};

/// Requests in flight for the receipts of one block, when the node gives them only one by one.
const SINGLE_RECEIPTS_AT_ONCE: usize = 16;

/// A block as a node sent it; receipts belong to transactions one to one.
pub struct RawBlock {
    pub header: AnyRpcHeader,
    pub transactions: Vec<AnyRpcTransaction>,
    pub receipts: Vec<AnyTransactionReceipt>,
}

impl RawBlock {
    pub fn block_ref(&self) -> BlockRef {
        BlockRef {
            number: self.header.inner.number,
            hash: self.header.hash,
        }
    }
}

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
        let block = self.raw_block(wanted).await?;
        verify(&block, checks).map_err(|error| {
            self.counted(NodeError::Check {
                url: self.shown_url(),
                error,
            })
        })?;
        decode(&block).map_err(|reason| self.bad_answer("eth_getBlockByNumber", reason))
    }

    /// Fetches a block as the node has it, with the receipts of that very hash.
    pub async fn raw_block(&self, wanted: Wanted) -> Result<RawBlock, NodeError> {
        let (method, block, receipts) = match wanted {
            // The receipts are asked for by hash, so that both answers are of one branch.
            Wanted::Number(number) => {
                let method = "eth_getBlockByNumber";
                let block: Option<AnyRpcBlock> =
                    self.request(method, (format!("{number:#x}"), true)).await?;
                let block = self.present(block, || format!("block {number}"))?;
                let hash = block.0.inner.header.hash;
                (method, block, self.block_receipts(hash).await?)
            }
            Wanted::Block(BlockRef { hash, .. }) => {
                let method = "eth_getBlockByHash";
                let block = async {
                    let block: Option<AnyRpcBlock> = self.request(method, (hash, true)).await?;
                    self.present(block, || format!("block {hash}"))
                };
                let (block, receipts) = tokio::try_join!(block, self.block_receipts(hash))?;
                (method, block, receipts)
            }
        };
        let block = block.into_inner();
        let header = block.header;
        let asked = match wanted {
            Wanted::Number(number) => header.inner.number == number,
            Wanted::Block(block) => header.hash == block.hash,
        };
        if !asked {
            let reason = format!(
                "block {} {}, not {wanted:?}",
                header.inner.number, header.hash
            );
            return Err(self.bad_answer(method, reason));
        }
        let transactions = block.transactions.into_transactions_vec();
        let receipts = match receipts {
            Some(receipts) => receipts,
            None => self.single_receipts(&transactions).await?,
        };
        self.matched(RawBlock {
            header,
            transactions,
            receipts,
        })
    }

    /// The receipts of a block; `None` when the node has no method for that.
    async fn block_receipts(
        &self,
        hash: B256,
    ) -> Result<Option<Vec<AnyTransactionReceipt>>, NodeError> {
        if self.single_receipts.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let answer: Result<Option<Vec<AnyTransactionReceipt>>, _> =
            self.request("eth_getBlockReceipts", (hash,)).await;
        match answer {
            Ok(receipts) => self
                .present(receipts, || format!("the receipts of block {hash}"))
                .map(Some),
            Err(error) if error.is_unknown_method() => {
                if !self.single_receipts.swap(true, Ordering::Relaxed) {
                    tracing::info!(
                        node = self.shown_url(),
                        "the node has no eth_getBlockReceipts: receipts are fetched one by one"
                    );
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn single_receipts(
        &self,
        transactions: &[AnyRpcTransaction],
    ) -> Result<Vec<AnyTransactionReceipt>, NodeError> {
        let hashes: Vec<B256> = transactions.iter().map(hash_of).collect();
        stream::iter(hashes)
            .map(|hash| async move {
                let receipt: Option<AnyTransactionReceipt> =
                    self.request("eth_getTransactionReceipt", (hash,)).await?;
                self.present(receipt, || format!("the receipt of transaction {hash}"))
            })
            .buffered(SINGLE_RECEIPTS_AT_ONCE)
            .try_collect()
            .await
    }

    /// Receipts must be those of the block's transactions, in order and of its hash; else the node lags or answered
    /// from two branches.
    fn matched(&self, block: RawBlock) -> Result<RawBlock, NodeError> {
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
            if receipt.block_hash() != Some(at.hash) || receipt.transaction_hash() != hash_of(sent)
            {
                let reason = format!(
                    "receipt {index} is of transaction {} in block {:?}, not of {} in {}",
                    receipt.transaction_hash(),
                    receipt.block_hash(),
                    hash_of(sent),
                    at.hash
                );
                return Err(self.bad_answer(method, reason));
            }
        }
        Ok(block)
    }
}

fn hash_of(transaction: &AnyRpcTransaction) -> B256 {
    use alloy::network::TransactionResponse;
    transaction.tx_hash()
}
