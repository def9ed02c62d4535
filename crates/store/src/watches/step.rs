//! Effects of a chain's step on watches, read and written in the transaction of the chain's writer.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{StoreError, bigint, parse_hash};
use chaincast_protocol::{Address, B256, BlockRef, ChainId, TransactionStatus, TransactionUpdate};

/// A watched transaction included in a block.
#[derive(Debug, Clone, Copy)]
pub struct Inclusion {
    /// The transaction's hash.
    pub hash: B256,
    /// The block that includes it.
    pub block: BlockRef,
    /// Position in the block, from 0.
    pub index: u32,
    /// Status of its receipt; `None` before EIP-658.
    pub succeeded: Option<bool>,
    /// The transaction's sender.
    pub sender: Address,
    /// The transaction's nonce: a pending one of the sender with the same nonce is replaced by it.
    pub nonce: u64,
}

/// A watched address with activity in these blocks, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchedAddress {
    /// The watched address.
    pub address: Address,
    /// Blocks with a transaction or transfer from or to it, or with its creation.
    pub blocks: Vec<BlockRef>,
}

/// Locks the watches in shared mode until the end of the transaction: no watch begins or ends meanwhile. Required from
/// looking up watches until the blocks are committed. Writers of several chains hold it together.
pub async fn lock_shared(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared(1667785065, 1)")
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether there is any watch.
pub async fn has_any(connection: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM watches)")
        .fetch_one(connection)
        .await?)
}

/// One index lookup per key, however many watches exist: for a join, or `= ANY`, the planner may choose a sequential
/// scan.
pub const WATCHED_KEYS: &str =
    "SELECT key FROM (SELECT (SELECT w.key FROM watches w WHERE w.key = k) AS key
    FROM unnest($1::bytea[]) AS k) AS found WHERE key IS NOT NULL";

/// Returns those of these hashes and addresses that are watched.
pub async fn watched_keys(
    connection: &mut PgConnection,
    keys: &[&[u8]],
) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar(WATCHED_KEYS)
        .bind(keys)
        .fetch_all(connection)
        .await?)
}

/// Stores the number of confirmations at which a transaction is confirmed.
pub async fn set_confirmations(
    connection: &mut PgConnection,
    chain: ChainId,
    confirmations: u64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE chains SET confirmations = $2 WHERE chain_id = $1 AND confirmations <> $2")
        .bind(bigint(chain))
        .bind(bigint(confirmations))
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks watched transactions as included, each hash once. One that succeeded in an earlier block of the chain is not
/// changed: on some chains a transaction may be in several blocks, and succeeds in one.
pub async fn include(
    connection: &mut PgConnection,
    chain: ChainId,
    included: &[Inclusion],
) -> Result<(), StoreError> {
    if included.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($one:ident => $value:expr) => {
            included.iter().map(|$one| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "UPDATE watches w SET status = 'included', chain_id = $1, block_number = t.number, block_hash = t.block,
             transaction_index = t.index, succeeded = t.succeeded, sender = t.sender, nonce = t.nonce::numeric,
             replaced_by = NULL, missing_since = NULL, confirmed = false, settled = false
         FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::int[], $6::bool[], $7::bytea[], $8::text[])
             AS t (hash, number, block, index, succeeded, sender, nonce)
         WHERE w.key = t.hash
             AND NOT (w.status = 'included' AND w.chain_id = $1 AND w.succeeded IS TRUE AND t.succeeded IS FALSE)",
    )
    .bind(bigint(chain))
    .bind(column!(one => one.hash.as_slice()))
    .bind(column!(one => bigint(one.block.number)))
    .bind(column!(one => one.block.hash.as_slice()))
    .bind(column!(one => one.index as i32))
    .bind(column!(one => one.succeeded))
    .bind(column!(one => one.sender.as_slice()))
    .bind(column!(one => one.nonce.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks watched transactions as replaced by these, by sender and nonce.
pub async fn replace(
    connection: &mut PgConnection,
    chain: ChainId,
    sent: &[Inclusion],
) -> Result<Vec<TransactionUpdate>, StoreError> {
    macro_rules! column {
        ($one:ident => $value:expr) => {
            sent.iter().map(|$one| $value).collect::<Vec<_>>()
        };
    }
    let rows = sqlx::query(
        "UPDATE watches w SET status = 'replaced', block_number = t.number, block_hash = t.block,
             replaced_by = t.hash, missing_since = NULL
         FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[])
             AS t (hash, number, block, sender, nonce)
         WHERE w.chain_id = $1 AND w.sender = t.sender AND w.nonce = t.nonce::numeric
             AND w.block_number IS NULL AND w.key <> t.hash
         RETURNING w.key, w.block_number, w.block_hash, w.replaced_by",
    )
    .bind(bigint(chain))
    .bind(column!(one => one.hash.as_slice()))
    .bind(column!(one => bigint(one.block.number)))
    .bind(column!(one => one.block.hash.as_slice()))
    .bind(column!(one => one.sender.as_slice()))
    .bind(column!(one => one.nonce.to_string()))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let mut update = parse_update(chain, TransactionStatus::Replaced, row)?;
            update.replaced_by = parse_hash(row, "replaced_by")?;
            Ok(update)
        })
        .collect()
}

/// Included watched transactions not yet published as confirmed or final, without their confirmation count.
pub async fn confirming(
    connection: &mut PgConnection,
    chain: ChainId,
) -> Result<Vec<TransactionUpdate>, StoreError> {
    let rows = sqlx::query(
        "SELECT key, block_number, block_hash, transaction_index, succeeded FROM watches
         WHERE chain_id = $1 AND status = 'included' AND NOT confirmed AND NOT settled
         ORDER BY block_number, transaction_index",
    )
    .bind(bigint(chain))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| full(chain, TransactionStatus::Included, row))
        .collect()
}

/// Records that these were published as confirmed.
pub async fn confirm(connection: &mut PgConnection, hashes: &[B256]) -> Result<(), StoreError> {
    if hashes.is_empty() {
        return Ok(());
    }
    let keys: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_slice()).collect();
    sqlx::query("UPDATE watches SET confirmed = true WHERE key = ANY ($1)")
        .bind(keys)
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks watched transactions in blocks up to `number` as final and returns them.
pub async fn finalize(
    connection: &mut PgConnection,
    chain: ChainId,
    number: u64,
) -> Result<Vec<TransactionUpdate>, StoreError> {
    let rows = sqlx::query(
        "UPDATE watches SET settled = true
         WHERE chain_id = $1 AND block_number <= $2 AND NOT settled
         RETURNING key, status, block_number, block_hash, transaction_index, succeeded",
    )
    .bind(bigint(chain))
    .bind(bigint(number))
    .fetch_all(connection)
    .await?;
    rows.iter()
        // A replaced transaction stays replaced.
        .filter(|row| row.get::<&str, _>("status") == "included")
        .map(|row| full(chain, TransactionStatus::Finalized, row))
        .collect()
}

/// Marks watched transactions in blocks above `ancestor` as reorged.
pub async fn reorg(
    connection: &mut PgConnection,
    chain: ChainId,
    ancestor: u64,
) -> Result<Vec<TransactionUpdate>, StoreError> {
    let rows = sqlx::query(
        "WITH old AS (SELECT key, block_number, block_hash FROM watches
             WHERE chain_id = $1 AND block_number > $2 ORDER BY key FOR UPDATE)
         UPDATE watches w SET status = 'reorged', block_number = NULL, block_hash = NULL, transaction_index = NULL,
             succeeded = NULL, replaced_by = NULL, confirmed = false, settled = false
         FROM old WHERE w.key = old.key
         RETURNING w.key, old.block_number, old.block_hash",
    )
    .bind(bigint(chain))
    .bind(bigint(ancestor))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| parse_update(chain, TransactionStatus::Reorged, row))
        .collect()
}

/// Of watched transactions reorged to `ancestor`, finds those that a remaining block also contains, and marks them as
/// included there. Returned without their confirmation count.
pub async fn restore_earlier_inclusions(
    connection: &mut PgConnection,
    chain: ChainId,
    ancestor: u64,
    hashes: &[B256],
) -> Result<Vec<TransactionUpdate>, StoreError> {
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_slice()).collect();
    let rows = sqlx::query(
        "UPDATE watches w SET status = 'included', block_number = f.block_number, block_hash = f.block_hash,
             transaction_index = f.transaction_index, succeeded = f.succeeded,
             confirmed = f.confirmed, settled = f.settled
         FROM unnest($3::bytea[]) AS n (k), LATERAL (
             SELECT t.block_number, b.hash AS block_hash, t.transaction_index, t.status = 1 AS succeeded,
                 $2 - t.block_number + 1 >= c.confirmations AS confirmed,
                 coalesce(t.block_number <= c.finalized_number, false) AS settled
             FROM chains c JOIN transactions t ON t.chain_id = c.chain_id
                 JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
             WHERE c.chain_id = $1 AND t.hash = n.k AND t.block_number <= $2
             ORDER BY t.status DESC NULLS LAST, t.block_number DESC LIMIT 1) AS f
         WHERE w.key = n.k
             -- Without the index every row would be read.
             AND NOT EXISTS (SELECT FROM deferred_indexes WHERE name = 'transactions_hash')
         RETURNING w.key, w.block_number, w.block_hash, w.transaction_index, w.succeeded",
    )
    .bind(bigint(chain))
    .bind(bigint(ancestor))
    .bind(keys)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| full(chain, TransactionStatus::Included, row))
        .collect()
}

/// Watched addresses with activity in the blocks above `ancestor`, which must still be stored.
pub async fn dropped_activity(
    connection: &mut PgConnection,
    chain: ChainId,
    ancestor: u64,
) -> Result<Vec<TouchedAddress>, StoreError> {
    let rows = sqlx::query(
        "WITH touched (number, address) AS (
             SELECT block_number, from_address FROM transactions WHERE chain_id = $1 AND block_number > $2
             UNION SELECT block_number, to_address FROM transactions WHERE chain_id = $1 AND block_number > $2
             UNION SELECT block_number, contract_address FROM transactions WHERE chain_id = $1 AND block_number > $2
             UNION SELECT block_number, from_address FROM transfers WHERE chain_id = $1 AND block_number > $2
             UNION SELECT block_number, to_address FROM transfers WHERE chain_id = $1 AND block_number > $2)
         SELECT w.key, b.number AS block_number, b.hash AS block_hash
         FROM touched t JOIN watches w ON w.key = t.address
         JOIN blocks b ON b.chain_id = $1 AND b.number = t.number
         ORDER BY w.key, b.number DESC",
    )
    .bind(bigint(chain))
    .bind(bigint(ancestor))
    .fetch_all(connection)
    .await?;
    let mut all = Vec::<TouchedAddress>::new();
    for row in &rows {
        let key: Vec<u8> = row.try_get("key")?;
        let address = Address::try_from(key.as_slice()).map_err(|error| StoreError::Corrupt {
            what: "watch",
            reason: error.to_string(),
        })?;
        if all.last().is_none_or(|last| last.address != address) {
            all.push(TouchedAddress {
                address,
                blocks: Vec::new(),
            });
        }
        let block = BlockRef {
            number: row.try_get::<i64, _>("block_number")? as u64,
            hash: parse_hash(row, "block_hash")?.unwrap_or_default(),
        };
        if let Some(last) = all.last_mut() {
            last.blocks.push(block);
        }
    }
    Ok(all)
}

fn parse_update(
    chain: ChainId,
    status: TransactionStatus,
    row: &PgRow,
) -> Result<TransactionUpdate, StoreError> {
    let hash = parse_hash(row, "key")?.unwrap_or_default();
    Ok(TransactionUpdate {
        block_number: row
            .try_get::<Option<i64>, _>("block_number")?
            .map(|number| number as u64),
        block_hash: parse_hash(row, "block_hash")?,
        ..TransactionUpdate::new(hash, status, Some(chain))
    })
}

fn full(
    chain: ChainId,
    status: TransactionStatus,
    row: &PgRow,
) -> Result<TransactionUpdate, StoreError> {
    Ok(TransactionUpdate {
        transaction_index: row
            .try_get::<Option<i32>, _>("transaction_index")?
            .map(|index| index as u32),
        succeeded: row.try_get("succeeded")?,
        ..parse_update(chain, status, row)?
    })
}
