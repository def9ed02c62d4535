//! The columns of a block's rows, in the order in which they are loaded.

use super::copy::{OutOfRange, Rows, Table};
use chaincast_model::{BlockHeader, IndexedBlock, IndexedLog, IndexedTransaction, Transfer};

pub(super) const BLOCKS: Table = Table {
    name: "blocks",
    columns: &[
        "chain_id",
        "number",
        "hash",
        "parent_hash",
        "timestamp",
        "miner",
        "gas_used",
        "gas_limit",
        "base_fee_per_gas",
        "difficulty",
        "size",
        "state_root",
        "transactions_root",
        "receipts_root",
        "extra_data",
        "mix_hash",
        "nonce",
        "blob_gas_used",
        "excess_blob_gas",
        "slot_number",
        "ommers_hash",
        "logs_bloom",
        "withdrawals_root",
        "parent_beacon_block_root",
        "requests_hash",
        "block_access_list_hash",
        "withdrawals",
        "size_proved",
        "transaction_count",
        "log_count",
    ],
};

pub(super) const TRANSACTIONS: Table = Table {
    name: "transactions",
    columns: &[
        "chain_id",
        "block_number",
        "transaction_index",
        "hash",
        "from_address",
        "to_address",
        "contract_address",
        "value",
        "nonce",
        "input",
        "type",
        "gas_limit",
        "gas_price",
        "max_fee_per_gas",
        "max_priority_fee_per_gas",
        "status",
        "gas_used",
        "cumulative_gas_used",
        "effective_gas_price",
        "access_list",
        "authorization_list",
        "blob_versioned_hashes",
        "max_fee_per_blob_gas",
        "blob_gas_price",
    ],
};

pub(super) const LOGS: Table = Table {
    name: "logs",
    columns: &[
        "chain_id",
        "block_number",
        "log_index",
        "transaction_index",
        "address",
        "topic0",
        "topic1",
        "topic2",
        "topic3",
        "data",
        "transaction_hash",
    ],
};

pub(super) const TRANSFERS: Table = Table {
    name: "transfers",
    columns: &[
        "chain_id",
        "block_number",
        "log_index",
        "position",
        "transaction_index",
        "token_address",
        "from_address",
        "to_address",
        "amount",
        "standard",
        "token_id",
        "transaction_hash",
    ],
};

/// A block's chain and number: the first columns of each of its rows.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) chain_id: i64,
    pub(super) number: i64,
}

pub(super) fn block(rows: &mut Rows, place: Place, block: &IndexedBlock) -> Result<(), OutOfRange> {
    let header: &BlockHeader = &block.header;
    rows.begin(&BLOCKS);
    rows.bigint(place.chain_id);
    rows.bigint(place.number);
    rows.fixed(&header.hash);
    rows.fixed(&header.parent_hash);
    rows.natural("timestamp", header.timestamp)?;
    rows.fixed_or_null(header.miner.map(|miner| miner.0).as_deref());
    rows.natural("gas used", header.gas_used)?;
    rows.numeric_u64(header.gas_limit);
    match header.base_fee_per_gas {
        Some(fee) => rows.numeric_u64(fee),
        None => rows.null(),
    }
    rows.numeric_u256(header.difficulty);
    rows.natural_or_null("size", header.size)?;
    for root in [
        header.state_root,
        header.transactions_root,
        header.receipts_root,
    ] {
        rows.fixed_or_null(root.as_deref());
    }
    rows.bytea("length of extra data", &header.extra_data)?;
    rows.fixed_or_null(header.mix_hash.as_deref());
    rows.fixed_or_null(header.nonce.as_deref());
    rows.natural_or_null("blob gas used", header.blob_gas_used)?;
    rows.natural_or_null("excess blob gas", header.excess_blob_gas)?;
    rows.natural_or_null("slot number", header.slot_number)?;
    rows.fixed_or_null(header.ommers_hash.as_deref());
    rows.fixed_or_null(header.logs_bloom.map(|bloom| bloom.0).as_deref());
    for hash in [
        header.withdrawals_root,
        header.parent_beacon_block_root,
        header.requests_hash,
        header.block_access_list_hash,
    ] {
        rows.fixed_or_null(hash.as_deref());
    }
    rows.rlp_or_null("length of withdrawals", block.withdrawals.as_ref())?;
    rows.boolean(header.size_proved);
    rows.integer("number of transactions", block.transaction_count.into())?;
    rows.integer("number of logs", block.logs.len() as u64)
}

pub(super) fn transaction(
    rows: &mut Rows,
    place: Place,
    transaction: &IndexedTransaction,
) -> Result<(), OutOfRange> {
    rows.begin(&TRANSACTIONS);
    rows.bigint(place.chain_id);
    rows.bigint(place.number);
    rows.integer("index of a transaction", transaction.index.into())?;
    rows.fixed(&transaction.hash);
    rows.fixed(&transaction.from);
    rows.fixed_or_null(transaction.to.as_ref().map(|to| &***to));
    rows.fixed_or_null(
        transaction
            .contract_address
            .as_ref()
            .map(|address| &***address),
    );
    rows.numeric_u256(transaction.value);
    rows.numeric_u64(transaction.nonce);
    rows.bytea("length of a transaction's input", &transaction.input)?;
    rows.smallint(transaction.transaction_type.into());
    rows.numeric_u64(transaction.gas_limit);
    rows.numeric_u128_or_null(transaction.gas_price);
    rows.numeric_u128_or_null(transaction.max_fee_per_gas);
    rows.numeric_u128_or_null(transaction.max_priority_fee_per_gas);
    match transaction.success {
        Some(success) => rows.smallint(success.into()),
        None => rows.null(),
    }
    rows.natural("gas used by a transaction", transaction.gas_used)?;
    rows.natural("cumulative gas used", transaction.cumulative_gas_used)?;
    rows.numeric_u128(transaction.effective_gas_price);
    rows.rlp_or_null("length of an access list", transaction.access_list.as_ref())?;
    rows.rlp_or_null(
        "length of an authorization list",
        transaction.authorization_list.as_ref(),
    )?;
    match transaction.blob_hash_bytes() {
        Some(hashes) => rows.bytea("length of blob hashes", &hashes)?,
        None => rows.null(),
    }
    rows.numeric_u128_or_null(transaction.max_fee_per_blob_gas);
    rows.numeric_u128_or_null(transaction.blob_gas_price);
    Ok(())
}

pub(super) fn log(rows: &mut Rows, place: Place, log: &IndexedLog) -> Result<(), OutOfRange> {
    const TOPICS: usize = 4;
    if log.topics.len() > TOPICS {
        return Err(OutOfRange {
            field: "number of a log's topics",
            value: log.topics.len() as u64,
            most: TOPICS as u64,
        });
    }
    rows.begin(&LOGS);
    rows.bigint(place.chain_id);
    rows.bigint(place.number);
    rows.integer("index of a log", log.index.into())?;
    rows.integer("transaction index of a log", log.transaction_index.into())?;
    rows.fixed(&log.address);
    for topic in 0..TOPICS {
        rows.fixed_or_null(log.topics.get(topic).map(|topic| &**topic));
    }
    rows.bytea("length of a log's data", &log.data)?;
    rows.fixed_or_null(log.transaction_hash.as_deref());
    Ok(())
}

pub(super) fn transfer(
    rows: &mut Rows,
    place: Place,
    transfer: &Transfer,
) -> Result<(), OutOfRange> {
    rows.begin(&TRANSFERS);
    rows.bigint(place.chain_id);
    rows.bigint(place.number);
    rows.integer("log index of a transfer", transfer.log_index.into())?;
    rows.integer("position of a transfer", transfer.position.into())?;
    rows.integer(
        "transaction index of a transfer",
        transfer.transaction_index.into(),
    )?;
    rows.fixed_or_null(transfer.token.as_ref().map(|token| &***token));
    rows.fixed(&transfer.from);
    rows.fixed(&transfer.to);
    rows.numeric_u256(transfer.amount);
    rows.smallint(transfer.standard.number());
    rows.numeric_u256_or_null(transfer.token_id);
    rows.fixed_or_null(transfer.transaction_hash.as_deref());
    Ok(())
}
