//! The receipts of blocks, by whichever method a node supports: lists by block hash or number, or one by one.
//!
//! Promises one receipt per transaction, in the order of the transactions, even if the list of the node is unordered or
//! has gaps or duplicates; their block hash links them to the block.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::{
    Node, NodeError,
    receipt_methods::{Key, RETRY_LIST_AFTER},
    wire::{RawHeader, RawReceipt},
};
use chaincast_protocol::{B256, BlockRef};

pub(super) const BLOCK_RECEIPTS: &str = "eth_getBlockReceipts";
const ONE_RECEIPT: &str = "eth_getTransactionReceipt";

/// Most requests in flight for the receipts of one block, if fetched one by one.
const MAX_IN_FLIGHT: usize = 16;
/// Most receipts per batch, if fetched one by one.
const BATCH_RECEIPTS: usize = 100;

/// Whether the list of one block is unavailable, which says nothing about other blocks: it is too large for the node or
/// for `response_bytes`, or the node has an outage. Its receipts are fetched one by one, and nothing is recorded.
pub(super) fn is_list_unavailable(error: &NodeError) -> bool {
    matches!(error, NodeError::TooLarge { .. }) || error.is_outage()
}

/// Whether all receipts are of another block.
fn is_of_other_block(block: B256, received: &[RawReceipt]) -> bool {
    !received.is_empty() && received.iter().all(|receipt| receipt.block_hash != block)
}

/// The receipts of a block in the order of its transactions, `None` where the list of the node has none.
pub(super) fn in_transaction_order(
    block: &RawHeader,
    received: Vec<RawReceipt>,
) -> Vec<Option<RawReceipt>> {
    let txs = &block.transactions;
    let in_order = received.len() == txs.len()
        && received
            .iter()
            .zip(txs.iter())
            .all(|(receipt, tx)| receipt.transaction_hash == tx.hash);
    // All of another block: the caller distinguishes a changed branch from wrong data.
    let of_other_block = received.len() == txs.len() && is_of_other_block(block.hash, &received);
    if in_order || of_other_block {
        return received.into_iter().map(Some).collect();
    }
    let mut by_hash: HashMap<B256, RawReceipt> = HashMap::with_capacity(txs.len());
    for receipt in received {
        if receipt.block_hash == block.hash {
            by_hash.entry(receipt.transaction_hash).or_insert(receipt);
        }
    }
    txs.iter().map(|tx| by_hash.remove(&tx.hash)).collect()
}

impl Node {
    /// The receipts of a block as a list; `None` if the node returns none.
    pub(super) async fn block_receipts(
        &self,
        block: BlockRef,
    ) -> Result<Option<Vec<RawReceipt>>, NodeError> {
        let Some(key) = self.receipts.key(Key::Hash, Instant::now()) else {
            return Ok(None);
        };
        let refused = match self.list_by(key, block).await {
            Err(error) if error.is_refusal() => error,
            // It answered, so only this key may be affected.
            Err(NodeError::Refused { .. }) => {
                return self.list_by_other_key(key.other(), block).await;
            }
            Err(error) if is_list_unavailable(&error) => return Ok(None),
            // By number it may be the list of another branch, which is transient and not wrong data.
            Ok(received) if key == Key::Number && is_of_other_block(block.hash, &received) => {
                return Err(self.missing_receipts(block));
            }
            received => return received.map(Some),
        };
        match self.list_by(key.other(), block).await {
            Ok(received)
                if received
                    .iter()
                    .all(|receipt| receipt.block_hash == block.hash) =>
            {
                // A node may report a missing block with an error.
                if !refused.is_block_missing() {
                    self.record_only_key(key.other());
                }
                Ok(Some(received))
            }
            Ok(_) | Err(NodeError::Missing { .. }) => Err(self.missing_receipts(block)),
            Err(error) if error.is_refusal() => {
                if refused.is_block_missing() || error.is_block_missing() {
                    return Err(self.missing_receipts(block));
                }
                self.record_no_block_receipts(&refused);
                Ok(None)
            }
            Err(error) if is_list_unavailable(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The list by this key after the other one failed; `None` if this one fails too.
    async fn list_by_other_key(
        &self,
        key: Key,
        block: BlockRef,
    ) -> Result<Option<Vec<RawReceipt>>, NodeError> {
        match self.list_by(key, block).await {
            Ok(received)
                if !received.is_empty()
                    && received
                        .iter()
                        .all(|receipt| receipt.block_hash == block.hash) =>
            {
                self.record_only_key(key);
                Ok(Some(received))
            }
            Err(error) if error.retry_delay().is_some() => Err(error),
            _ => Ok(None),
        }
    }

    async fn list_by(&self, key: Key, block: BlockRef) -> Result<Vec<RawReceipt>, NodeError> {
        let received: Option<Vec<RawReceipt>> = match key {
            Key::Hash => self.request(BLOCK_RECEIPTS, (block.hash,)).await?,
            Key::Number => {
                let number = format!("{:#x}", block.number);
                self.request(BLOCK_RECEIPTS, (number,)).await?
            }
        };
        // Missing receipts, null or not in the list, are requested by transaction.
        Ok(received.unwrap_or_default())
    }

    pub(super) fn missing_receipts(&self, block: BlockRef) -> NodeError {
        self.counted(NodeError::Missing {
            url: self.redacted_url(),
            what: format!("the receipts of block {} {}", block.number, block.hash),
        })
    }

    /// Records that only one key works.
    pub(super) fn record_only_key(&self, key: Key) {
        if self.receipts.use_only(key) {
            tracing::info!(
                node = self.redacted_url(),
                by = ?key,
                "eth_getBlockReceipts works only by block hash or only by number"
            );
        }
    }

    /// Records for a while that receipts must be requested by transaction.
    pub(super) fn record_no_block_receipts(&self, refused: &NodeError) {
        if self.receipts.use_single(Instant::now()) {
            tracing::info!(
                error = %refused,
                again_after_ms = RETRY_LIST_AFTER.as_millis() as u64,
                "the node does not support eth_getBlockReceipts; fetching receipts one by one"
            );
        }
    }

    /// The receipts of a block, one per transaction: missing ones are requested by transaction.
    pub(super) async fn complete_receipts(
        &self,
        block: &RawHeader,
        received: Option<Vec<RawReceipt>>,
    ) -> Result<Vec<RawReceipt>, NodeError> {
        let ordered = in_transaction_order(block, received.unwrap_or_default());
        let mut receipts = ordered.into_iter();
        let missing: Vec<B256> = receipts
            .as_slice()
            .iter()
            .zip(block.transactions.iter())
            .filter(|(receipt, _)| receipt.is_none())
            .map(|(_, tx)| tx.hash)
            .collect();
        let mut fetched = stream::iter(missing)
            .map(|hash| async move {
                let receipt: Option<RawReceipt> = self.request(ONE_RECEIPT, (hash,)).await?;
                let receipt =
                    self.or_missing(receipt, || format!("the receipt of transaction {hash}"))?;
                // In another block now: the branch changed.
                match receipt.block_hash == block.hash {
                    true => Ok(receipt),
                    false => Err(self.missing_receipts(block.block_ref())),
                }
            })
            .buffered(MAX_IN_FLIGHT);
        let mut complete = Vec::with_capacity(block.transactions.len());
        for receipt in receipts.by_ref() {
            match receipt {
                Some(receipt) => complete.push(receipt),
                None => match fetched.try_next().await? {
                    Some(receipt) => complete.push(receipt),
                    None => return Err(self.missing_receipts(block.block_ref())),
                },
            }
        }
        Ok(complete)
    }

    /// The receipts of some transactions, in batches.
    pub(super) async fn fetch_receipts(
        &self,
        hashes: &[B256],
        batched: bool,
    ) -> Result<Vec<RawReceipt>, NodeError> {
        let mut receipts = Vec::with_capacity(hashes.len());
        let mut at_once = if batched { BATCH_RECEIPTS } else { 1 };
        let mut rest = hashes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(at_once.min(rest.len()));
            let params: Vec<String> = now.iter().map(|hash| format!("[\"{hash}\"]")).collect();
            let result = match self.post(ONE_RECEIPT, &params).await {
                Ok(body) => self.answers::<RawReceipt>(ONE_RECEIPT, params.len(), &body),
                Err(error) => Err(error),
            };
            let received = match result {
                // Retry with fewer, down to one.
                Err(NodeError::TooLarge { .. }) if now.len() > 1 => {
                    at_once = now.len() / 2;
                    continue;
                }
                result => result?,
            };
            for (receipt, hash) in received.into_iter().zip(now) {
                receipts.push(
                    self.or_missing(receipt, || format!("the receipt of transaction {hash}"))?,
                );
            }
            rest = later;
        }
        Ok(receipts)
    }
}
