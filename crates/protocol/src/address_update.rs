//! Updates of the channel `address:ADDR`, in the shapes of the REST API at the time when the block is indexed.

use serde::Serialize;

use super::{B256, BlockRef, ChainId};

/// A transaction from or to the address, or the one that created it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressTransaction {
    pub chain_id: ChainId,
    pub hash: B256,
    /// `success` or `failed`; null before Byzantium.
    pub status: Option<&'static str>,
    pub block_number: u64,
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    pub transaction_index: u32,
    pub from: String,
    pub to: Option<String>,
    pub contract_address: Option<String>,
    pub value: String,
    pub nonce: String,
    pub r#type: u8,
    pub gas_limit: String,
    pub gas_price: Option<String>,
    pub max_fee_per_gas: Option<String>,
    pub max_priority_fee_per_gas: Option<String>,
    pub gas_used: String,
    pub cumulative_gas_used: String,
    pub effective_gas_price: String,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// A transfer from or to the address.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressTransfer {
    pub chain_id: ChainId,
    pub block_number: u64,
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    pub transaction_hash: Option<B256>,
    pub transaction_index: u32,
    /// `log`, or `transaction` for the transaction's own value.
    pub source: &'static str,
    /// Null for the transaction's own value.
    pub log_index: Option<u32>,
    /// Position within the log; above 0 only in an ERC-1155 batch.
    pub position: u32,
    /// `native`, `ERC-20`, `ERC-721` or `ERC-1155`.
    pub standard: &'static str,
    /// The token contract; null for the native coin.
    pub token: Option<String>,
    pub from: String,
    pub to: String,
    /// Null for ERC-20 and the native coin.
    pub token_id: Option<String>,
    /// In wei, or the token's smallest unit.
    pub amount: String,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// Blocks with activity of the address left the canonical chain: their updates are invalid. Updates of the new branch
/// follow.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressReorg {
    pub chain_id: ChainId,
    pub common_ancestor: BlockRef,
    /// Dropped blocks with activity of the address, newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}
