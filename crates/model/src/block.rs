//! An indexed block: its header, transactions with receipts, logs and transfers.

use alloy::{
    eips::{eip2930::AccessList, eip4895::Withdrawal, eip7702::SignedAuthorization},
    primitives::{B64, Bloom, Bytes},
};

use chaincast_protocol::{Address, B256, BlockRef, TokenStandard, U256};

/// One complete canonical block. Every list is in block order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedBlock {
    /// The header, with the block's height and hash.
    pub header: BlockHeader,
    /// Number of transactions; equal to the length of `transactions` where these are indexed.
    pub transaction_count: u32,
    /// Empty where the chain is indexed without transactions (see [`IndexMode`](crate::IndexMode)).
    pub transactions: Vec<IndexedTransaction>,
    /// Empty where the chain is indexed without logs.
    pub logs: Vec<IndexedLog>,
    /// Decoded from the logs, in every index mode. The values that transactions move are among them only where each is
    /// a log (EIP-7708).
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
    /// Height; 0 is the genesis block.
    pub number: u64,
    /// Keccak-256 of the header in RLP.
    pub hash: B256,
    /// Hash of the block below.
    pub parent_hash: B256,
    /// Keccak-256 of the list of ommers in RLP (`sha3Uncles`).
    pub ommers_hash: Option<B256>,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// The beneficiary: the account that receives the priority fees.
    pub miner: Option<Address>,
    /// Gas used by all transactions.
    pub gas_used: u64,
    /// Gas that all transactions together may use.
    pub gas_limit: u64,
    /// In wei; `None` before EIP-1559.
    pub base_fee_per_gas: Option<u64>,
    /// 0 since the Merge (EIP-3675), and if the node omits it.
    pub difficulty: U256,
    /// Size of the encoded block in bytes; `None` if it cannot be computed and the node does not return it.
    pub size: Option<u64>,
    /// Whether the size was computed from proven data, instead of taken from the node.
    pub size_proved: bool,
    /// Root of the state trie after the block.
    pub state_root: Option<B256>,
    /// Root of the trie of the transactions.
    pub transactions_root: Option<B256>,
    /// Root of the trie of the receipts.
    pub receipts_root: Option<B256>,
    /// Bloom filter over the addresses and topics of all logs.
    pub logs_bloom: Option<Bloom>,
    /// Bytes that the block's producer chose; at most 32 on Ethereum.
    pub extra_data: Bytes,
    /// Proof of work, or since the Merge the beacon chain's `prevRandao` (EIP-4399); `None` for AuRa headers.
    pub mix_hash: Option<B256>,
    /// Proof of work; zero since the Merge; `None` for AuRa headers.
    pub nonce: Option<B64>,
    /// Blob gas used by all transactions; `None` before EIP-4844.
    pub blob_gas_used: Option<u64>,
    /// The running total of blob gas above the target, which sets the blob price; `None` before EIP-4844.
    pub excess_blob_gas: Option<u64>,
    /// Root of the trie of the withdrawals; `None` before EIP-4895. Chains of the OP stack have another root there.
    pub withdrawals_root: Option<B256>,
    /// Root of the parent beacon block; `None` before EIP-4788.
    pub parent_beacon_block_root: Option<B256>,
    /// Hash over the requests to the consensus layer; `None` before EIP-7685.
    pub requests_hash: Option<B256>,
    /// Hash of the block's access list; `None` before EIP-7928.
    pub block_access_list_hash: Option<B256>,
    /// Slot of the beacon chain; `None` before EIP-7843.
    pub slot_number: Option<u64>,
}

/// A transaction with the data of its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedTransaction {
    /// Position in the block, from 0.
    pub index: u32,
    /// Keccak-256 of the transaction in its EIP-2718 encoding.
    pub hash: B256,
    /// The sender. No root covers it: it is proven only where the check `senders` is on.
    pub from: Address,
    /// `None` creates a contract.
    pub to: Option<Address>,
    /// The created contract.
    pub contract_address: Option<Address>,
    /// In wei.
    pub value: U256,
    /// Number of transactions that the sender sent before. For a deposit on an OP-stack chain whose receipts root
    /// covers one, the `depositNonce` of the receipt.
    pub nonce: u64,
    /// Call data, or the init code of the created contract.
    pub input: Bytes,
    /// EIP-2718 type; 0 is a legacy transaction.
    pub transaction_type: u8,
    /// Gas that it may use.
    pub gas_limit: u64,
    /// In wei; `None` for dynamic-fee transactions.
    pub gas_price: Option<u128>,
    /// In wei; `None` for transactions without a dynamic fee.
    pub max_fee_per_gas: Option<u128>,
    /// In wei; `None` for transactions without a dynamic fee.
    pub max_priority_fee_per_gas: Option<u128>,
    /// Transaction types with an access list only (EIP-2930).
    pub access_list: Option<AccessList>,
    /// Type 4 only (EIP-7702).
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    /// Type 3 only (EIP-4844), like the blob fee and blob price below.
    pub blob_versioned_hashes: Option<Vec<B256>>,
    /// In wei.
    pub max_fee_per_blob_gas: Option<u128>,
    /// `None` before EIP-658.
    pub success: Option<bool>,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// Gas used in the block up to the end of this transaction.
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
    /// Position of its transaction in the block.
    pub transaction_index: u32,
    /// Set only if transactions are not indexed; otherwise the transaction has it.
    pub transaction_hash: Option<B256>,
    /// The contract that emitted it.
    pub address: Address,
    /// At most four topics.
    pub topics: Vec<B256>,
    /// The arguments that are not topics, as ABI-encoded by the contract.
    pub data: Bytes,
}

/// A transfer recorded by a log: ERC-20 and ERC-721 `Transfer`, ERC-1155 `TransferSingle` and `TransferBatch`, and
/// `Transfer` and `Burn` of the native coin (EIP-7708).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// As in [`IndexedLog::index`].
    pub log_index: u32,
    /// Position within the log: above 0 only in an ERC-1155 batch.
    pub position: u32,
    /// Position of its transaction in the block.
    pub transaction_index: u32,
    /// As in [`IndexedLog::transaction_hash`].
    pub transaction_hash: Option<B256>,
    /// [`TokenStandard::Native`] for the native coin, otherwise the standard of the log's shape.
    pub standard: TokenStandard,
    /// The token contract; `None` for the native coin.
    pub token: Option<Address>,
    /// The zero address if the amount was minted.
    pub from: Address,
    /// The zero address if the amount was burned.
    pub to: Address,
    /// The token id within the contract; `None` for ERC-20 and the native coin.
    pub token_id: Option<U256>,
    /// In wei, or the token's smallest unit; 1 for ERC-721.
    pub amount: U256,
}
