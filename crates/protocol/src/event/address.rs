//! Updates of the channel `address:ADDR`, in the shapes of the REST API at the time when the block is indexed.

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::schema::Hash;
use crate::{B256, BlockRef, ChainId, Checksummed, Quantity, TokenStandard};

/// A transaction from or to the address, or the one that created it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AddressTransaction {
    pub chain_id: ChainId,
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub hash: B256,
    /// Null before Byzantium.
    pub status: Option<TransactionResult>,
    pub block_number: u64,
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    pub transaction_index: u32,
    pub from: Checksummed,
    /// Null if it creates a contract.
    pub to: Option<Checksummed>,
    /// The created contract.
    pub contract_address: Option<Checksummed>,
    /// In wei.
    pub value: Quantity,
    pub nonce: Quantity,
    /// Its EIP-2718 type; 0 is a legacy transaction.
    pub r#type: u8,
    pub gas_limit: Quantity,
    /// In wei, like the other prices and fees; null for a transaction with a dynamic fee.
    pub gas_price: Option<Quantity>,
    /// Null for a transaction without a dynamic fee, like the priority fee.
    pub max_fee_per_gas: Option<Quantity>,
    pub max_priority_fee_per_gas: Option<Quantity>,
    pub gas_used: Quantity,
    pub cumulative_gas_used: Quantity,
    pub effective_gas_price: Quantity,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// The outcome of a transaction in its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TransactionResult {
    Success,
    Failed,
}

/// A transfer from or to the address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AddressTransfer {
    pub chain_id: ChainId,
    pub block_number: u64,
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Null when unknown.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Hash>"))]
    pub transaction_hash: Option<B256>,
    pub transaction_index: u32,
    pub source: TransferSource,
    /// Null if `source` is `transaction`.
    pub log_index: Option<u32>,
    /// Position within the log; above 0 only in an ERC-1155 batch.
    pub position: u32,
    pub standard: TokenStandard,
    /// The token contract; null for the native coin.
    pub token: Option<Checksummed>,
    pub from: Checksummed,
    pub to: Checksummed,
    /// Null for ERC-20 and the native coin.
    pub token_id: Option<Quantity>,
    /// In wei, or the token's smallest unit.
    pub amount: Quantity,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// Where a transfer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TransferSource {
    /// In a log.
    Log,
    /// It is the transaction's own value, on a chain that does not log native transfers.
    Transaction,
}

/// Blocks with activity of the address left the canonical chain: their updates are invalid. Updates of the new branch
/// follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AddressReorg {
    pub chain_id: ChainId,
    pub common_ancestor: BlockRef,
    /// Dropped blocks with activity of the address, newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}
