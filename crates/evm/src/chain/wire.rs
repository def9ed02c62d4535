//! Blocks, transactions and receipts in the JSON of the Ethereum execution API, parsed directly into the fields that
//! are stored or proven. Other fields are skipped, and no text is kept.
//!
//! Every unambiguous form of a value is accepted (see `json_values`); the checks compare hashes, so a misread value is
//! rejected there. A field that only a check needs may be absent; the check then reports it.

use alloy::{
    eips::{eip2930::AccessList, eip4895::Withdrawal, eip7702::SignedAuthorization},
    primitives::{Address, B64, B256, Bloom, Bytes, U256},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{
    access_list::{RawSignature, access_list, authorization_list, signature, withdrawals},
    json_reader::skipped_fields,
    json_values::{
        boxed, boxed_lenient, created_address, nullable, optional, optional_lenient,
        optional_values, or_default, required, values,
    },
    prealloc::PreallocVec,
};
use chaincast_protocol::BlockRef;

/// A header. Fields that came with a fork are absent before it (Yellow Paper 4.3; EIP-1559, 4399, 4895, 4844, 4788,
/// 7685, 7928, 7843).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(expecting = "a block")]
pub(super) struct RawHeader<T = PreallocVec<RawTransaction>> {
    #[serde(deserialize_with = "required")]
    pub hash: B256,
    #[serde(deserialize_with = "required")]
    pub parent_hash: B256,
    #[serde(default, rename = "sha3Uncles", deserialize_with = "optional")]
    pub ommers_hash: Option<B256>,
    #[serde(default, rename = "miner", deserialize_with = "optional")]
    pub beneficiary: Option<Address>,
    #[serde(default, deserialize_with = "optional")]
    pub state_root: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub transactions_root: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub receipts_root: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub logs_bloom: Option<Bloom>,
    /// Some chains omit fields that have no meaning there.
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
    #[serde(default, deserialize_with = "or_default")]
    pub extra_data: Bytes,
    #[serde(default, deserialize_with = "optional")]
    pub mix_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub nonce: Option<B64>,
    #[serde(default, deserialize_with = "optional")]
    pub base_fee_per_gas: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub withdrawals_root: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub blob_gas_used: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub excess_blob_gas: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub parent_beacon_block_root: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub requests_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub block_access_list_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub slot_number: Option<u64>,
    /// Avalanche only, as the fields below.
    #[serde(default, deserialize_with = "optional_lenient")]
    pub ext_data_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional_lenient")]
    pub ext_data_gas_used: Option<U256>,
    #[serde(default, deserialize_with = "optional_lenient")]
    pub block_gas_cost: Option<U256>,
    #[serde(default, deserialize_with = "optional_lenient")]
    pub timestamp_milliseconds: Option<u64>,
    #[serde(default, deserialize_with = "optional_lenient")]
    pub min_delay_excess: Option<u64>,
    /// Only in headers sealed by Authority Round, as the signature.
    #[serde(default, alias = "auraStep", deserialize_with = "optional_lenient")]
    pub step: Option<u64>,
    #[serde(
        default,
        rename = "signature",
        alias = "auraSeal",
        deserialize_with = "optional_lenient"
    )]
    pub seal: Option<Bytes>,
    /// Size of the encoded block in bytes; not part of the header.
    #[serde(default, deserialize_with = "optional")]
    pub size: Option<u64>,
    /// Not part of the header either; their root is.
    #[serde(default, deserialize_with = "known_withdrawals")]
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// Unreadable fields that only checks need, each with its value.
    #[serde(skip, default = "skipped_fields")]
    pub(super) unread: Vec<String>,
    /// Whole transactions, moved to [`RawBlock::transactions`], or another type for reduced modes. Part of the header
    /// because `flatten` would buffer all text.
    #[serde(deserialize_with = "nullable")]
    #[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
    pub(super) transactions: T,
}

/// Withdrawals in the format of Ethereum; another format is skipped.
fn known_withdrawals<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Withdrawal>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Listed {
        Known(#[serde(deserialize_with = "withdrawals")] Option<Vec<Withdrawal>>),
        Other(IgnoredAny),
    }
    Ok(match Listed::deserialize(deserializer)? {
        Listed::Known(list) => list,
        Listed::Other(_) => None,
    })
}

impl<T> RawHeader<T> {
    /// Appends the unreadable fields, the likely cause, to the reason of a failed check. Names the first few.
    pub(super) fn with_unread(&self, mut reason: String) -> String {
        const SHOWN: usize = 4;
        for field in self.unread.iter().take(SHOWN) {
            reason.push_str("; ");
            reason.push_str(field);
        }
        if let Some(more) = self
            .unread
            .len()
            .checked_sub(SHOWN)
            .filter(|&more| more > 0)
        {
            reason.push_str(&format!("; and {more} more fields"));
        }
        reason
    }

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
#[serde(expecting = "a whole transaction")]
pub(super) struct RawTransaction {
    #[serde(deserialize_with = "required")]
    pub hash: B256,
    #[serde(deserialize_with = "required")]
    pub from: Address,
    #[serde(default, deserialize_with = "optional")]
    pub to: Option<Address>,
    /// Absent in system transactions of some chains.
    #[serde(default, deserialize_with = "optional")]
    pub value: Option<U256>,
    #[serde(deserialize_with = "required")]
    pub nonce: u64,
    #[serde(default, deserialize_with = "optional")]
    pub input: Option<Bytes>,
    /// Another name for `input`; some nodes send both.
    #[serde(default, deserialize_with = "optional")]
    pub data: Option<Bytes>,
    /// EIP-2718; see [`RawTransaction::kind`] for nodes that omit it.
    #[serde(default, rename = "type", deserialize_with = "optional")]
    pub ty: Option<u8>,
    #[serde(deserialize_with = "required")]
    pub gas: u64,
    /// In wei, as the fee below. Wider than any account can pay, because Nitro does not bound them for its own types.
    #[serde(default, deserialize_with = "optional")]
    pub gas_price: Option<U256>,
    #[serde(default, deserialize_with = "optional")]
    pub max_fee_per_gas: Option<U256>,
    #[serde(default, deserialize_with = "optional")]
    pub max_priority_fee_per_gas: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub max_fee_per_blob_gas: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub chain_id: Option<u64>,
    #[serde(default, deserialize_with = "access_list")]
    pub access_list: Option<AccessList>,
    #[serde(default, deserialize_with = "optional_values")]
    pub blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(default, deserialize_with = "authorization_list")]
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    #[serde(default, deserialize_with = "optional")]
    pub v: Option<u128>,
    #[serde(default, deserialize_with = "optional")]
    pub y_parity: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub r: Option<U256>,
    #[serde(default, deserialize_with = "optional")]
    pub s: Option<U256>,
    /// The signature as an object, as some nodes write it.
    #[serde(default, deserialize_with = "signature")]
    pub signature: Option<Box<RawSignature>>,
    /// Only in deposits (type 0x7e) of OP-stack chains.
    #[serde(default, deserialize_with = "optional")]
    pub source_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional")]
    pub mint: Option<U256>,
    #[serde(default, deserialize_with = "optional")]
    pub is_system_tx: Option<bool>,
    /// Only in Arbitrum's own transactions, as the fields below. Boxed because other chains have none.
    #[serde(default, deserialize_with = "boxed")]
    pub request_id: Option<Box<B256>>,
    #[serde(default, deserialize_with = "boxed")]
    pub ticket_id: Option<Box<B256>>,
    #[serde(default, deserialize_with = "boxed")]
    pub refund_to: Option<Box<Address>>,
    #[serde(default, deserialize_with = "boxed")]
    pub max_refund: Option<Box<U256>>,
    #[serde(default, deserialize_with = "boxed")]
    pub submission_fee_refund: Option<Box<U256>>,
    #[serde(default, deserialize_with = "boxed")]
    pub l1_base_fee: Option<Box<U256>>,
    #[serde(default, deserialize_with = "boxed")]
    pub deposit_value: Option<Box<U256>>,
    #[serde(default, deserialize_with = "boxed")]
    pub retry_to: Option<Box<Address>>,
    #[serde(default, deserialize_with = "boxed")]
    pub retry_value: Option<Box<U256>>,
    #[serde(default, deserialize_with = "boxed")]
    pub retry_data: Option<Box<Bytes>>,
    #[serde(default, deserialize_with = "boxed")]
    pub beneficiary: Option<Box<Address>>,
    #[serde(default, deserialize_with = "boxed")]
    pub max_submission_fee: Option<Box<U256>>,
    /// Only in Celo's own transactions, as the fields below: the token that pays the fees.
    #[serde(default, deserialize_with = "boxed_lenient")]
    pub fee_currency: Option<Box<Address>>,
    #[serde(default, deserialize_with = "boxed_lenient")]
    pub gateway_fee_recipient: Option<Box<Address>>,
    #[serde(default, deserialize_with = "boxed_lenient")]
    pub gateway_fee: Option<Box<U256>>,
}

impl RawTransaction {
    /// EIP-2718 type; 0 is a legacy transaction. If the node omits it, derived from the fields that came with each
    /// type.
    pub fn kind(&self) -> u8 {
        self.ty.unwrap_or_else(|| {
            if self
                .authorization_list
                .as_ref()
                .is_some_and(|list| !list.is_empty())
            {
                4
            } else if self.blob_versioned_hashes.is_some() {
                3
            } else if self.max_fee_per_gas.is_some() {
                2
            } else {
                u8::from(
                    self.access_list
                        .as_ref()
                        .is_some_and(|list| !list.is_empty()),
                )
            }
        })
    }

    /// The input, from either field.
    pub fn input(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.input.as_ref().or(self.data.as_ref()).unwrap_or(&NONE)
    }

    /// Whether it has the EIP-1559 fees.
    pub fn is_dynamic(&self) -> bool {
        match self.kind() {
            0 | 1 => false,
            2..=4 => true,
            _ => self.max_fee_per_gas.is_some(),
        }
    }
}

/// A receipt.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(expecting = "a receipt")]
pub(super) struct RawReceipt {
    #[serde(deserialize_with = "required")]
    pub transaction_hash: B256,
    #[serde(deserialize_with = "required")]
    pub block_hash: B256,
    #[serde(default, rename = "type", deserialize_with = "optional")]
    pub ty: Option<u8>,
    /// Since EIP-658; before it, the state root.
    #[serde(default, deserialize_with = "optional")]
    pub status: Option<u8>,
    #[serde(default, deserialize_with = "optional")]
    pub root: Option<B256>,
    #[serde(deserialize_with = "required")]
    pub cumulative_gas_used: u64,
    #[serde(deserialize_with = "required")]
    pub gas_used: u64,
    #[serde(default, deserialize_with = "optional")]
    pub effective_gas_price: Option<u128>,
    /// Only for transactions with blobs (EIP-4844).
    #[serde(default, deserialize_with = "optional")]
    pub blob_gas_price: Option<u128>,
    #[serde(default, deserialize_with = "created_address")]
    pub contract_address: Option<Address>,
    #[serde(deserialize_with = "nullable")]
    pub logs: Vec<RawLog>,
    /// Only for deposits on OP-stack chains.
    #[serde(default, deserialize_with = "optional")]
    pub deposit_nonce: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    pub deposit_receipt_version: Option<u64>,
    /// Only for Celo transactions with fees in a token, in units of that token.
    #[serde(default, deserialize_with = "optional_lenient")]
    pub base_fee: Option<u128>,
}

/// An event log.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "a log")]
pub(super) struct RawLog {
    #[serde(deserialize_with = "required")]
    pub address: Address,
    #[serde(default, deserialize_with = "values")]
    pub topics: Vec<B256>,
    #[serde(default, deserialize_with = "or_default")]
    pub data: Bytes,
}

/// A block from a node, with one receipt per transaction.
#[derive(Debug, Clone)]
pub(super) struct RawBlock {
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

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
