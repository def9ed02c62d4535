//! From a node's answer to the rows that are stored. Pure.

use alloy::{consensus::EMPTY_ROOT_HASH, eips::eip4895::Withdrawal, primitives::U256};

use super::{
    ChecksConfig, RawBlock, RawHeader, celo,
    derived::{contract_of, effective_gas_price},
    encode::DEPOSIT,
    fixed,
    header::is_aura,
    size,
    transfers::transfers_in,
};
use crate::model::{BlockHeader, IndexedBlock, IndexedLog, IndexedTransaction};

/// Logs of a block beyond which an index would not fit its column.
const MAX_LOGS: usize = i32::MAX as usize;

/// The rows of a block whose receipts belong to its transactions one to one, and that passed these checks.
pub fn decode(block: RawBlock, checks: &ChecksConfig) -> Result<IndexedBlock, String> {
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
        .then(|| size::of(&block, withdrawals.as_deref()))
        .flatten();
    let mut header = block.header;
    header.size = computed.or(header.size);
    let size_proved = computed.is_some() && checks.transactions_root;
    let mut transactions = Vec::with_capacity(block.transactions.len());
    let mut logs = Vec::with_capacity(count);
    for (index, (sent, receipt)) in block
        .transactions
        .into_iter()
        .zip(block.receipts)
        .enumerate()
    {
        let index = u32::try_from(index).map_err(|_| "too many transactions".to_owned())?;
        let kind = sent.kind();
        let own = fixed::is_chains_own(&sent);
        let free = own && fixed::is_free(kind);
        let dynamic = sent.is_dynamic() && !free;
        let base_fee = celo::base_fee(&sent, &receipt, header.base_fee_per_gas);
        let price = effective_gas_price(&sent, base_fee);
        transactions.push(IndexedTransaction {
            index,
            hash: sent.hash,
            from: sent.from,
            to: sent.to,
            contract_address: contract_of(&sent, &receipt, checks),
            value: sent.value.unwrap_or_default(),
            // Of a deposit the receipts root is over it, and nothing is over what stands in the transaction.
            nonce: match kind == DEPOSIT && receipt.deposit_receipt_version.is_some() {
                true => receipt.deposit_nonce.unwrap_or(sent.nonce),
                false => sent.nonce,
            },
            transaction_type: kind,
            gas_limit: sent.gas,
            gas_price: match free {
                true => Some(0),
                false => sent.gas_price.filter(|_| !dynamic).and_then(narrow),
            },
            max_fee_per_gas: sent.max_fee_per_gas.filter(|_| dynamic).and_then(narrow),
            max_priority_fee_per_gas: sent.max_priority_fee_per_gas.filter(|_| dynamic && !own),
            access_list: match kind {
                0 => None,
                1..=4 => Some(sent.access_list.unwrap_or_default()),
                _ => sent.access_list.filter(|_| !own),
            },
            authorization_list: (kind == 4).then(|| sent.authorization_list.unwrap_or_default()),
            blob_versioned_hashes: (kind == 3)
                .then(|| sent.blob_versioned_hashes.unwrap_or_default()),
            max_fee_per_blob_gas: sent.max_fee_per_blob_gas.filter(|_| kind == 3),
            blob_gas_price: receipt.blob_gas_price.filter(|_| kind == 3),
            input: sent.input.or(sent.data).unwrap_or_default(),
            success: receipt.status.map(|status| status != 0),
            gas_used: receipt.gas_used,
            cumulative_gas_used: receipt.cumulative_gas_used,
            // Nodes of old left it out.
            effective_gas_price: match free && checks.gas_price() {
                true => 0,
                false => receipt.effective_gas_price.or(price).unwrap_or(0),
            },
        });
        for log in receipt.logs {
            logs.push(IndexedLog {
                // Its position is what a log's index means; some nodes count within the transaction.
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

/// The withdrawals that a header's root is over. An OP-stack chain has the root of something else in its place, and a node
/// may leave them out: then they are not known.
pub(super) fn withdrawals_of<T>(header: &RawHeader<T>) -> Option<Vec<Withdrawal>> {
    let root = header.withdrawals_root?;
    let listed = header.withdrawals.clone().unwrap_or_default();
    (!listed.is_empty() || root == EMPTY_ROOT_HASH).then_some(listed)
}

/// Whether the numbers of a header fit their columns. The checks prove most of them; where those are off, or a chain's rules
/// allow for more, absurd ones are the node's fault and must not end the writer. The size alone is left out instead: it
/// is never more than the node's word here.
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
                "of block {} {}, {field} is {value}, which no column holds",
                header.number, header.hash
            ));
        }
    }
    Ok(())
}

/// The same of a whole block.
fn fits(block: &RawBlock) -> Result<(), String> {
    let header = &block.header;
    header_fits(header)?;
    let of_receipts = block.receipts.iter().flat_map(|receipt| {
        [
            ("gasUsed of a receipt", Some(receipt.gas_used)),
            ("cumulativeGasUsed", Some(receipt.cumulative_gas_used)),
        ]
    });
    all_fit(header, of_receipts)?;
    for (index, sent) in block.transactions.iter().enumerate() {
        let wide = [sent.gas_price, sent.max_fee_per_gas].into_iter().flatten();
        let wide = wide.max().filter(|&price| price > U256::from(u128::MAX));
        // Nitro bounds no price of its own types, and who sends one from L1 chooses it: left out instead.
        if let Some(price) = wide.filter(|_| !fixed::is_chains_own(sent)) {
            return Err(format!(
                "of block {} {}, a price of transaction {index} is {price}, which no column holds",
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
            "of block {} {}, a log has {} topics, above 4",
            header.number,
            header.hash,
            log.topics.len()
        ));
    }
    Ok(())
}

/// What is stored of a header.
pub(super) fn header_of<T>(header: RawHeader<T>) -> BlockHeader {
    // Nothing is over what stands there then.
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
