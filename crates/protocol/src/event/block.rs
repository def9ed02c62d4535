//! Events of `new-block`.

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::schema::Hash;
use crate::{B256, BlockRef, ChainId, Quantity};

/// A block became the head of the canonical chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NewBlock {
    pub number: u64,
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub hash: B256,
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub parent_hash: B256,
    /// Server time of the update, in ms.
    pub timestamp: i64,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Number of transactions.
    pub transactions: u64,
    pub gas_used: Quantity,
    pub gas_limit: Quantity,
    /// In wei; null before EIP-1559.
    pub base_fee_per_gas: Option<Quantity>,
    pub chain_id: ChainId,
}

/// Blocks left the canonical chain; the `new-block` events of the new branch follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reorg {
    pub chain_id: ChainId,
    /// Number of dropped blocks.
    pub depth: u64,
    pub common_ancestor: BlockRef,
    /// Newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// No reorg will drop this block or an older one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BlockFinalized {
    pub number: u64,
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub hash: B256,
    pub chain_id: ChainId,
    /// Server time, in ms.
    pub timestamp: i64,
}
