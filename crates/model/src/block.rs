//! An indexed block: its header, transactions with receipts, logs and transfers.

use alloy::{
    eips::{eip2930::AccessList, eip4895::Withdrawal, eip7702::SignedAuthorization},
    primitives::{B64, Bloom, Bytes},
};

use chaincast_protocol::{Address, B256, BlockRef, TokenStandard, U256};

/// One complete canonical block. Every list is in block order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedBlock {
    pub header: BlockHeader,
    /// Number of transactions; equal to the length of `transactions` where these are indexed.
    pub transaction_count: u32,
    pub transactions: Vec<IndexedTransaction>,
    pub logs: Vec<IndexedLog>,
    pub transfers: Vec<Transfer>,
    /// `None` before EIP-4895, and if the header's root does not cover a list of withdrawals.
    pub withdrawals: Option<Vec<Withdrawal>>,
}

impl IndexedBlock {
    /// Whether every transfer of the native coin in this block has a log (EIP-7708): from the Amsterdam fork on, and in
    /// any block with such a log, because nothing else emits one.
    pub fn logs_native_transfers(&self) -> bool {
        let native = |moved: &Transfer| moved.standard == TokenStandard::Native;
        self.header.slot_number.is_some() || self.transfers.iter().any(native)
    }

    /// The block's height and hash.
    pub fn block_ref(&self) -> BlockRef {
        BlockRef {
            number: self.header.number,
            hash: self.header.hash,
        }
    }
}

/// A block header (Yellow Paper, section 4.3; EIP-1559, 4399, 4895, 4844, 4788, 7685, 7928, 7843). A field that the
/// node omits, while the check that needs it is off, is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    pub ommers_hash: Option<B256>,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    pub miner: Option<Address>,
    pub gas_used: u64,
    pub gas_limit: u64,
    /// In wei; `None` before EIP-1559.
    pub base_fee_per_gas: Option<u64>,
    pub difficulty: U256,
    /// Size of the encoded block in bytes; `None` if it cannot be computed and the node does not return it.
    pub size: Option<u64>,
    /// Whether the size was computed from proven data, instead of taken from the node.
    pub size_proved: bool,
    pub state_root: Option<B256>,
    pub transactions_root: Option<B256>,
    pub receipts_root: Option<B256>,
    pub logs_bloom: Option<Bloom>,
    pub extra_data: Bytes,
    pub mix_hash: Option<B256>,
    pub nonce: Option<B64>,
    pub blob_gas_used: Option<u64>,
    pub excess_blob_gas: Option<u64>,
    pub withdrawals_root: Option<B256>,
    pub parent_beacon_block_root: Option<B256>,
    pub requests_hash: Option<B256>,
    /// Since Ethereum's Amsterdam fork, like the slot number.
    pub block_access_list_hash: Option<B256>,
    pub slot_number: Option<u64>,
}

/// A transaction with the data of its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedTransaction {
    pub index: u32,
    pub hash: B256,
    pub from: Address,
    /// `None` creates a contract.
    pub to: Option<Address>,
    /// The created contract.
    pub contract_address: Option<Address>,
    /// In wei.
    pub value: U256,
    pub nonce: u64,
    pub input: Bytes,
    /// EIP-2718 type; 0 is a legacy transaction.
    pub transaction_type: u8,
    pub gas_limit: u64,
    /// In wei; `None` for dynamic-fee transactions.
    pub gas_price: Option<u128>,
    /// In wei; `None` for transactions without a dynamic fee.
    pub max_fee_per_gas: Option<u128>,
    pub max_priority_fee_per_gas: Option<u128>,
    /// Transaction types with an access list only (EIP-2930).
    pub access_list: Option<AccessList>,
    /// Type 4 only (EIP-7702).
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    /// Type 3 only (EIP-4844), like the blob fee and blob price below.
    pub blob_versioned_hashes: Option<Vec<B256>>,
    pub max_fee_per_blob_gas: Option<u128>,
    /// `None` before EIP-658.
    pub success: Option<bool>,
    pub gas_used: u64,
    pub cumulative_gas_used: u64,
    /// In wei.
    pub effective_gas_price: u128,
    /// In wei, from the receipt; no root covers it.
    pub blob_gas_price: Option<u128>,
}

impl IndexedTransaction {
    /// The concatenated hashes of its blobs, as stored.
    pub fn blob_hash_bytes(&self) -> Option<Vec<u8>> {
        let hashes = self.blob_versioned_hashes.as_ref()?;
        Some(hashes.iter().flat_map(|hash| hash.0).collect())
    }

    /// The account that received the transaction's own value, if any: a failed transaction moves none. Receipts before
    /// EIP-658 have no status, so those transactions count as successful.
    pub fn value_recipient(&self) -> Option<Address> {
        let moved = !self.value.is_zero() && self.success != Some(false);
        self.to.or(self.contract_address).filter(|_| moved)
    }
}

/// An event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedLog {
    /// Position among all logs of the block.
    pub index: u32,
    pub transaction_index: u32,
    /// Set only if transactions are not indexed; otherwise the transaction has it.
    pub transaction_hash: Option<B256>,
    pub address: Address,
    /// At most four topics.
    pub topics: Vec<B256>,
    pub data: Bytes,
}

/// A transfer recorded by a log: ERC-20 and ERC-721 `Transfer`, ERC-1155 `TransferSingle` and `TransferBatch`, and
/// `Transfer` and `Burn` of the native coin (EIP-7708).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub log_index: u32,
    /// Position within the log: above 0 only in an ERC-1155 batch.
    pub position: u32,
    pub transaction_index: u32,
    /// As in [`IndexedLog::transaction_hash`].
    pub transaction_hash: Option<B256>,
    pub standard: TokenStandard,
    /// The token contract; `None` for the native coin.
    pub token: Option<Address>,
    pub from: Address,
    /// The zero address if the amount was burned.
    pub to: Address,
    /// The token id within the contract; `None` for ERC-20 and the native coin.
    pub token_id: Option<U256>,
    /// In wei, or the token's smallest unit; 1 for ERC-721.
    pub amount: U256,
}
