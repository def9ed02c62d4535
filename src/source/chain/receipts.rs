//! The receipts of blocks, in whichever way a node gives them: by block hash, by block number, or one by one.
//!
//! Promises that the receipts handed out are one a transaction, in the order of the transactions, whatever order, gaps
//! or duplicates the node's list had; that they are of the block is checked by their block hash.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Node, NodeError,
    wire::{RawHeader, RawReceipt},
};
use crate::model::{B256, BlockRef};

pub(super) const BLOCK_RECEIPTS: &str = "eth_getBlockReceipts";
const ONE_RECEIPT: &str = "eth_getTransactionReceipt";

/// A node that refused `eth_getBlockReceipts` is asked for it again after this.
const ASKED_AGAIN: Duration = Duration::from_secs(600);
/// After the lists of so many single blocks in a row failed with trouble, the method counts as refused.
const FAILED_LISTS: u32 = 3;
/// Requests in flight for the receipts of one block, when the node gives them only one by one.
const AT_ONCE: usize = 16;
/// Receipts of one request, from a node that gives them only one by one.
const A_BATCH: usize = 100;

/// How a block is named in `eth_getBlockReceipts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Hash,
    Number,
}

impl Key {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Hash => Self::Number,
            Self::Number => Self::Hash,
        }
    }

    /// The parameter of the request.
    pub(super) fn of(self, block: BlockRef) -> String {
        match self {
            Self::Hash => format!("[\"{}\"]", block.hash),
            Self::Number => format!("[\"{:#x}\"]", block.number),
        }
    }
}

/// What is known of the ways in which a node gives receipts.
#[derive(Debug, Default)]
pub(super) struct Ways(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The one key that works, when the other was refused.
    only: Option<Key>,
    /// Until when they are asked for one by one.
    single_until: Option<Instant>,
    /// Lists of single blocks that failed in a row, although the node gave the blocks.
    failed: u32,
}

impl Ways {
    /// How to ask for the receipts of a block; `None` for one by one.
    pub(super) fn key(&self, preferred: Key, now: Instant) -> Option<Key> {
        let mut state = self.0.lock();
        if state.single_until.is_some_and(|until| now < until) {
            return None;
        }
        if state.single_until.take().is_some() {
            (state.only, state.failed) = (None, 0);
        }
        Some(state.only.unwrap_or(preferred))
    }

    /// Only this key works; returns whether that is news.
    pub(super) fn only(&self, key: Key) -> bool {
        self.0.lock().only.replace(key) != Some(key)
    }

    /// Neither key works; returns whether that is news.
    pub(super) fn single(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        let news = state.single_until.is_none_or(|until| until <= now);
        state.single_until = Some(now + ASKED_AGAIN);
        news
    }

    /// A list came.
    pub(super) fn worked(&self) {
        self.0.lock().failed = 0;
    }

    /// The list of a single block failed with trouble, although the node gave the block; returns whether so many did in a
    /// row that the method is what fails.
    pub(super) fn fails(&self) -> bool {
        let mut state = self.0.lock();
        state.failed = state.failed.saturating_add(1);
        state.failed >= FAILED_LISTS
    }

    /// Forgets what was learnt: it may be another node.
    pub(super) fn forget(&self) {
        *self.0.lock() = State::default();
    }
}

/// Whether the list of one block does not come, which says nothing of other blocks: it is too large for the node or for
/// `response_bytes`, or the node is in trouble. Its receipts are asked for one by one, and nothing is remembered.
pub(super) fn is_without_list(error: &NodeError) -> bool {
    matches!(error, NodeError::TooLarge { .. }) || error.is_outage()
}

/// Whether receipts are all of another block.
fn is_elsewhere(block: B256, given: &[RawReceipt]) -> bool {
    !given.is_empty() && given.iter().all(|receipt| receipt.block_hash != block)
}

/// A block's receipts in the order of its transactions, as far as the node's list has them.
pub(super) fn placed(block: &RawHeader, given: Vec<RawReceipt>) -> Vec<Option<RawReceipt>> {
    let sent = &block.transactions;
    let in_order = given.len() == sent.len()
        && given
            .iter()
            .zip(sent.iter())
            .all(|(receipt, sent)| receipt.transaction_hash == sent.hash);
    // All of another block: the caller tells a branch that changed from a lie.
    let elsewhere = given.len() == sent.len() && is_elsewhere(block.hash, &given);
    if in_order || elsewhere {
        return given.into_iter().map(Some).collect();
    }
    let mut by_hash: HashMap<B256, RawReceipt> = HashMap::with_capacity(sent.len());
    for receipt in given {
        if receipt.block_hash == block.hash {
            by_hash.entry(receipt.transaction_hash).or_insert(receipt);
        }
    }
    sent.iter().map(|sent| by_hash.remove(&sent.hash)).collect()
}

impl Node {
    /// The receipts of a block as one list; `None` when the node gives none in this way.
    pub(super) async fn block_receipts(
        &self,
        block: BlockRef,
    ) -> Result<Option<Vec<RawReceipt>>, NodeError> {
        let Some(key) = self.receipts.key(Key::Hash, Instant::now()) else {
            return Ok(None);
        };
        let refused = match self.list_by(key, block).await {
            Err(error) if error.is_refusal() => error,
            // It answered, so the trouble may be with this key alone.
            Err(NodeError::Refused { .. }) => {
                return self.list_despite_trouble(key.other(), block).await;
            }
            Err(error) if is_without_list(&error) => return Ok(None),
            // By number it may be the list of another branch, which is no lie, and another moment mends it.
            Ok(given) if key == Key::Number && is_elsewhere(block.hash, &given) => {
                return Err(self.lacks_receipts(block));
            }
            given => return given.map(Some),
        };
        match self.list_by(key.other(), block).await {
            Ok(given) if given.iter().all(|receipt| receipt.block_hash == block.hash) => {
                // Of a block that it lacks a node may say so with an error.
                if !refused.is_about_a_block() {
                    self.knows_only(key.other());
                }
                Ok(Some(given))
            }
            Ok(_) | Err(NodeError::Missing { .. }) => Err(self.lacks_receipts(block)),
            Err(error) if error.is_refusal() => {
                if refused.is_about_a_block() || error.is_about_a_block() {
                    return Err(self.lacks_receipts(block));
                }
                self.lacks_block_receipts(&refused);
                Ok(None)
            }
            Err(error) if is_without_list(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The list by this key, where the other one is in trouble; `None` where this one does not give it either.
    async fn list_despite_trouble(
        &self,
        key: Key,
        block: BlockRef,
    ) -> Result<Option<Vec<RawReceipt>>, NodeError> {
        match self.list_by(key, block).await {
            Ok(given)
                if !given.is_empty()
                    && given.iter().all(|receipt| receipt.block_hash == block.hash) =>
            {
                self.knows_only(key);
                Ok(Some(given))
            }
            Err(error) if error.rest().is_some() => Err(error),
            _ => Ok(None),
        }
    }

    async fn list_by(&self, key: Key, block: BlockRef) -> Result<Vec<RawReceipt>, NodeError> {
        let given: Option<Vec<RawReceipt>> = match key {
            Key::Hash => self.request(BLOCK_RECEIPTS, (block.hash,)).await?,
            Key::Number => {
                let number = format!("{:#x}", block.number);
                self.request(BLOCK_RECEIPTS, (number,)).await?
            }
        };
        // What null leaves out is asked for by transaction, as is what a list lacks.
        Ok(given.unwrap_or_default())
    }

    pub(super) fn lacks_receipts(&self, block: BlockRef) -> NodeError {
        self.counted(NodeError::Missing {
            url: self.shown_url(),
            what: format!("the receipts of block {} {}", block.number, block.hash),
        })
    }

    /// Remembers that only one way to name a block works.
    pub(super) fn knows_only(&self, key: Key) {
        if self.receipts.only(key) {
            tracing::info!(
                node = self.shown_url(),
                by = ?key,
                "eth_getBlockReceipts works with one of block hash and number only"
            );
        }
    }

    /// Remembers for a while that receipts are to be asked for by transaction.
    pub(super) fn lacks_block_receipts(&self, refused: &NodeError) {
        if self.receipts.single(Instant::now()) {
            tracing::info!(
                error = %refused,
                again_after_ms = ASKED_AGAIN.as_millis() as u64,
                "the node has no eth_getBlockReceipts: receipts are fetched one by one"
            );
        }
    }

    /// The receipts of a block, one a transaction: those that the list lacks are asked for by transaction.
    pub(super) async fn completed(
        &self,
        block: &RawHeader,
        given: Option<Vec<RawReceipt>>,
    ) -> Result<Vec<RawReceipt>, NodeError> {
        let placed = placed(block, given.unwrap_or_default());
        let mut receipts = placed.into_iter();
        let lacking: Vec<B256> = receipts
            .as_slice()
            .iter()
            .zip(block.transactions.iter())
            .filter(|(receipt, _)| receipt.is_none())
            .map(|(_, sent)| sent.hash)
            .collect();
        let mut fetched = stream::iter(lacking)
            .map(|hash| async move {
                let receipt: Option<RawReceipt> = self.request(ONE_RECEIPT, (hash,)).await?;
                let receipt =
                    self.present(receipt, || format!("the receipt of transaction {hash}"))?;
                // In another block by now: the branch changed.
                match receipt.block_hash == block.hash {
                    true => Ok(receipt),
                    false => Err(self.lacks_receipts(block.block_ref())),
                }
            })
            .buffered(AT_ONCE);
        let mut complete = Vec::with_capacity(block.transactions.len());
        for receipt in receipts.by_ref() {
            match receipt {
                Some(receipt) => complete.push(receipt),
                None => match fetched.try_next().await? {
                    Some(receipt) => complete.push(receipt),
                    None => return Err(self.lacks_receipts(block.block_ref())),
                },
            }
        }
        Ok(complete)
    }

    /// The receipts of some transactions, by requests for many.
    pub(super) async fn receipts_of(
        &self,
        hashes: &[B256],
        batched: bool,
    ) -> Result<Vec<RawReceipt>, NodeError> {
        let mut receipts = Vec::with_capacity(hashes.len());
        let mut at_once = if batched { A_BATCH } else { 1 };
        let mut rest = hashes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(at_once.min(rest.len()));
            let params: Vec<String> = now.iter().map(|hash| format!("[\"{hash}\"]")).collect();
            let ended = match self.post(ONE_RECEIPT, &params).await {
                Ok(body) => self.answers::<RawReceipt>(ONE_RECEIPT, params.len(), &body),
                Err(error) => Err(error),
            };
            let given = match ended {
                // Fewer at once, down to one.
                Err(NodeError::TooLarge { .. }) if now.len() > 1 => {
                    at_once = now.len() / 2;
                    continue;
                }
                ended => ended?,
            };
            for (receipt, hash) in given.into_iter().zip(now) {
                receipts
                    .push(self.present(receipt, || format!("the receipt of transaction {hash}"))?);
            }
            rest = later;
        }
        Ok(receipts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_refusal_and_asks_again_later() {
        let (ways, now) = (Ways::default(), Instant::now());
        assert_eq!(ways.key(Key::Hash, now), Some(Key::Hash));
        assert!(ways.only(Key::Number) && !ways.only(Key::Number));
        assert_eq!(ways.key(Key::Hash, now), Some(Key::Number));
        assert!(ways.single(now) && !ways.single(now));
        assert_eq!(ways.key(Key::Number, now), None);
        assert_eq!(ways.key(Key::Hash, now + ASKED_AGAIN), Some(Key::Hash));
        ways.single(now);
        ways.forget();
        assert_eq!(ways.key(Key::Number, now), Some(Key::Number));
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let ways = Ways::default();
        assert!(!ways.fails() && !ways.fails());
        ways.worked();
        assert!(!ways.fails() && !ways.fails() && ways.fails());
        // Asked for again later, it has as many tries.
        let now = Instant::now();
        ways.single(now);
        ways.key(Key::Number, now + ASKED_AGAIN);
        assert!(!ways.fails());
    }
}
