//! Converts a node's answer to stored rows. Pure.

use alloy::{consensus::EMPTY_ROOT_HASH, eips::eip4895::Withdrawal, primitives::U256};

use super::{
    ChecksConfig, RawBlock, RawHeader, block_size, celo,
    derived_fields::{created_contract, effective_gas_price},
    encode::DEPOSIT,
    fixed_fields,
    header::is_aura,
    transfers::transfers_in,
};
use chaincast_model::{BlockHeader, IndexedBlock, IndexedLog, IndexedTransaction};

/// Most logs of a block: a larger index does not fit its column.
const MAX_LOGS: usize = i32::MAX as usize;

/// The rows of a block that has one receipt per transaction and passed these checks.
pub(super) fn decode(block: RawBlock, checks: &ChecksConfig) -> Result<IndexedBlock, String> {
    let count = block.receipts.iter().map(|receipt| receipt.logs.len());
    let count: usize = count.sum();
    if count > MAX_LOGS {
        return Err("too many logs".to_owned());
    }
    fits(&block)?;
    let narrow = |price: U256| u128::try_from(price).ok();
    let withdrawals = withdrawals_of(&block.header);
    let computed = checks
        .block_hash
        .then(|| block_size::of(&block, withdrawals.as_deref()))
        .flatten();
    let mut header = block.header;
    header.size = computed.or(header.size);
    let size_proved = computed.is_some() && checks.transactions_root;
    let mut transactions = Vec::with_capacity(block.transactions.len());
    let mut logs = Vec::with_capacity(count);
    for (index, (tx, receipt)) in block
        .transactions
        .into_iter()
        .zip(block.receipts)
        .enumerate()
    {
        let index = u32::try_from(index).map_err(|_| "too many transactions".to_owned())?;
        let kind = tx.kind();
        let is_system = fixed_fields::is_system_transaction(&tx);
        let is_free = is_system && fixed_fields::pays_no_gas(kind);
        let is_dynamic_fee = tx.is_dynamic() && !is_free;
        let base_fee = celo::base_fee(&tx, &receipt, header.base_fee_per_gas);
        let price = effective_gas_price(&tx, base_fee);
        transactions.push(IndexedTransaction {
            index,
            hash: tx.hash,
            from: tx.from,
            to: tx.to,
            contract_address: created_contract(&tx, &receipt, checks),
            value: tx.value.unwrap_or_default(),
            // For a deposit the receipts root covers this nonce; no root covers that of the transaction.
            nonce: match kind == DEPOSIT && receipt.deposit_receipt_version.is_some() {
                true => receipt.deposit_nonce.unwrap_or(tx.nonce),
                false => tx.nonce,
            },
            transaction_type: kind,
            gas_limit: tx.gas,
            gas_price: match is_free {
                true => Some(0),
                false => tx.gas_price.filter(|_| !is_dynamic_fee).and_then(narrow),
            },
            max_fee_per_gas: tx
                .max_fee_per_gas
                .filter(|_| is_dynamic_fee)
                .and_then(narrow),
            max_priority_fee_per_gas: tx
                .max_priority_fee_per_gas
                .filter(|_| is_dynamic_fee && !is_system),
            access_list: match kind {
                0 => None,
                1..=4 => Some(tx.access_list.unwrap_or_default()),
                _ => tx.access_list.filter(|_| !is_system),
            },
            authorization_list: (kind == 4).then(|| tx.authorization_list.unwrap_or_default()),
            blob_versioned_hashes: (kind == 3)
                .then(|| tx.blob_versioned_hashes.unwrap_or_default()),
            max_fee_per_blob_gas: tx.max_fee_per_blob_gas.filter(|_| kind == 3),
            blob_gas_price: receipt.blob_gas_price.filter(|_| kind == 3),
            input: tx.input.or(tx.data).unwrap_or_default(),
            success: receipt.status.map(|status| status != 0),
            gas_used: receipt.gas_used,
            cumulative_gas_used: receipt.cumulative_gas_used,
            // Old nodes omit it.
            effective_gas_price: match is_free && checks.gas_price() {
                true => 0,
                false => receipt.effective_gas_price.or(price).unwrap_or(0),
            },
        });
        for log in receipt.logs {
            logs.push(IndexedLog {
                // The index of a log is its position; some nodes count per transaction.
                index: logs.len() as u32,
                transaction_index: index,
                transaction_hash: None,
                address: log.address,
                topics: log.topics,
                data: log.data,
            });
        }
    }
    Ok(IndexedBlock {
        header: BlockHeader {
            size_proved,
            ..header_of(header)
        },
        withdrawals,
        transaction_count: transactions.len() as u32,
        transfers: transfers_in(&logs),
        transactions,
        logs,
    })
}

/// The withdrawals of the withdrawals root. An OP-stack chain has another root there, and a node may omit them: then
/// they are unknown.
pub(super) fn withdrawals_of<T>(header: &RawHeader<T>) -> Option<Vec<Withdrawal>> {
    let root = header.withdrawals_root?;
    let listed = header.withdrawals.clone().unwrap_or_default();
    (!listed.is_empty() || root == EMPTY_ROOT_HASH).then_some(listed)
}

/// Checks that the numbers of a header fit their columns. The checks prove most of them; otherwise absurd numbers are a
/// node error and must not end the writer. An absurd size is dropped instead: it is never more than a claim here.
pub(super) fn header_fits<T>(header: &RawHeader<T>) -> Result<(), String> {
    let numbers = [
        ("number", Some(header.number)),
        ("timestamp", Some(header.timestamp)),
        ("gasUsed", Some(header.gas_used)),
        ("blobGasUsed", header.blob_gas_used),
        ("excessBlobGas", header.excess_blob_gas),
        ("slotNumber", header.slot_number),
    ];
    all_fit(header, numbers)
}

fn all_fit<T>(
    header: &RawHeader<T>,
    numbers: impl IntoIterator<Item = (&'static str, Option<u64>)>,
) -> Result<(), String> {
    for (field, value) in numbers {
        if let Some(value) = value.filter(|&value| i64::try_from(value).is_err()) {
            return Err(format!(
                "block {} {}: {field} is {value}, which exceeds its column",
                header.number, header.hash
            ));
        }
    }
    Ok(())
}

/// The same check for a whole block.
fn fits(block: &RawBlock) -> Result<(), String> {
    let header = &block.header;
    header_fits(header)?;
    let receipt_gas = block.receipts.iter().flat_map(|receipt| {
        [
            ("gasUsed of a receipt", Some(receipt.gas_used)),
            ("cumulativeGasUsed", Some(receipt.cumulative_gas_used)),
        ]
    });
    all_fit(header, receipt_gas)?;
    for (index, tx) in block.transactions.iter().enumerate() {
        let wide = [tx.gas_price, tx.max_fee_per_gas].into_iter().flatten();
        let wide = wide.max().filter(|&price| price > U256::from(u128::MAX));
        // Nitro does not bound the prices of its own types, which L1 senders choose: dropped instead.
        if let Some(price) = wide.filter(|_| !fixed_fields::is_system_transaction(tx)) {
            return Err(format!(
                "block {} {}: a price of transaction {index} is {price}, which exceeds its column",
                header.number, header.hash
            ));
        }
    }
    if let Some(log) = block
        .receipts
        .iter()
        .flat_map(|receipt| &receipt.logs)
        .find(|log| log.topics.len() > 4)
    {
        return Err(format!(
            "block {} {}: a log has {} topics, more than 4",
            header.number,
            header.hash,
            log.topics.len()
        ));
    }
    Ok(())
}

/// The stored fields of a header.
pub(super) fn header_of<T>(header: RawHeader<T>) -> BlockHeader {
    // No hash covers these fields then.
    let is_sealed = is_aura(&header);
    BlockHeader {
        number: header.number,
        hash: header.hash,
        parent_hash: header.parent_hash,
        ommers_hash: header.ommers_hash,
        timestamp: header.timestamp,
        miner: header.beneficiary,
        gas_used: header.gas_used,
        gas_limit: header.gas_limit,
        base_fee_per_gas: header.base_fee_per_gas,
        difficulty: header.difficulty.unwrap_or_default(),
        size: header.size.filter(|&size| i64::try_from(size).is_ok()),
        size_proved: false,
        state_root: header.state_root,
        transactions_root: header.transactions_root,
        receipts_root: header.receipts_root,
        logs_bloom: header.logs_bloom,
        extra_data: header.extra_data,
        mix_hash: header.mix_hash.filter(|_| !is_sealed),
        nonce: header.nonce.filter(|_| !is_sealed),
        blob_gas_used: header.blob_gas_used,
        excess_blob_gas: header.excess_blob_gas,
        withdrawals_root: header.withdrawals_root,
        parent_beacon_block_root: header.parent_beacon_block_root,
        requests_hash: header.requests_hash,
        block_access_list_hash: header.block_access_list_hash,
        slot_number: header.slot_number,
    }
}
