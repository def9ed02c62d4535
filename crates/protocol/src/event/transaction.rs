//! Updates of the channel `tx:HASH`: the state of one transaction.

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::schema::Hash;
use crate::{B256, ChainId, now_ms};

/// State of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TransactionStatus {
    /// In no indexed block, and not reported by any node.
    Unknown,
    /// In the node's transaction pool.
    Pending,
    /// In a block that has fewer confirmations than configured.
    Included,
    /// Has the configured number of confirmations.
    Confirmed,
    /// In a block that is final.
    Finalized,
    /// Its block left the canonical chain.
    Reorged,
    /// Another transaction of the same sender and nonce is in a block.
    Replaced,
    /// The node no longer knows it.
    Dropped,
}

impl TransactionStatus {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Included => "included",
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
            Self::Reorged => "reorged",
            Self::Replaced => "replaced",
            Self::Dropped => "dropped",
        }
    }
}

/// A new state of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TransactionUpdate {
    /// Hash of the transaction that the channel names.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub hash: B256,
    /// The new state.
    pub status: TransactionStatus,
    /// The chain on which the transaction was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<ChainId>,
    /// Its block; if `reorged`, the dropped block; if `replaced`, the block of the other transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    /// Hash of that block.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Hash>"))]
    pub block_hash: Option<B256>,
    /// Position in that block, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_index: Option<u32>,
    /// Number of indexed blocks from its own up to the head: 1 in the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmations: Option<u64>,
    /// The status in its receipt; absent before Byzantium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
    /// If `replaced`: hash of the other transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Hash>"))]
    pub replaced_by: Option<B256>,
    /// Server time, in ms.
    pub timestamp: i64,
}

impl TransactionUpdate {
    /// A state without details, with the current time.
    pub fn new(hash: B256, status: TransactionStatus, chain_id: Option<ChainId>) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_names_match_json() {
        use TransactionStatus::*;
        for status in [
            Unknown, Pending, Included, Confirmed, Finalized, Reorged, Replaced, Dropped,
        ] {
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("\"{}\"", status.name()));
        }
    }
}
