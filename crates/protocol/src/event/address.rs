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
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The transaction's hash, as in `tx:HASH`.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub hash: B256,
    /// Null before Byzantium.
    pub status: Option<TransactionResult>,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Position in the block, from 0.
    pub transaction_index: u32,
    /// The sender.
    pub from: Checksummed,
    /// Null if it creates a contract.
    pub to: Option<Checksummed>,
    /// The created contract.
    pub contract_address: Option<Checksummed>,
    /// In wei.
    pub value: Quantity,
    /// Orders the transactions of the sender, from 0.
    pub nonce: Quantity,
    /// Its EIP-2718 type; 0 is a legacy transaction.
    pub r#type: u8,
    /// The most gas that it may use.
    pub gas_limit: Quantity,
    /// What it pays per unit of gas, in wei like the other prices and fees; null for a transaction with a dynamic fee.
    pub gas_price: Option<Quantity>,
    /// The most that it pays per unit of gas; null for a transaction without a dynamic fee, like the priority fee.
    pub max_fee_per_gas: Option<Quantity>,
    /// The most that the sender adds to the base fee, in wei (EIP-1559).
    pub max_priority_fee_per_gas: Option<Quantity>,
    /// Gas that the sender paid for, by the receipt.
    pub gas_used: Quantity,
    /// Sum of `gasUsed` of the block's transactions up to this one.
    pub cumulative_gas_used: Quantity,
    /// What the sender paid per unit of gas, in wei.
    pub effective_gas_price: Quantity,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// The outcome of a transaction in its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TransactionResult {
    /// The receipt's status is 1.
    Success,
    /// The receipt's status is 0: its effects were reverted, its gas was paid.
    Failed,
}

/// A transfer from or to the address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AddressTransfer {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    #[cfg_attr(feature = "schema", schemars(with = "Hash"))]
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: u64,
    /// Null when unknown.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Hash>"))]
    pub transaction_hash: Option<B256>,
    /// Position of the transaction in the block, from 0.
    pub transaction_index: u32,
    /// What it was read from.
    pub source: TransferSource,
    /// Null if `source` is `transaction`.
    pub log_index: Option<u32>,
    /// Position within the log; above 0 only in an ERC-1155 batch.
    pub position: u32,
    /// The kind of asset.
    pub standard: TokenStandard,
    /// The token contract; null for the native coin.
    pub token: Option<Checksummed>,
    /// The zero address if the amount was minted.
    pub from: Checksummed,
    /// The zero address if the amount was burned.
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
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// The newest block that both branches have.
    pub common_ancestor: BlockRef,
    /// Dropped blocks with activity of the address, newest first.
    pub dropped: Vec<BlockRef>,
    /// Server time, in ms.
    pub timestamp: i64,
}
