//! From a node's answer to the rows that are stored. Pure.

use alloy::{
    consensus::{Eip658Value, Transaction as _, Typed2718},
    network::AnyTxEnvelope,
    primitives::U64,
};

use super::{RawBlock, transfers::transfers_in};
use crate::model::{BlockHeader, IndexedBlock, IndexedLog, IndexedTransaction, U256};

/// Logs of a block beyond which an index would not fit its column.
const MAX_LOGS: usize = i32::MAX as usize;

/// The rows of a block whose receipts belong to its transactions one to one.
pub fn decode(block: &RawBlock) -> Result<IndexedBlock, String> {
    let mut transactions = Vec::with_capacity(block.transactions.len());
    let mut logs = Vec::new();
    for (index, (sent, receipt)) in block.transactions.iter().zip(&block.receipts).enumerate() {
        let index = u32::try_from(index).map_err(|_| "too many transactions".to_owned())?;
        let envelope: &AnyTxEnvelope = sent.as_ref();
        unknown_is_whole(envelope, index)?;
        let dynamic = envelope.is_dynamic_fee();
        let outcome = &receipt.0.inner;
        transactions.push(IndexedTransaction {
            index,
            hash: outcome.transaction_hash,
            from: sent.0.inner.inner.signer(),
            to: envelope.to(),
            contract_address: outcome.contract_address,
            value: envelope.value(),
            nonce: envelope.nonce(),
            input: envelope.input().clone(),
            transaction_type: envelope.ty(),
            gas_limit: envelope.gas_limit(),
            gas_price: if dynamic { None } else { envelope.gas_price() },
            max_fee_per_gas: dynamic.then(|| envelope.max_fee_per_gas()),
            max_priority_fee_per_gas: if dynamic {
                envelope.max_priority_fee_per_gas()
            } else {
                None
            },
            success: match outcome.inner.inner.receipt.status {
                Eip658Value::Eip658(success) => Some(success),
                Eip658Value::PostState(_) => None,
            },
            gas_used: outcome.gas_used,
            cumulative_gas_used: receipt.cumulative_gas_used(),
            effective_gas_price: outcome.effective_gas_price,
        });
        for log in receipt.logs() {
            if logs.len() >= MAX_LOGS {
                return Err("too many logs".to_owned());
            }
            logs.push(IndexedLog {
                // Its position is what a log's index means; some nodes count within the transaction.
                index: logs.len() as u32,
                transaction_index: index,
                transaction_hash: None,
                address: log.inner.address,
                topics: log.inner.data.topics().to_vec(),
                data: log.inner.data.data.clone(),
            });
        }
    }
    Ok(IndexedBlock {
        header: header(block)?,
        transaction_count: transactions.len() as u32,
        transfers: transfers_in(&logs),
        transactions,
        logs,
    })
}

fn header(block: &RawBlock) -> Result<BlockHeader, String> {
    let from = &block.header.inner;
    let size = match block.header.size {
        Some(size) => Some(u64::try_from(size).map_err(|_| format!("size {size} is absurd"))?),
        None => None,
    };
    Ok(BlockHeader {
        number: from.number,
        hash: block.header.hash,
        parent_hash: from.parent_hash,
        timestamp: from.timestamp,
        miner: from.beneficiary,
        gas_used: from.gas_used,
        gas_limit: from.gas_limit,
        base_fee_per_gas: from.base_fee_per_gas,
        difficulty: from.difficulty,
        size,
        state_root: from.state_root,
        transactions_root: from.transactions_root,
        receipts_root: from.receipts_root,
        extra_data: from.extra_data.clone(),
        mix_hash: from.mix_hash,
        nonce: from.nonce,
        blob_gas_used: from.blob_gas_used,
        excess_blob_gas: from.excess_blob_gas,
    })
}

/// A transaction type that alloy does not know is read field by field, with zero for what cannot be read: refuse
/// that instead of storing a zero nobody sent.
fn unknown_is_whole(envelope: &AnyTxEnvelope, index: u32) -> Result<(), String> {
    let AnyTxEnvelope::Unknown(unknown) = envelope else {
        return Ok(());
    };
    let fields = &unknown.inner.fields;
    for field in ["nonce", "gas"] {
        if !matches!(fields.get_deserialized::<U64>(field), Some(Ok(_))) {
            return Err(format!("transaction {index} has no readable {field}"));
        }
    }
    // System transactions of some chains carry no value; when one is given it must be readable.
    if matches!(fields.get_deserialized::<U256>("value"), Some(Err(_))) {
        return Err(format!("transaction {index} has no readable value"));
    }
    Ok(())
}
