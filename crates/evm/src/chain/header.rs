//! The hash of a header in Ethereum's form or another chain's. Pure.
//!
//! The hash decides the form: the chain agreed on the fields that hash to it. A stored field that the form does not
//! have must be absent, because no hash covers it.

use alloy::{
    primitives::{B64, B256, U256, keccak256},
    rlp::{Encodable, Header as RlpHeader},
};

use super::{encode, wire::RawHeader};

/// Checks that the header hashes to its hash.
pub(super) fn hash<T>(raw: &RawHeader<T>) -> Result<(), String> {
    let other_form = match form(raw) {
        Form::Ethereum => None,
        form => Some(other_form(raw, form)),
    };
    let other_form = match other_form {
        Some(Ok(hash)) if hash == raw.hash => return Ok(()),
        other_form => other_form,
    };
    let ethereum_form = encode::header(raw).map(|header| header.hash_slow());
    let recomputed = match (ethereum_form, other_form) {
        (Ok(hash), _) if hash == raw.hash => return Ok(()),
        (_, Some(other_form)) => other_form?,
        (ethereum_form, None) => ethereum_form?,
    };
    Err(format!(
        "its header hashes to {recomputed}, not {}",
        raw.hash
    ))
}

/// The form of a header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Ethereum,
    /// Avalanche's C-Chain (`coreth`) and its other chains (`subnet-evm`).
    Avalanche,
    /// Sealed by Authority Round, as Gnosis was before its merge.
    AuRa,
}

fn form<T>(raw: &RawHeader<T>) -> Form {
    if raw.ext_data_hash.is_some() || raw.block_gas_cost.is_some() {
        Form::Avalanche
    } else if is_aura(raw) {
        Form::AuRa
    } else {
        Form::Ethereum
    }
}

/// Whether the header is in Ethereum's form, the only one with a known block size.
pub(super) fn is_ethereum_form<T>(raw: &RawHeader<T>) -> bool {
    form(raw) == Form::Ethereum
}

/// Whether a step and a signature replace the mix hash and the nonce, which nodes then omit or set to zero.
pub(super) fn is_aura<T>(raw: &RawHeader<T>) -> bool {
    raw.step.is_some()
        && raw.seal.is_some()
        && raw.mix_hash.is_none_or(|hash| hash.is_zero())
        && raw.nonce.is_none_or(|nonce| nonce == B64::ZERO)
}

/// A named trailing field of a header: absent before its fork, as are those after it.
type Tail<'h> = (&'static str, Option<&'h dyn Encodable>);

fn other_form<T>(raw: &RawHeader<T>, form: Form) -> Result<B256, String> {
    let reject_extra = |present: bool, field: &str| match present {
        true => Err(format!("its hash does not cover its {field}")),
        false => Ok(()),
    };
    reject_extra(raw.withdrawals_root.is_some(), "withdrawalsRoot")?;
    reject_extra(raw.requests_hash.is_some(), "requestsHash")?;
    reject_extra(raw.block_access_list_hash.is_some(), "blockAccessListHash")?;
    reject_extra(raw.slot_number.is_some(), "slotNumber")?;
    let base_fee = ("baseFeePerGas", field(&raw.base_fee_per_gas));
    let tail: Vec<Tail> = match form {
        Form::AuRa => {
            reject_extra(raw.blob_gas_used.is_some(), "blobGasUsed")?;
            reject_extra(raw.excess_blob_gas.is_some(), "excessBlobGas")?;
            reject_extra(
                raw.parent_beacon_block_root.is_some(),
                "parentBeaconBlockRoot",
            )?;
            vec![base_fee]
        }
        _ => {
            let mut tail = vec![base_fee];
            // Only the C-Chain has extra data, and counts its gas.
            if raw.ext_data_hash.is_some() {
                tail.push(("extDataGasUsed", field(&raw.ext_data_gas_used)));
            }
            let beacon = field(&raw.parent_beacon_block_root);
            tail.extend([
                ("blockGasCost", field(&raw.block_gas_cost)),
                ("blobGasUsed", field(&raw.blob_gas_used)),
                ("excessBlobGas", field(&raw.excess_blob_gas)),
                ("parentBeaconBlockRoot", beacon),
                ("timestampMilliseconds", field(&raw.timestamp_milliseconds)),
                ("minDelayExcess", field(&raw.min_delay_excess)),
            ]);
            tail
        }
    };
    encode_and_hash(raw, form, &tail)
}

fn encode_and_hash<T>(raw: &RawHeader<T>, form: Form, tail: &[Tail]) -> Result<B256, String> {
    let missing = |field: &str| format!("its hash cannot be recomputed: it has no {field}");
    let ommers = raw.ommers_hash.ok_or_else(|| missing("sha3Uncles"))?;
    let miner = raw.beneficiary.ok_or_else(|| missing("miner"))?;
    let state = raw.state_root.ok_or_else(|| missing("stateRoot"))?;
    let transactions = raw.transactions_root;
    let transactions = transactions.ok_or_else(|| missing("transactionsRoot"))?;
    let receipts = raw.receipts_root.ok_or_else(|| missing("receiptsRoot"))?;
    let bloom = raw.logs_bloom.ok_or_else(|| missing("logsBloom"))?;
    let difficulty: U256 = raw.difficulty.unwrap_or_default();
    let mut fields: Vec<&dyn Encodable> = vec![
        &raw.parent_hash,
        &ommers,
        &miner,
        &state,
        &transactions,
        &receipts,
        &bloom,
        &difficulty,
        &raw.number,
        &raw.gas_limit,
        &raw.gas_used,
        &raw.timestamp,
        &raw.extra_data,
    ];
    match form {
        Form::AuRa => {
            fields.push(raw.step.as_ref().ok_or_else(|| missing("step"))?);
            fields.push(raw.seal.as_ref().ok_or_else(|| missing("signature"))?);
        }
        _ => {
            fields.push(raw.mix_hash.as_ref().ok_or_else(|| missing("mixHash"))?);
            fields.push(raw.nonce.as_ref().ok_or_else(|| missing("nonce"))?);
        }
    }
    fields.extend(field(&raw.ext_data_hash));
    let last = tail.iter().rposition(|(_, value)| value.is_some());
    for (name, value) in &tail[..last.map_or(0, |at| at + 1)] {
        fields.push(value.ok_or_else(|| missing(name))?);
    }
    let header = RlpHeader {
        list: true,
        payload_length: fields.iter().map(|field| field.length()).sum(),
    };
    let mut out = Vec::with_capacity(1_024);
    header.encode(&mut out);
    for field in fields {
        field.encode(&mut out);
    }
    Ok(keccak256(out))
}

fn field<F: Encodable>(value: &Option<F>) -> Option<&dyn Encodable> {
    value.as_ref().map(|value| value as &dyn Encodable)
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
