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
    /// Height of the block.
    pub number: u64,
    /// Identifies the block and its branch.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub hash: B256,
    /// Hash of the block below.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub parent_hash: B256,
    /// Server time of the update, in ms.
    pub timestamp: i64,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Number of transactions.
    pub transactions: u64,
    /// The header's gas used; since Amsterdam it can differ from the sum of the receipts (EIP-7778, EIP-8037).
    pub gas_used: Quantity,
    /// The most gas that the block could use.
    pub gas_limit: Quantity,
    /// In wei; null before EIP-1559.
    pub base_fee_per_gas: Option<Quantity>,
    /// EIP-155 chain id.
    pub chain_id: ChainId,
}

/// Blocks left the canonical chain; the `new-block` events of the new branch follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reorg {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Number of dropped blocks.
    pub depth: u64,
    /// The newest block that both branches have.
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
    /// Height of the block.
    pub number: u64,
    /// Identifies the block and its branch.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub hash: B256,
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Server time, in ms.
    pub timestamp: i64,
}
