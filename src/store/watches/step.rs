//! What a step of a chain means for those who watch: read and written in the transaction of the chain's writer.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{StoreError, bigint, hash_of};
use crate::model::{Address, B256, BlockRef, ChainId, TransactionStatus, TransactionUpdate};

/// A watched transaction that a block holds.
#[derive(Debug, Clone, Copy)]
pub struct Inclusion {
    pub hash: B256,
    pub block: BlockRef,
    pub index: u32,
    pub succeeded: Option<bool>,
    pub sender: Address,
    pub nonce: u64,
}

/// Something of a watched address was in these blocks, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub address: Address,
    pub blocks: Vec<BlockRef>,
}

/// From here to the end of the transaction no watch begins or ends: whoever looks watches up holds it until the blocks
/// are committed. Writers of several chains hold it together.
pub async fn hold(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared(1667785065, 1)")
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether anything is watched at all.
pub async fn any(connection: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM watches)")
        .fetch_one(connection)
        .await?)
}

/// One look into the index a key, however many watches there are: a join, or `= ANY`, would read the whole table where
/// the planner takes that for cheaper.
pub(crate) const AMONG: &str =
    "SELECT key FROM (SELECT (SELECT w.key FROM watches w WHERE w.key = k) AS key
    FROM unnest($1::bytea[]) AS k) AS found WHERE key IS NOT NULL";

/// Which of these hashes and addresses are watched.
pub async fn among(
    connection: &mut PgConnection,
    keys: &[&[u8]],
) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar(AMONG)
        .bind(keys)
        .fetch_all(connection)
        .await?)
}

/// Remembers how deep a transaction has to be to be confirmed.
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

/// Watched transactions that are in blocks now, each hash once. One that succeeded in an earlier block of the chain stays
/// there: on some chains a transaction may be in several blocks, and succeeds in one.
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

/// Watched transactions that these, by sender and nonce, replaced.
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
            let mut update = update_of(chain, TransactionStatus::Replaced, row)?;
            update.replaced_by = hash_of(row, "replaced_by")?;
            Ok(update)
        })
        .collect()
}

/// Watched transactions that were not told to be confirmed or final, each without the count of its confirmations.
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

/// Remembers that these were told to be confirmed.
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

/// Watched transactions whose blocks, up to `number`, are final now.
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
        // One that was replaced stays so, for good.
        .filter(|row| row.get::<&str, _>("status") == "included")
        .map(|row| full(chain, TransactionStatus::Finalized, row))
        .collect()
}

/// Takes the blocks above `ancestor` from the watched transactions that stood on them.
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
        .map(|row| update_of(chain, TransactionStatus::Reorged, row))
        .collect()
}

/// Of watched transactions that a reorg to `ancestor` took back, those that a block up to there holds too. They are in
/// that block again, each without the count of its confirmations.
pub async fn fall_back(
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

/// Watched addresses of which something is in the blocks above `ancestor`, which are still stored.
pub async fn dropped_activity(
    connection: &mut PgConnection,
    chain: ChainId,
    ancestor: u64,
) -> Result<Vec<Touched>, StoreError> {
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
    let mut all = Vec::<Touched>::new();
    for row in &rows {
        let key: Vec<u8> = row.try_get("key")?;
        let address = Address::try_from(key.as_slice()).map_err(|error| StoreError::Corrupt {
            what: "watch",
            reason: error.to_string(),
        })?;
        if all.last().is_none_or(|last| last.address != address) {
            all.push(Touched {
                address,
                blocks: Vec::new(),
            });
        }
        let block = BlockRef {
            number: row.try_get::<i64, _>("block_number")? as u64,
            hash: hash_of(row, "block_hash")?.unwrap_or_default(),
        };
        if let Some(last) = all.last_mut() {
            last.blocks.push(block);
        }
    }
    Ok(all)
}

fn update_of(
    chain: ChainId,
    status: TransactionStatus,
    row: &PgRow,
) -> Result<TransactionUpdate, StoreError> {
    let hash = hash_of(row, "key")?.unwrap_or_default();
    Ok(TransactionUpdate {
        block_number: row
            .try_get::<Option<i64>, _>("block_number")?
            .map(|number| number as u64),
        block_hash: hash_of(row, "block_hash")?,
        ..TransactionUpdate::of(hash, status, Some(chain))
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
        ..update_of(chain, status, row)?
    })
}
