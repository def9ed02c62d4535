//! What becomes of one transaction, as `tx:HASH` tells it.

use serde::Serialize;

use super::{B256, ChainId, now_ms};

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionStatus {
    /// In no indexed block, and no node told of it.
    Unknown,
    /// Waits in the node's pool.
    Pending,
    /// In a block that has fewer confirmations than configured.
    Included,
    /// As deep as configured.
    Confirmed,
    /// In a block that is final.
    Finalized,
    /// Its block left the canonical chain.
    Reorged,
    /// Another transaction of the same sender and nonce is in a block.
    Replaced,
    /// The node knows it no more.
    Dropped,
}

/// A transaction's state when it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionUpdate {
    pub hash: B256,
    pub status: TransactionStatus,
    /// The chain that it is known on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<ChainId>,
    /// Its block: the one that was dropped when `reorged`, the other transaction's when `replaced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_index: Option<u32>,
    /// How many indexed blocks hold it or stand on it: 1 in the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmations: Option<u64>,
    /// What its receipt says; absent before Byzantium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<B256>,
    /// Server time, in ms.
    pub timestamp: i64,
}

impl TransactionUpdate {
    /// A state of which nothing else is known yet, as of now.
    pub fn of(hash: B256, status: TransactionStatus, chain_id: Option<ChainId>) -> Self {
        Self {
            hash,
            status,
            chain_id,
            block_number: None,
            block_hash: None,
            transaction_index: None,
            confirmations: None,
            succeeded: None,
            replaced_by: None,
            timestamp: now_ms(),
        }
    }
}
