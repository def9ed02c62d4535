//! The bytes that hashes and roots cover: headers, transactions and receipts in RLP (Yellow Paper, EIP-2718). Pure.

use alloy::{
    consensus::{
        Header, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip4844Variant, TxEip7702, TxEnvelope,
        TxLegacy,
    },
    primitives::{Bloom, Signature, TxKind, U256},
    rlp::{BufMut, Encodable, Header as RlpHeader},
};

use super::wire::{RawHeader, RawLog, RawReceipt, RawTransaction};

/// Type of an OP-stack deposit: created by the chain itself, without a signature.
pub(super) const DEPOSIT: u8 = 0x7e;
/// Type of Celo's CIP-64, whose fees may be paid in a token.
pub(super) const CIP64: u8 = 0x7b;

/// The header to hash.
pub(super) fn header<T>(raw: &RawHeader<T>) -> Result<Header, String> {
    let missing = |field: &str| format!("its hash cannot be recomputed: it has no {field}");
    Ok(Header {
        parent_hash: raw.parent_hash,
        ommers_hash: raw.ommers_hash.ok_or_else(|| missing("sha3Uncles"))?,
        beneficiary: raw.beneficiary.ok_or_else(|| missing("miner"))?,
        state_root: raw.state_root.ok_or_else(|| missing("stateRoot"))?,
        transactions_root: raw
            .transactions_root
            .ok_or_else(|| missing("transactionsRoot"))?,
        receipts_root: raw.receipts_root.ok_or_else(|| missing("receiptsRoot"))?,
        logs_bloom: raw.logs_bloom.ok_or_else(|| missing("logsBloom"))?,
        difficulty: raw.difficulty.unwrap_or_default(),
        number: raw.number,
        gas_limit: raw.gas_limit,
        gas_used: raw.gas_used,
        timestamp: raw.timestamp,
        extra_data: raw.extra_data.clone(),
        mix_hash: raw.mix_hash.ok_or_else(|| missing("mixHash"))?,
        nonce: raw.nonce.ok_or_else(|| missing("nonce"))?,
        base_fee_per_gas: raw.base_fee_per_gas,
        withdrawals_root: raw.withdrawals_root,
        blob_gas_used: raw.blob_gas_used,
        excess_blob_gas: raw.excess_blob_gas,
        parent_beacon_block_root: raw.parent_beacon_block_root,
        requests_hash: raw.requests_hash,
        block_access_list_hash: raw.block_access_list_hash,
        slot_number: raw.slot_number,
    })
}

/// An Ethereum transaction; `None` for a type of another chain. The error names the missing part.
pub(super) fn envelope(tx: &RawTransaction) -> Result<Option<TxEnvelope>, String> {
    let kind = tx.kind();
    if kind > 4 {
        return Ok(None);
    }
    fn require<T>(value: Option<T>, field: &str, kind: u8) -> Result<T, String> {
        value.ok_or_else(|| format!("has no {field}, which type {kind} needs"))
    }
    let price = |value: Option<U256>, field: &str| {
        let value = require(value, field, kind)?;
        u128::try_from(value)
            .map_err(|_| format!("has the {field} {value}, above what type {kind} allows"))
    };
    let chain_id = || {
        tx.chain_id
            .ok_or_else(|| format!("has no chainId, which type {kind} needs"))
    };
    let receiver = || {
        tx.to
            .ok_or_else(|| format!("has no receiver, which type {kind} needs"))
    };
    let (signature, signed_for) = signature(tx)?;
    let to = tx.to.map_or(TxKind::Create, TxKind::Call);
    let value = tx.value.unwrap_or_default();
    let input = tx.input().clone();
    let access_list = tx.access_list.clone().unwrap_or_default();
    let (nonce, gas_limit, hash) = (tx.nonce, tx.gas, tx.hash);
    Ok(Some(match kind {
        0 => {
            let transaction = TxLegacy {
                chain_id: signed_for,
                nonce,
                gas_price: price(tx.gas_price, "gasPrice")?,
                gas_limit,
                to,
                value,
                input,
            };
            Signed::new_unchecked(transaction, signature, hash).into()
        }
        1 => {
            let transaction = TxEip2930 {
                chain_id: chain_id()?,
                nonce,
                gas_price: price(tx.gas_price, "gasPrice")?,
                gas_limit,
                to,
                value,
                access_list,
                input,
            };
            Signed::new_unchecked(transaction, signature, hash).into()
        }
        2 => {
            let transaction = TxEip1559 {
                chain_id: chain_id()?,
                nonce,
                gas_limit,
                max_fee_per_gas: price(tx.max_fee_per_gas, "maxFeePerGas")?,
                max_priority_fee_per_gas: require(
                    tx.max_priority_fee_per_gas,
                    "maxPriorityFeePerGas",
                    kind,
                )?,
                to,
                value,
                access_list,
                input,
            };
            Signed::new_unchecked(transaction, signature, hash).into()
        }
        3 => {
            let transaction = TxEip4844 {
                chain_id: chain_id()?,
                nonce,
                gas_limit,
                max_fee_per_gas: price(tx.max_fee_per_gas, "maxFeePerGas")?,
                max_priority_fee_per_gas: require(
                    tx.max_priority_fee_per_gas,
                    "maxPriorityFeePerGas",
                    kind,
                )?,
                to: receiver()?,
                value,
                access_list,
                blob_versioned_hashes: tx.blob_versioned_hashes.clone().unwrap_or_default(),
                max_fee_per_blob_gas: require(tx.max_fee_per_blob_gas, "maxFeePerBlobGas", kind)?,
                input,
            };
            let transaction = TxEip4844Variant::TxEip4844(transaction);
            TxEnvelope::Eip4844(Signed::new_unchecked(transaction, signature, hash))
        }
        _ => {
            let transaction = TxEip7702 {
                chain_id: chain_id()?,
                nonce,
                gas_limit,
                max_fee_per_gas: price(tx.max_fee_per_gas, "maxFeePerGas")?,
                max_priority_fee_per_gas: require(
                    tx.max_priority_fee_per_gas,
                    "maxPriorityFeePerGas",
                    kind,
                )?,
                to: receiver()?,
                value,
                access_list,
                authorization_list: tx.authorization_list.clone().unwrap_or_default(),
                input,
            };
            Signed::new_unchecked(transaction, signature, hash).into()
        }
    }))
}

/// The signature, and the chain of a legacy transaction (EIP-155), if any.
pub(super) fn signature(tx: &RawTransaction) -> Result<(Signature, Option<u64>), String> {
    let nested = tx.signature.as_deref();
    let part = |own: Option<U256>, nested: Option<U256>, field: &str| {
        own.or(nested)
            .ok_or_else(|| format!("has an incomplete signature: {field} is missing"))
    };
    let r = part(tx.r, nested.and_then(|nested| nested.r), "r")?;
    let s = part(tx.s, nested.and_then(|nested| nested.s), "s")?;
    let typed = tx.kind() != 0;
    let own = (tx.y_parity.map(u128::from), tx.v);
    let nested = nested.map_or((None, None), |nested| {
        (nested.y_parity.map(u128::from), nested.v)
    });
    let v = if typed {
        own.0.or(own.1).or(nested.0).or(nested.1)
    } else {
        own.1.or(nested.1).or(own.0).or(nested.0)
    };
    let v = v.ok_or("has an incomplete signature: v and yParity are missing")?;
    let (odd, signed_for) = match v {
        // A parity does not show the chain of a legacy transaction; `chainId` does.
        0 | 1 if typed => (v == 1, None),
        0 | 1 => (v == 1, tx.chain_id),
        // Typed transactions have a chain field; some nodes still send an EIP-155 `v`.
        27 | 28 => (v == 28, None),
        35.. if typed => ((v - 35) % 2 == 1, None),
        35.. => {
            let chain_id = u64::try_from((v - 35) / 2).map_err(|_| {
                format!("has the signature value v = {v}, which belongs to no chain")
            })?;
            ((v - 35) % 2 == 1, Some(chain_id))
        }
        _ => {
            return Err(format!(
                "has the signature value v = {v}, which its type does not allow"
            ));
        }
    };
    Ok((Signature::new(r, s, odd), signed_for))
}

/// Appends an OP-stack deposit (its specification, "Deposited transaction type"); `None` if a deposit-only field is
/// missing.
pub(super) fn deposit(tx: &RawTransaction, out: &mut Vec<u8>) -> Option<()> {
    let source_hash = tx.source_hash.filter(|_| tx.kind() == DEPOSIT)?;
    let to = tx.to.map_or(TxKind::Create, TxKind::Call);
    let (mint, value) = (tx.mint.unwrap_or_default(), tx.value.unwrap_or_default());
    let system = tx.is_system_tx.unwrap_or(false);
    let fields: [&dyn Encodable; 8] = [
        &source_hash,
        &tx.from,
        &to,
        &mint,
        &value,
        &tx.gas,
        &system,
        tx.input(),
    ];
    out.put_u8(DEPOSIT);
    list(fields.iter().map(|field| field.length()).sum()).encode(out);
    for field in fields {
        field.encode(out);
    }
    Some(())
}

/// Appends a receipt of a transaction of `kind`, with its bloom. Fails without status and root.
pub(super) fn receipt(
    raw: &RawReceipt,
    kind: u8,
    bloom: &Bloom,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    // See `receipt_outcome` for receipts with both.
    let outcome: &dyn Encodable = match (&raw.status, &raw.root) {
        (Some(status), _) => status,
        (None, Some(root)) => root,
        (None, None) => return Err("has neither status nor root".to_owned()),
    };
    let kind = raw.ty.unwrap_or(kind);
    // Since the Canyon fork of OP-stack chains the root covers these as well.
    let versioned = (kind == DEPOSIT)
        .then(|| raw.deposit_nonce.zip(raw.deposit_receipt_version))
        .flatten();
    // Since Celo moved to the OP stack, the root of CIP-64 receipts covers this.
    let base_fee = raw.base_fee.filter(|_| kind == CIP64);
    let logs: usize = raw.logs.iter().map(log_length).sum();
    let payload = outcome.length()
        + raw.cumulative_gas_used.length()
        + bloom.length()
        + list(logs).length()
        + logs
        + versioned.map_or(0, |(nonce, version)| nonce.length() + version.length())
        + base_fee.map_or(0, |fee| fee.length());
    if kind != 0 {
        out.put_u8(kind);
    }
    list(payload).encode(out);
    outcome.encode(out);
    raw.cumulative_gas_used.encode(out);
    bloom.encode(out);
    list(logs).encode(out);
    for log in &raw.logs {
        list(log_payload(log)).encode(out);
        log.address.encode(out);
        list(log.topics.len() * TOPIC).encode(out);
        for topic in &log.topics {
            topic.encode(out);
        }
        log.data.encode(out);
    }
    if let Some((nonce, version)) = versioned {
        nonce.encode(out);
        version.encode(out);
    }
    if let Some(fee) = base_fee {
        fee.encode(out);
    }
    Ok(())
}

/// Bytes of an encoded topic.
const TOPIC: usize = 33;

fn log_payload(log: &RawLog) -> usize {
    let topics = log.topics.len() * TOPIC;
    log.address.length() + list(topics).length() + topics + log.data.length()
}

fn log_length(log: &RawLog) -> usize {
    let payload = log_payload(log);
    list(payload).length() + payload
}

/// Appends a typed transaction (EIP-2718): its type, and the list of its fields.
pub(super) fn typed_transaction(kind: u8, fields: &[&dyn Encodable], out: &mut Vec<u8>) {
    out.put_u8(kind);
    list(fields.iter().map(|field| field.length()).sum()).encode(out);
    for field in fields {
        field.encode(out);
    }
}

fn list(payload_length: usize) -> RlpHeader {
    RlpHeader {
        list: true,
        payload_length,
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "deposit_tests.rs"]
mod deposits;
