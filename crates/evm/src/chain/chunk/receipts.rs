//! The receipts of the blocks of a chunk, from a node that has no lists of them by number, or incomplete ones.

use std::{sync::Arc, time::Instant};

use super::super::{
    Node, NodeError,
    prealloc::PreallocVec,
    receipt_methods::Key,
    receipts::{BLOCK_RECEIPTS, in_transaction_order, is_list_unavailable},
    wire::{RawHeader, RawReceipt},
    workers::Workers,
};
use chaincast_protocol::B256;

/// The receipts of one block; `None` for null.
pub(super) type ReceiptList = Result<Option<PreallocVec<RawReceipt>>, NodeError>;

impl Node {
    /// The receipts of some blocks from a node that does not return them by number: by hash, or empty lists, so that
    /// they are requested one by one.
    pub(super) async fn fallback_receipts(
        self: Arc<Self>,
        blocks: &[RawHeader],
        refused: Option<NodeError>,
        workers: &Workers,
    ) -> Result<Vec<ReceiptList>, NodeError> {
        let none = || {
            blocks
                .iter()
                .map(|_| Ok(Some(PreallocVec::default())))
                .collect()
        };
        // The list of this block is unavailable, not the method. If lists keep failing while the blocks succeed, the
        // method counts as unsupported.
        let method_fails = |error: &NodeError| error.is_outage() && self.receipts.list_failed();
        if refused
            .as_ref()
            .is_some_and(|error| is_list_unavailable(error) && !method_fails(error))
        {
            return Ok(none());
        }
        let failed = refused.as_ref().is_some_and(NodeError::is_outage);
        if self.receipts.key(Key::Hash, Instant::now().into()) != Some(Key::Hash) {
            return Ok(none());
        }
        let params: Vec<String> = blocks
            .iter()
            .map(|block| Key::Hash.of(block.block_ref()))
            .collect();
        let result = match self.post(BLOCK_RECEIPTS, &params).await {
            Ok(body) => {
                let (node, count) = (self.clone(), params.len());
                let read = move || {
                    node.each_answer::<PreallocVec<RawReceipt>>(BLOCK_RECEIPTS, count, &body)
                };
                workers.run(read).await.0
            }
            Err(error) => Err(error),
        };
        match optional_list(result.map(Some), blocks.len())? {
            (None, Some(error)) if is_list_unavailable(&error) => {
                if failed || method_fails(&error) {
                    self.record_no_block_receipts(&error);
                }
                Ok(none())
            }
            (Some(received), _) => {
                self.receipts.list_succeeded();
                if refused.is_some_and(|error| !error.is_block_missing()) {
                    self.record_only_key(Key::Hash);
                }
                Ok(received)
            }
            (None, by_hash) => {
                if let Some(error) = refused
                    .or(by_hash)
                    .filter(|error| !error.is_block_missing())
                {
                    self.record_no_block_receipts(&error);
                }
                Ok(none())
            }
        }
    }

    /// The receipts of each block, one per transaction: missing ones are requested by transaction. If one is
    /// unavailable, the blocks before it.
    pub(super) async fn complete_all_receipts(
        &self,
        blocks: &[RawHeader],
        received: Vec<Vec<RawReceipt>>,
    ) -> Result<Vec<Vec<RawReceipt>>, NodeError> {
        let mut all: Vec<Vec<Option<RawReceipt>>> = received
            .into_iter()
            .zip(blocks)
            .map(|(received, block)| in_transaction_order(block, received))
            .collect();
        let missing_hashes = |all: &[Vec<Option<RawReceipt>>]| -> Vec<B256> {
            let receipts = all
                .iter()
                .zip(blocks)
                .flat_map(|(receipts, block)| receipts.iter().zip(block.transactions.iter()));
            receipts
                .filter(|(receipt, _)| receipt.is_none())
                .map(|(_, tx)| tx.hash)
                .collect()
        };
        let batched = blocks.len() > 1 || self.gate.current().0 > 1;
        let fetched = match self.fetch_receipts(&missing_hashes(&all), batched).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let whole = all
                    .iter()
                    .take_while(|receipts| receipts.iter().all(Option::is_some))
                    .count();
                if whole == 0 {
                    return Err(error);
                }
                all.truncate(whole);
                Vec::new()
            }
        };
        let mut fetched = fetched.into_iter();
        let mut complete = Vec::with_capacity(all.len());
        for (receipts, block) in all.into_iter().zip(blocks) {
            let mut complete_block = Vec::with_capacity(receipts.len());
            for receipt in receipts {
                match receipt {
                    Some(receipt) => complete_block.push(receipt),
                    None => complete_block.extend(
                        // A receipt of another block was returned before the branch changed.
                        fetched.next().filter(|one| one.block_hash == block.hash),
                    ),
                }
            }
            if complete_block.len() < block.transactions.len() {
                if complete.is_empty() {
                    return Err(self.missing_receipts(block.block_ref()));
                }
                break;
            }
            complete.push(complete_block);
        }
        Ok(complete)
    }
}

/// The result of the optional method for this many blocks; a refusal, or the failure of the list of a single block, is
/// returned beside it instead of as an error.
pub(super) fn optional_list<T>(
    result: Result<Option<T>, NodeError>,
    blocks: usize,
) -> Result<(Option<T>, Option<NodeError>), NodeError> {
    match result {
        Ok(received) => Ok((received, None)),
        Err(error) if error.is_refusal() => Ok((None, Some(error))),
        Err(error) if blocks == 1 && is_list_unavailable(&error) => Ok((None, Some(error))),
        Err(error) => Err(error),
    }
}
