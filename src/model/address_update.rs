//! Updates of the channel `address:ADDR`, in the shapes of the REST API at the time when the block is indexed.

use serde::Serialize;

use super::{
    B256, BlockRef, ChainId, IndexedBlock, IndexedTransaction, TokenStandard, Transfer, now_ms,
};

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

impl AddressTransaction {
    pub fn new(chain_id: ChainId, block: &IndexedBlock, sent: &IndexedTransaction) -> Self {
        let wei = |wei: Option<u128>| wei.map(|wei| wei.to_string());
        Self {
            chain_id,
            hash: sent.hash,
            status: sent.success.map(|success| match success {
                true => "success",
                false => "failed",
            }),
            block_number: block.header.number,
            block_hash: block.header.hash,
            block_timestamp: block.header.timestamp,
            transaction_index: sent.index,
            from: sent.from.to_string(),
            to: sent.to.map(|to| to.to_string()),
            contract_address: sent.contract_address.map(|contract| contract.to_string()),
            value: sent.value.to_string(),
            nonce: sent.nonce.to_string(),
            r#type: sent.transaction_type,
            gas_limit: sent.gas_limit.to_string(),
            gas_price: wei(sent.gas_price),
            max_fee_per_gas: wei(sent.max_fee_per_gas),
            max_priority_fee_per_gas: wei(sent.max_priority_fee_per_gas),
            gas_used: sent.gas_used.to_string(),
            cumulative_gas_used: sent.cumulative_gas_used.to_string(),
            effective_gas_price: sent.effective_gas_price.to_string(),
            timestamp: now_ms(),
        }
    }
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

impl AddressTransfer {
    pub fn new(chain_id: ChainId, block: &IndexedBlock, moved: &Transfer) -> Self {
        let sent = block.transactions.get(moved.transaction_index as usize);
        Self {
            chain_id,
            block_number: block.header.number,
            block_hash: block.header.hash,
            block_timestamp: block.header.timestamp,
            transaction_hash: sent.map(|sent| sent.hash).or(moved.transaction_hash),
            transaction_index: moved.transaction_index,
            source: "log",
            log_index: Some(moved.log_index),
            position: moved.position,
            standard: moved.standard.name(),
            token: moved.token.map(|token| token.to_string()),
            from: moved.from.to_string(),
            to: moved.to.to_string(),
            token_id: moved.token_id.map(|id| id.to_string()),
            amount: moved.amount.to_string(),
            timestamp: now_ms(),
        }
    }

    /// The transaction's own value as a native transfer; `None` if it moved none.
    pub fn from_value(
        chain_id: ChainId,
        block: &IndexedBlock,
        sent: &IndexedTransaction,
    ) -> Option<Self> {
        let to = sent.value_recipient()?;
        Some(Self {
            chain_id,
            block_number: block.header.number,
            block_hash: block.header.hash,
            block_timestamp: block.header.timestamp,
            transaction_hash: Some(sent.hash),
            transaction_index: sent.index,
            source: "transaction",
            log_index: None,
            position: 0,
            standard: TokenStandard::Native.name(),
            token: None,
            from: sent.from.to_string(),
            to: to.to_string(),
            token_id: None,
            amount: sent.value.to_string(),
            timestamp: now_ms(),
        })
    }
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
