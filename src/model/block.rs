//! A block as it is indexed: the rows of its header, transactions with their receipts, logs and transfers.

use alloy::{
    eips::{eip2930::AccessList, eip4895::Withdrawal, eip7702::SignedAuthorization},
    primitives::{B64, Bloom, Bytes},
};

use super::{Address, B256, BlockRef, U256};

/// One canonical block, whole. Every list is in block order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedBlock {
    pub header: BlockHeader,
    /// How many transactions it has: as many as `transactions`, where these are indexed.
    pub transaction_count: u32,
    pub transactions: Vec<IndexedTransaction>,
    pub logs: Vec<IndexedLog>,
    pub transfers: Vec<Transfer>,
    /// `None` before EIP-4895, and where the header's root is not over a list of them.
    pub withdrawals: Option<Vec<Withdrawal>>,
}

impl IndexedBlock {
    /// Whether every movement of the chain's own coin in it is a log (EIP-7708). It is so from the Amsterdam fork on,
    /// and wherever such a log is: nothing else emits one.
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

/// A header (Yellow Paper, section 4.3; EIP-1559, 4399, 4895, 4844, 4788, 7685, 7928, 7843). A field that the node left
/// out, while the check that needs it is off, is `None`.
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
    /// Bytes of the encoded block; `None` when it could not be computed and the node does not say.
    pub size: Option<u64>,
    /// Whether the size was computed from what was proven, and is not the node's word.
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
    /// Since Ethereum's Amsterdam fork, as the slot.
    pub block_access_list_hash: Option<B256>,
    pub slot_number: Option<u64>,
}

/// A transaction and what its receipt adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedTransaction {
    pub index: u32,
    pub hash: B256,
    pub from: Address,
    /// `None` creates a contract.
    pub to: Option<Address>,
    /// The contract that was created.
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
    /// Of types that have one (EIP-2930).
    pub access_list: Option<AccessList>,
    /// Of a type 4 (EIP-7702).
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    /// Of a type 3 (EIP-4844), as the fee and price below.
    pub blob_versioned_hashes: Option<Vec<B256>>,
    pub max_fee_per_blob_gas: Option<u128>,
    /// `None` before EIP-658.
    pub success: Option<bool>,
    pub gas_used: u64,
    pub cumulative_gas_used: u64,
    /// In wei.
    pub effective_gas_price: u128,
    /// In wei, as the receipt says; no root is over it.
    pub blob_gas_price: Option<u128>,
}

impl IndexedTransaction {
    /// The hashes of its blobs, one after the other, as they are stored.
    pub fn blob_hash_bytes(&self) -> Option<Vec<u8>> {
        let hashes = self.blob_versioned_hashes.as_ref()?;
        Some(hashes.iter().flat_map(|hash| hash.0).collect())
    }

    /// The account that its own value went to, when any did: a failed transaction moves none. Before EIP-658 no receipt
    /// has the outcome, so the value of every transaction counts.
    pub fn paid(&self) -> Option<Address> {
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
    /// Known here only where transactions are not indexed: else the transaction has it.
    pub transaction_hash: Option<B256>,
    pub address: Address,
    /// At most four.
    pub topics: Vec<B256>,
    pub data: Bytes,
}

/// What moves: the chain's own coin, or a token by the standard that its contract follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStandard {
    /// No token: the chain's own coin.
    Native,
    Erc20,
    Erc721,
    Erc1155,
}

impl TokenStandard {
    /// The number of its EIP, which is how it is stored; 0 for the chain's own coin.
    pub fn number(self) -> i16 {
        match self {
            Self::Native => 0,
            Self::Erc20 => 20,
            Self::Erc721 => 721,
            Self::Erc1155 => 1155,
        }
    }

    /// The standard with this number.
    pub fn of_number(number: i16) -> Option<Self> {
        match number {
            0 => Some(Self::Native),
            20 => Some(Self::Erc20),
            721 => Some(Self::Erc721),
            1155 => Some(Self::Erc1155),
            _ => None,
        }
    }

    /// As clients read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Erc20 => "ERC-20",
            Self::Erc721 => "ERC-721",
            Self::Erc1155 => "ERC-1155",
        }
    }
}

/// A transfer that a log records: ERC-20 and ERC-721 `Transfer`, ERC-1155 `TransferSingle` and `TransferBatch`, and the
/// `Transfer` and `Burn` of the chain's own coin (EIP-7708).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub log_index: u32,
    /// Position within the log: above 0 only in an ERC-1155 batch.
    pub position: u32,
    pub transaction_index: u32,
    /// As in [`IndexedLog::transaction_hash`].
    pub transaction_hash: Option<B256>,
    pub standard: TokenStandard,
    /// The token's contract; `None` for the chain's own coin.
    pub token: Option<Address>,
    pub from: Address,
    /// The zero address when the amount was burned.
    pub to: Address,
    /// Which of the contract's tokens; `None` for ERC-20 and the chain's own coin.
    pub token_id: Option<U256>,
    /// In wei, or the token's smallest unit; 1 for ERC-721.
    pub amount: U256,
}
