//! Compares the stored rows of one height with the node's block, column by column. Pure.

use alloy::{primitives::hex, rlp::encode};

use chaincast_model::IndexedBlock;
use chaincast_store::chain::{StoredRows, TABLES, TextRow};

/// One difference between the database and the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub number: u64,
    pub table: &'static str,
    /// Which row, such as `transaction_index 3`; empty for the block itself.
    pub key: String,
    /// The difference, such as `value: stored 1, node 2`.
    pub what: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            number,
            table,
            key,
            what,
        } = self;
        let space = if key.is_empty() { "" } else { " " };
        write!(f, "block {number}: {table}{space}{key}: {what}")
    }
}

/// Longest value that is printed in full, in characters.
pub(super) const MAX_PRINTED: usize = 80;

/// The differences between the stored rows of a height and the node's block, which contains only what the chain's index
/// mode stores. Transfers are decoded from the node's logs: if logs are stored as well and neither table differs, the
/// stored transfers match the stored logs.
pub(super) fn differences(stored: &StoredRows, node: &IndexedBlock) -> Vec<Difference> {
    let number = node.header.number;
    let mut found = Vec::new();
    let mut expected = rows_of(node);
    if is_from_earlier_version(stored) {
        for row in expected.iter_mut().take(2).flatten() {
            row.retain(|column, _| !ADDED_COLUMNS.contains(&column.as_str()));
        }
        // Added one version earlier than the others: a row may have only this one.
        let [blocks, ..] = &stored.tables;
        let has_slot = |row: &TextRow| row.get(SLOT).is_some_and(|value| value.is_some());
        if !blocks.iter().any(has_slot) {
            for row in &mut expected[0] {
                row.remove(SLOT);
            }
        }
    }
    for ((table, key), (stored, node)) in TABLES.into_iter().zip(stored.tables.iter().zip(expected))
    {
        compare(number, table, key, stored, &node, &mut found);
    }
    found
}

/// Columns of blocks and transactions that an earlier version did not store.
const ADDED_COLUMNS: [&str; 13] = [
    "ommers_hash",
    "logs_bloom",
    "withdrawals_root",
    "parent_beacon_block_root",
    "requests_hash",
    "block_access_list_hash",
    "withdrawals",
    "size_proved",
    "access_list",
    "authorization_list",
    "blob_versioned_hashes",
    "max_fee_per_blob_gas",
    "blob_gas_price",
];

const SLOT: &str = "slot_number";

/// Whether an earlier version stored a block. Then all added columns are null; newer versions always set some of them.
fn is_from_earlier_version(stored: &StoredRows) -> bool {
    let [blocks, transactions, ..] = &stored.tables;
    let is_null = |row: &TextRow| {
        let value = |column: &&str| row.get(*column).cloned().flatten();
        ADDED_COLUMNS.iter().all(|column| value(column).is_none())
    };
    !blocks.is_empty() && blocks.iter().chain(transactions).all(is_null)
}

/// Both sides are sorted by their keys.
fn compare(
    number: u64,
    table: &'static str,
    key: &[&str],
    stored: &[TextRow],
    node: &[TextRow],
    found: &mut Vec<Difference>,
) {
    let place = |row: &TextRow| -> Vec<i64> {
        key.iter()
            .map(|column| {
                let text = row.get(*column).cloned().flatten();
                text.and_then(|text| text.parse().ok()).unwrap_or(-1)
            })
            .collect()
    };
    let mut differs = |place: &[i64], what: String| {
        let key: Vec<String> = key
            .iter()
            .zip(place)
            .map(|(column, at)| format!("{column} {at}"))
            .collect();
        found.push(Difference {
            number,
            table,
            key: key.join(" "),
            what,
        });
    };
    let (mut ours, mut theirs) = (stored.iter().peekable(), node.iter().peekable());
    loop {
        let (our, their) = (
            ours.peek().map(|row| place(row)),
            theirs.peek().map(|row| place(row)),
        );
        match (our, their) {
            (None, None) => return,
            (Some(our), their) if their.as_ref().is_none_or(|their| our < *their) => {
                ours.next();
                differs(&our, "stored, but not on the node".to_owned());
            }
            (our, Some(their)) if our.as_ref().is_none_or(|our| their < *our) => {
                theirs.next();
                differs(&their, "missing, but on the node".to_owned());
            }
            (Some(at), _) => {
                if let (Some(our), Some(their)) = (ours.next(), theirs.next()) {
                    for (column, value) in their {
                        let kept = our.get(column).cloned().flatten();
                        if kept != *value {
                            differs(
                                &at,
                                format!(
                                    "{column}: stored {}, node {}",
                                    display(&kept),
                                    display(value)
                                ),
                            );
                        }
                    }
                }
            }
            (None, Some(_)) => return,
        }
    }
}

fn display(value: &Option<String>) -> String {
    let Some(text) = value else {
        return "null".to_owned();
    };
    let text = match text.strip_prefix("\\x") {
        Some(hex) => format!("0x{hex}"),
        None => text.clone(),
    };
    match text.chars().count() {
        0 => "empty".to_owned(),
        long if long > MAX_PRINTED => {
            let start: String = text.chars().take(MAX_PRINTED).collect();
            format!("{start}… ({long} characters)")
        }
        _ => text,
    }
}

/// The rows of a node's block, with each value in Postgres' text format.
fn rows_of(block: &IndexedBlock) -> [Vec<TextRow>; TABLES.len()] {
    let header = &block.header;
    let mut blocks = vec![row([
        ("hash", bytes(header.hash)),
        ("parent_hash", bytes(header.parent_hash)),
        ("timestamp", text(header.timestamp)),
        ("miner", header.miner.and_then(bytes)),
        ("gas_used", text(header.gas_used)),
        ("gas_limit", text(header.gas_limit)),
        ("base_fee_per_gas", header.base_fee_per_gas.and_then(text)),
        ("difficulty", text(header.difficulty)),
        ("state_root", header.state_root.and_then(bytes)),
        (
            "transactions_root",
            header.transactions_root.and_then(bytes),
        ),
        ("receipts_root", header.receipts_root.and_then(bytes)),
        ("extra_data", bytes(&header.extra_data)),
        ("mix_hash", header.mix_hash.and_then(bytes)),
        ("nonce", header.nonce.and_then(bytes)),
        ("blob_gas_used", header.blob_gas_used.and_then(text)),
        ("excess_blob_gas", header.excess_blob_gas.and_then(text)),
        ("slot_number", header.slot_number.and_then(text)),
        ("ommers_hash", header.ommers_hash.and_then(bytes)),
        ("logs_bloom", header.logs_bloom.and_then(bytes)),
        ("withdrawals_root", header.withdrawals_root.and_then(bytes)),
        (
            "parent_beacon_block_root",
            header.parent_beacon_block_root.and_then(bytes),
        ),
        ("requests_hash", header.requests_hash.and_then(bytes)),
        (
            "block_access_list_hash",
            header.block_access_list_hash.and_then(bytes),
        ),
        (
            "withdrawals",
            block.withdrawals.as_ref().map(encode).and_then(bytes),
        ),
        ("size_proved", text(header.size_proved)),
        ("transaction_count", text(block.transaction_count)),
        ("log_count", text(block.logs.len())),
    ])];
    // Not covered by the block hash, and not returned by every node.
    if let (Some(size), [block]) = (header.size, blocks.as_mut_slice()) {
        block.insert("size".to_owned(), text(size));
    }
    let transactions = block.transactions.iter().map(|sent| {
        row([
            ("transaction_index", text(sent.index)),
            ("hash", bytes(sent.hash)),
            ("from_address", bytes(sent.from)),
            ("to_address", sent.to.and_then(bytes)),
            ("contract_address", sent.contract_address.and_then(bytes)),
            ("value", text(sent.value)),
            ("nonce", text(sent.nonce)),
            ("input", bytes(&sent.input)),
            ("type", text(sent.transaction_type)),
            ("gas_limit", text(sent.gas_limit)),
            ("gas_price", sent.gas_price.and_then(text)),
            ("max_fee_per_gas", sent.max_fee_per_gas.and_then(text)),
            (
                "max_priority_fee_per_gas",
                sent.max_priority_fee_per_gas.and_then(text),
            ),
            ("status", sent.success.map(u8::from).and_then(text)),
            ("gas_used", text(sent.gas_used)),
            ("cumulative_gas_used", text(sent.cumulative_gas_used)),
            ("effective_gas_price", text(sent.effective_gas_price)),
            (
                "access_list",
                sent.access_list.as_ref().map(encode).and_then(bytes),
            ),
            (
                "authorization_list",
                sent.authorization_list.as_ref().map(encode).and_then(bytes),
            ),
            (
                "blob_versioned_hashes",
                sent.blob_hash_bytes().and_then(bytes),
            ),
            (
                "max_fee_per_blob_gas",
                sent.max_fee_per_blob_gas.and_then(text),
            ),
            ("blob_gas_price", sent.blob_gas_price.and_then(text)),
        ])
    });
    let logs = block.logs.iter().map(|log| {
        let topic = |at: usize| log.topics.get(at).and_then(bytes);
        row([
            ("log_index", text(log.index)),
            ("transaction_index", text(log.transaction_index)),
            ("transaction_hash", log.transaction_hash.and_then(bytes)),
            ("address", bytes(log.address)),
            ("topic0", topic(0)),
            ("topic1", topic(1)),
            ("topic2", topic(2)),
            ("topic3", topic(3)),
            ("data", bytes(&log.data)),
        ])
    });
    let transfers = block.transfers.iter().map(|moved| {
        row([
            ("log_index", text(moved.log_index)),
            ("position", text(moved.position)),
            ("transaction_index", text(moved.transaction_index)),
            ("transaction_hash", moved.transaction_hash.and_then(bytes)),
            ("standard", text(moved.standard.number())),
            ("token_address", moved.token.and_then(bytes)),
            ("from_address", bytes(moved.from)),
            ("to_address", bytes(moved.to)),
            ("token_id", moved.token_id.and_then(text)),
            ("amount", text(moved.amount)),
        ])
    });
    [
        blocks,
        transactions.collect(),
        logs.collect(),
        transfers.collect(),
    ]
}

fn row<const N: usize>(columns: [(&str, Option<String>); N]) -> TextRow {
    columns
        .into_iter()
        .map(|(column, value)| (column.to_owned(), value))
        .collect()
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

fn bytes(value: impl AsRef<[u8]>) -> Option<String> {
    Some(format!("\\x{}", hex::encode(value)))
}
