//! Transactions with their receipts, and logs.

use alloy::eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use sqlx::postgres::PgRow;

#[cfg(feature = "explain")]
use super::super::explain::{Known, Query};
use super::{
    super::{Store, StoreError},
    row::{RowReader, bigint},
};
use chaincast_protocol::{Address, B256, ChainId};

/// A transaction and its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    /// Keccak-256 of the transaction in its EIP-2718 encoding.
    pub hash: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// The header's timestamp, in seconds since the Unix epoch.
    pub block_timestamp: i64,
    /// Position in the block, from 0.
    pub transaction_index: u32,
    /// The sender.
    pub from: Address,
    /// `None` creates a contract.
    pub to: Option<Address>,
    /// Address of the contract that it created; `None` if it created none.
    pub contract_address: Option<Address>,
    /// In wei, decimal.
    pub value: String,
    /// As in [`IndexedTransaction::nonce`](chaincast_model::IndexedTransaction::nonce), decimal.
    pub nonce: String,
    /// EIP-2718 type; 0 for a legacy transaction.
    pub kind: u32,
    /// Gas that it may use.
    pub gas_limit: u64,
    /// In wei, decimal; `None` for transactions with a dynamic fee.
    pub gas_price: Option<String>,
    /// In wei, decimal; `None` for transactions without a dynamic fee.
    pub max_fee_per_gas: Option<String>,
    /// In wei, decimal; `None` for transactions without a dynamic fee.
    pub max_priority_fee_per_gas: Option<String>,
    /// `None` before Byzantium, when receipts had no status.
    pub succeeded: Option<bool>,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// Gas used in the block up to the end of this transaction.
    pub cumulative_gas_used: u64,
    /// The price paid for gas, in wei, decimal.
    pub effective_gas_price: String,
    /// Confirmations: 1 if its block is the head.
    pub confirmations: u64,
    /// Whether its block is at or below the chain's finalized block.
    pub finalized: bool,
}

/// A transaction with its input and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDetail {
    /// The fields that lists have too.
    pub transaction: TransactionRow,
    /// Call data, or the init code of the created contract.
    pub input: Vec<u8>,
    /// Addresses and storage slots that it declares to access (EIP-2930). `None`, as for the fields below, for types
    /// without one, and if an earlier version stored the transaction.
    pub access_list: Option<AccessList>,
    /// Type 4 only (EIP-7702).
    pub authorization_list: Option<Vec<SignedAuthorization>>,
    /// Type 3 only (EIP-4844), like the blob fee and blob price below.
    pub blob_versioned_hashes: Option<Vec<B256>>,
    /// In wei, decimal.
    pub max_fee_per_blob_gas: Option<String>,
    /// In wei, decimal, from the receipt; no root covers it.
    pub blob_gas_price: Option<String>,
    /// In order of emission.
    pub logs: Vec<LogRow>,
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Position among all logs of the block.
    pub log_index: u32,
    /// The contract that emitted it.
    pub address: Address,
    /// At most four.
    pub topics: Vec<B256>,
    /// The arguments that are not topics, as ABI-encoded by the contract.
    pub data: Vec<u8>,
}

/// A transaction's position in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionKey {
    /// Height of its block.
    pub block_number: u64,
    /// Position in the block, from 0.
    pub transaction_index: u32,
}

const COLUMNS: &str = "t.hash, t.block_number, b.hash AS block_hash, b.timestamp, t.transaction_index,
    t.from_address, t.to_address, t.contract_address, t.value::text AS value, t.nonce::text AS nonce, t.type,
    t.gas_limit::text AS gas_limit, t.gas_price::text AS gas_price, t.max_fee_per_gas::text AS max_fee_per_gas,
    t.max_priority_fee_per_gas::text AS max_priority_fee_per_gas, t.status, t.gas_used, t.cumulative_gas_used,
    t.effective_gas_price::text AS effective_gas_price,
    greatest(coalesce(c.head_number, t.block_number) - t.block_number + 1, 1) AS confirmations,
    coalesce(t.block_number <= c.finalized_number, false) AS finalized";

/// Columns that lists leave out.
const DETAIL: &str = "t.input, t.access_list, t.authorization_list, t.blob_versioned_hashes,
    t.max_fee_per_blob_gas::text AS max_fee_per_blob_gas, t.blob_gas_price::text AS blob_gas_price";

const FROM: &str = "FROM transactions t
    JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
    JOIN chains c ON c.chain_id = t.chain_id";

impl Store {
    /// The canonical transaction with this hash. If several blocks contain it, the one where it succeeded, otherwise
    /// the newest.
    pub async fn read_transaction(
        &self,
        chain: ChainId,
        hash: B256,
    ) -> Result<Option<TransactionDetail>, StoreError> {
        // One statement is one snapshot, so that a reorg cannot pair a transaction with another's logs. The logs are
        // aggregated into arrays, one per column.
        let sql = format!(
            "SELECT {COLUMNS}, {DETAIL}, l.* {FROM} CROSS JOIN LATERAL (
                 SELECT array_agg(log_index) AS log_indexes, array_agg(address) AS addresses,
                        array_agg(topic0) AS topics0, array_agg(topic1) AS topics1,
                        array_agg(topic2) AS topics2, array_agg(topic3) AS topics3, array_agg(data) AS datas
                 FROM (SELECT * FROM logs WHERE chain_id = t.chain_id AND block_number = t.block_number
                           AND transaction_index = t.transaction_index ORDER BY log_index) ordered) l
             WHERE t.chain_id = $1 AND t.hash = $2
             ORDER BY t.status DESC NULLS LAST, t.block_number DESC LIMIT 1"
        );
        let found = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(hash.as_slice())
            .fetch_optional(&self.reads)
            .await?;
        found.as_ref().map(detail).transpose()
    }

    /// Transactions of the canonical block `hash` after index `after`, in block order, at most `limit`.
    pub async fn read_block_transactions(
        &self,
        chain: ChainId,
        hash: B256,
        after: Option<u32>,
        limit: u32,
    ) -> Result<Vec<TransactionRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} {FROM} WHERE b.chain_id = $1 AND b.hash = $2 AND t.transaction_index > $3
             ORDER BY t.transaction_index LIMIT $4"
        );
        let rows = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(hash.as_slice())
            .bind(after.map_or(-1, i64::from))
            .bind(i64::from(limit))
            .fetch_all(&self.reads)
            .await?;
        rows.iter().map(transaction).collect()
    }

    /// Transactions from or to an address, and the one that created it, before `before`, newest first, at most `limit`.
    pub async fn read_address_transactions(
        &self,
        chain: ChainId,
        address: Address,
        before: Option<TransactionKey>,
        limit: u32,
    ) -> Result<Vec<TransactionRow>, StoreError> {
        // Each side reads its index backwards up to the limit; UNION removes duplicates of transactions to oneself.
        let side = |column: &str| {
            format!(
                "(SELECT block_number, transaction_index FROM transactions
                  WHERE chain_id = $1 AND {column} = $2 AND (block_number, transaction_index) < ($3, $4)
                  ORDER BY block_number DESC, transaction_index DESC LIMIT $5)"
            )
        };
        let sql = format!(
            "WITH k AS ({} UNION {} UNION {}) SELECT {COLUMNS} FROM k
             JOIN transactions t ON t.chain_id = $1 AND t.block_number = k.block_number
                                AND t.transaction_index = k.transaction_index
             JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
             JOIN chains c ON c.chain_id = t.chain_id
             ORDER BY t.block_number DESC, t.transaction_index DESC LIMIT $5",
            side("from_address"),
            side("to_address"),
            side("contract_address"),
        );
        let rows = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(address.as_slice())
            .bind(before.map_or(i64::MAX, |key| bigint(key.block_number)))
            .bind(before.map_or(i64::MAX, |key| i64::from(key.transaction_index)))
            .bind(i64::from(limit))
            .fetch_all(&self.reads)
            .await?;
        rows.iter().map(transaction).collect()
    }
}

fn transaction(row: &PgRow) -> Result<TransactionRow, StoreError> {
    let row = RowReader::new(row, "transaction");
    let kind: i16 = row.get("type")?;
    let succeeded = match row.get::<Option<i16>>("status")? {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => {
            return Err(row.corrupt("status", format!("{other} is neither 0 nor 1")));
        }
    };
    Ok(TransactionRow {
        hash: row.hash("hash")?,
        block_number: row.natural("block_number")?,
        block_hash: row.hash("block_hash")?,
        block_timestamp: row.get("timestamp")?,
        transaction_index: row.index("transaction_index")?,
        from: row.address("from_address")?,
        to: row.address_or_null("to_address")?,
        contract_address: row.address_or_null("contract_address")?,
        value: row.get("value")?,
        nonce: row.get("nonce")?,
        kind: u32::try_from(kind).map_err(|error| row.corrupt("type", error))?,
        gas_limit: row.numeric_u64("gas_limit")?,
        gas_price: row.get("gas_price")?,
        max_fee_per_gas: row.get("max_fee_per_gas")?,
        max_priority_fee_per_gas: row.get("max_priority_fee_per_gas")?,
        succeeded,
        gas_used: row.natural("gas_used")?,
        cumulative_gas_used: row.natural("cumulative_gas_used")?,
        effective_gas_price: row.get("effective_gas_price")?,
        confirmations: row.natural("confirmations")?,
        finalized: row.get("finalized")?,
    })
}

fn detail(row: &PgRow) -> Result<TransactionDetail, StoreError> {
    let more = RowReader::new(row, "transaction");
    Ok(TransactionDetail {
        input: more.get("input")?,
        access_list: more.rlp_or_null("access_list")?,
        authorization_list: more.rlp_or_null("authorization_list")?,
        blob_versioned_hashes: more
            .get::<Option<&[u8]>>("blob_versioned_hashes")?
            .map(|bytes| bytes.chunks_exact(32).map(B256::from_slice).collect()),
        max_fee_per_blob_gas: more.get("max_fee_per_blob_gas")?,
        blob_gas_price: more.get("blob_gas_price")?,
        logs: logs(row)?,
        transaction: transaction(row)?,
    })
}

/// The logs of a row with array columns; the arrays are null if there is no log.
fn logs(row: &PgRow) -> Result<Vec<LogRow>, StoreError> {
    let row = RowReader::new(row, "log");
    let indexes: Vec<i32> = row.get::<Option<_>>("log_indexes")?.unwrap_or_default();
    let mut columns = Vec::with_capacity(4);
    for column in ["topics0", "topics1", "topics2", "topics3"] {
        let topics: Vec<Option<Vec<u8>>> = row.get::<Option<_>>(column)?.unwrap_or_default();
        columns.push(topics.into_iter());
    }
    let addresses: Vec<Vec<u8>> = row.get::<Option<_>>("addresses")?.unwrap_or_default();
    let datas: Vec<Vec<u8>> = row.get::<Option<_>>("datas")?.unwrap_or_default();
    indexes
        .into_iter()
        .zip(addresses.into_iter().zip(datas))
        .map(|(log_index, (address, data))| {
            let mut topics = Vec::with_capacity(4);
            for topic in columns
                .iter_mut()
                .filter_map(|column| column.next().flatten())
            {
                topics
                    .push(B256::try_from(topic.as_slice()).map_err(|e| row.corrupt("topics", e))?);
            }
            Ok(LogRow {
                log_index: u32::try_from(log_index).map_err(|e| row.corrupt("log_index", e))?,
                address: Address::try_from(address.as_slice())
                    .map_err(|e| row.corrupt("address", e))?,
                topics,
                data,
            })
        })
        .collect()
}

#[cfg(feature = "explain")]
pub(super) fn explained<'a>(store: &'a Store, known: &'a Known) -> Vec<Query<'a>> {
    let (chain, limit) = (known.chain, known.limit);
    let one = Some(TransactionKey {
        block_number: known.number,
        transaction_index: 1,
    });
    vec![
        Query::new(
            "read_transaction",
            store.read_transaction(chain, known.transaction),
        ),
        Query::new(
            "read_block_transactions",
            store.read_block_transactions(chain, known.block, None, limit),
        ),
        Query::new(
            "read_address_transactions, busy",
            store.read_address_transactions(chain, known.busy, None, limit),
        ),
        Query::new(
            "read_address_transactions, busy, behind one",
            store.read_address_transactions(chain, known.busy, one, limit),
        ),
        Query::new(
            "read_address_transactions, quiet",
            store.read_address_transactions(chain, known.quiet, None, limit),
        ),
    ]
}
