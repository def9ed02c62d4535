//! Blocks, transactions and receipts as nodes write them in JSON (the Ethereum execution API), read straight into
//! the fields that are stored or proven. What is not listed here is skipped, and no text is kept.

use alloy::{
    eips::{eip2930::AccessList, eip4895::Withdrawal, eip7702::SignedAuthorization},
    primitives::{Address, B64, B256, Bloom, Bytes, U256},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{
    quantity::{optional, required},
    roomy::Roomy,
};
use crate::model::BlockRef;

/// A header. Fields that came with a fork are absent before it (Yellow Paper 4.3; EIP-1559, 4399, 4895, 4844, 4788,
/// 7685, 7928, 7843).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawHeader<T = Roomy<RawTransaction>> {
    pub hash: B256,
    pub parent_hash: B256,
    #[serde(rename = "sha3Uncles")]
    pub ommers_hash: B256,
    #[serde(rename = "miner")]
    pub beneficiary: Address,
    pub state_root: B256,
    pub transactions_root: B256,
    pub receipts_root: B256,
    pub logs_bloom: Bloom,
    /// Some chains leave out what has no meaning there.
    #[serde(default, deserialize_with = "optional")]
    pub difficulty: Option<U256>,
    #[serde(deserialize_with = "required")]
    pub number: u64,
    #[serde(deserialize_with = "required")]
    pub gas_limit: u64,
    #[serde(deserialize_with = "required")]
    pub gas_used: u64,
    #[serde(deserialize_with = "required")]
    pub timestamp: u64,
    pub extra_data: Bytes,
    #[serde(default)]
    pub mix_hash: Option<B256>,
    #[serde(default)]
    pub nonce: Option<B64>,
    #[serde(default, deserialize_with = "optional")]
    pub base_fee_per_gas: Option<u64>,
    #[serde(default)]
    pub withdrawals_root: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub blob_gas_used: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub excess_blob_gas: Option<u64>,
    #[serde(default)]
    pub parent_beacon_block_root: Option<B256>,
    #[serde(default)]
    pub requests_hash: Option<B256>,
    #[serde(default)]
    pub block_access_list_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub slot_number: Option<u64>,
    /// Bytes of the encoded block; not part of the header.
    #[serde(default, deserialize_with = "optional")]
    pub size: Option<u64>,
    /// Not part of the header either: its root is.
    #[serde(default, deserialize_with = "known_withdrawals")]
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Whole transactions, moved to [`RawBlock::transactions`], or what is read instead of them. Here because `flatten`
    /// would keep all text first.
    pub(super) transactions: T,
}

/// Withdrawals as Ethereum writes them. What a chain writes in their place in another way is not known: the header is
/// read without it.
fn known_withdrawals<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Withdrawal>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Listed {
        Known(Vec<Withdrawal>),
        Other(IgnoredAny),
    }
    Ok(match Listed::deserialize(deserializer)? {
        Listed::Known(list) => Some(list),
        Listed::Other(_) => None,
    })
}

impl<T> RawHeader<T> {
    pub fn block_ref(&self) -> BlockRef {
        BlockRef {
            number: self.number,
            hash: self.hash,
        }
    }
}

/// A transaction of any type, with its signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawTransaction {
    pub hash: B256,
    pub from: Address,
    #[serde(default)]
    pub to: Option<Address>,
    /// System transactions of some chains carry none.
    #[serde(default, deserialize_with = "optional")]
    pub value: Option<U256>,
    #[serde(deserialize_with = "required")]
    pub nonce: u64,
    #[serde(default)]
    pub input: Bytes,
    /// EIP-2718; a node that does not say means a legacy transaction.
    #[serde(default, rename = "type", deserialize_with = "optional")]
    pub ty: Option<u8>,
    #[serde(deserialize_with = "required")]
    pub gas: u64,
    #[serde(default, deserialize_with = "optional")]
    pub gas_price: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub max_fee_per_gas: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub max_priority_fee_per_gas: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub max_fee_per_blob_gas: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub chain_id: Option<u64>,
    #[serde(default)]
    pub access_list: Option<AccessList>,
    #[serde(default)]
    pub blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(default)]
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    #[serde(default, deserialize_with = "optional")]
    pub v: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub y_parity: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub r: Option<U256>,
    #[serde(default, deserialize_with = "optional")]
    pub s: Option<U256>,
    /// Of a deposit (type 0x7e) on an OP-stack chain.
    #[serde(default)]
    pub source_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub mint: Option<U256>,
    #[serde(default)]
    pub is_system_tx: Option<bool>,
    /// Of Arbitrum's own transactions, as are those below. Behind pointers, because other chains have none.
    #[serde(default)]
    pub request_id: Option<Box<B256>>,
    #[serde(default)]
    pub ticket_id: Option<Box<B256>>,
    #[serde(default)]
    pub refund_to: Option<Box<Address>>,
    #[serde(default)]
    pub max_refund: Option<Box<U256>>,
    #[serde(default)]
    pub submission_fee_refund: Option<Box<U256>>,
    #[serde(default)]
    pub l1_base_fee: Option<Box<U256>>,
    #[serde(default)]
    pub deposit_value: Option<Box<U256>>,
    #[serde(default)]
    pub retry_to: Option<Box<Address>>,
    #[serde(default)]
    pub retry_value: Option<Box<U256>>,
    #[serde(default)]
    pub retry_data: Option<Box<Bytes>>,
    #[serde(default)]
    pub beneficiary: Option<Box<Address>>,
    #[serde(default)]
    pub max_submission_fee: Option<Box<U256>>,
}

impl RawTransaction {
    /// EIP-2718 type; 0 is a legacy transaction.
    pub fn kind(&self) -> u8 {
        self.ty.unwrap_or(0)
    }

    /// Whether it has the two fees of EIP-1559.
    pub fn is_dynamic(&self) -> bool {
        match self.kind() {
            0 | 1 => false,
            2..=4 => true,
            _ => self.max_fee_per_gas.is_some(),
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawReceipt {
    pub transaction_hash: B256,
    pub block_hash: B256,
    #[serde(default, rename = "type", deserialize_with = "optional")]
    pub ty: Option<u8>,
    /// Since EIP-658; the state's root stands there before.
    #[serde(default, deserialize_with = "optional")]
    pub status: Option<u8>,
    #[serde(default)]
    pub root: Option<B256>,
    #[serde(deserialize_with = "required")]
    pub cumulative_gas_used: u64,
    #[serde(deserialize_with = "required")]
    pub gas_used: u64,
    #[serde(default, deserialize_with = "optional")]
    pub effective_gas_price: Option<u128>,
    /// Of a transaction with blobs (EIP-4844).
    #[serde(default, deserialize_with = "optional")]
    pub blob_gas_price: Option<u128>,
    #[serde(default)]
    pub contract_address: Option<Address>,
    pub logs: Vec<RawLog>,
    /// Of a deposit on an OP-stack chain.
    #[serde(default, deserialize_with = "optional")]
    pub deposit_nonce: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub deposit_receipt_version: Option<u64>,
}

/// An event log.
#[derive(Debug, Clone, Deserialize)]
pub struct RawLog {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
}

/// A block as a node sent it; receipts belong to transactions one to one.
#[derive(Debug, Clone)]
pub struct RawBlock {
    pub header: RawHeader,
    pub transactions: Vec<RawTransaction>,
    pub receipts: Vec<RawReceipt>,
}

impl RawBlock {
    pub(super) fn new(mut header: RawHeader, receipts: Vec<RawReceipt>) -> Self {
        Self {
            transactions: std::mem::take(&mut header.transactions).0,
            header,
            receipts,
        }
    }

    pub fn block_ref(&self) -> BlockRef {
        self.header.block_ref()
    }
}
