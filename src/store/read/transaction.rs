//! Transactions with their receipts, and logs.

use sqlx::postgres::PgRow;

use super::{
    super::{Store, StoreError},
    row::{Reader, bigint},
};
use crate::model::{Address, B256, ChainId};

/// A transaction and what its receipt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    pub hash: B256,
    pub block_number: u64,
    pub block_hash: B256,
    /// The header's timestamp, in seconds.
    pub block_timestamp: i64,
    pub transaction_index: u32,
    pub from: Address,
    pub to: Option<Address>,
    /// Of the contract that it created.
    pub contract_address: Option<Address>,
    pub value: String,
    pub nonce: String,
    /// The type of EIP-2718; 0 for a legacy one.
    pub kind: u32,
    pub gas_limit: u64,
    pub gas_price: Option<String>,
    pub max_fee_per_gas: Option<String>,
    pub max_priority_fee_per_gas: Option<String>,
    /// `None` before Byzantium, when receipts had no status.
    pub succeeded: Option<bool>,
    pub gas_used: u64,
    pub cumulative_gas_used: u64,
    pub effective_gas_price: String,
    /// How many blocks of the index hold it or stand on it, 1 for the head.
    pub confirmations: u64,
    pub finalized: bool,
}

/// A transaction with all that it carried and emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDetail {
    pub transaction: TransactionRow,
    pub input: Vec<u8>,
    /// In order of emission.
    pub logs: Vec<LogRow>,
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Position in the block.
    pub log_index: u32,
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Vec<u8>,
}

/// A transaction's place in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionKey {
    pub block_number: u64,
    pub transaction_index: u32,
}

const COLUMNS: &str = "t.hash, t.block_number, b.hash AS block_hash, b.timestamp, t.transaction_index,
    t.from_address, t.to_address, t.contract_address, t.value::text AS value, t.nonce::text AS nonce, t.type,
    t.gas_limit, t.gas_price::text AS gas_price, t.max_fee_per_gas::text AS max_fee_per_gas,
    t.max_priority_fee_per_gas::text AS max_priority_fee_per_gas, t.status, t.gas_used, t.cumulative_gas_used,
    t.effective_gas_price::text AS effective_gas_price,
    greatest(coalesce(c.head_number, t.block_number) - t.block_number + 1, 1) AS confirmations,
    coalesce(t.block_number <= c.finalized_number, false) AS finalized";

const FROM: &str = "FROM transactions t
    JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
    JOIN chains c ON c.chain_id = t.chain_id";

impl Store {
    /// The canonical transaction of that hash.
    pub async fn read_transaction(
        &self,
        chain: ChainId,
        hash: B256,
    ) -> Result<Option<TransactionDetail>, StoreError> {
        // One snapshot: a reorg between the two statements would pair a transaction with another's logs.
        let mut snapshot = self
            .pool
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
        let sql = format!("SELECT {COLUMNS}, t.input {FROM} WHERE t.chain_id = $1 AND t.hash = $2");
        let found = sqlx::query(&sql)
            .bind(bigint(chain))
            .bind(hash.as_slice())
            .fetch_optional(&mut *snapshot)
            .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        let transaction = transaction(&row)?;
        let logs = sqlx::query(
            "SELECT log_index, address, topic0, topic1, topic2, topic3, data FROM logs
             WHERE chain_id = $1 AND block_number = $2 AND transaction_index = $3 ORDER BY log_index",
        )
        .bind(bigint(chain))
        .bind(bigint(transaction.block_number))
        .bind(i64::from(transaction.transaction_index))
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        Ok(Some(TransactionDetail {
            input: Reader::new(&row, "transaction").get("input")?,
            logs: logs.iter().map(log).collect::<Result<_, _>>()?,
            transaction,
        }))
    }

    /// Transactions of the canonical block `hash`, in its order, from behind index `after`, at most `limit`.
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
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(transaction).collect()
    }

    /// Transactions from or to an address, and the one that created it, newest first, from behind `before`, at most `limit`.
    pub async fn read_address_transactions(
        &self,
        chain: ChainId,
        address: Address,
        before: Option<TransactionKey>,
        limit: u32,
    ) -> Result<Vec<TransactionRow>, StoreError> {
        // Each side reads its index backwards and stops at the limit; UNION folds what an address sent to itself.
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
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(transaction).collect()
    }
}

fn transaction(row: &PgRow) -> Result<TransactionRow, StoreError> {
    let row = Reader::new(row, "transaction");
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
        gas_limit: row.natural("gas_limit")?,
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

fn log(row: &PgRow) -> Result<LogRow, StoreError> {
    let row = Reader::new(row, "log");
    let mut topics = Vec::with_capacity(4);
    for column in ["topic0", "topic1", "topic2", "topic3"] {
        topics.extend(row.hash_or_null(column)?);
    }
    Ok(LogRow {
        log_index: row.index("log_index")?,
        address: row.address("address")?,
        topics,
        data: row.get("data")?,
    })
}
