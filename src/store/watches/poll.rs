//! Watched transactions that are in no block: what the node says of them.
//!
//! Each change is of one row that must still be in no block: a writer that included it meanwhile wins. The caller
//! [holds](super::hold) the watches and appends the update in the same transaction.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::{StoreError, bigint, hash_of, read_state};
use crate::model::{Address, B256, ChainId, TransactionStatus, TransactionUpdate};

/// A watched transaction in no indexed block.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub hash: B256,
    /// Whether a node told of it before.
    pub was_seen: bool,
    /// Whether the node was found not to know it any more.
    pub is_missing: bool,
    /// Who sent it, once that is known.
    pub sender: Option<(Address, u64)>,
}

/// Watched transactions that wait on this chain, or nobody knows where, behind `after` by hash, at most `limit`; and
/// the chain's head.
pub async fn waiting(
    connection: &mut PgConnection,
    chain: ChainId,
    after: Option<B256>,
    limit: u32,
) -> Result<(Vec<Waiting>, Option<u64>), StoreError> {
    let rows = sqlx::query(
        "SELECT key, status <> 'unknown' AS seen, missing_since IS NOT NULL AS missing, sender,
             nonce::text AS nonce
         FROM watches
         WHERE octet_length(key) = 32 AND block_number IS NULL AND status IN ('unknown', 'pending', 'reorged')
             AND (chain_id IS NULL OR chain_id = $1) AND key > $2
         ORDER BY key LIMIT $3",
    )
    .bind(bigint(chain))
    .bind(after.as_ref().map_or(&[][..], |hash| hash.as_slice()))
    .bind(i64::from(limit))
    .fetch_all(&mut *connection)
    .await?;
    let head =
        sqlx::query_scalar::<_, Option<i64>>("SELECT head_number FROM chains WHERE chain_id = $1")
            .bind(bigint(chain))
            .fetch_optional(connection)
            .await?;
    let waiting = rows.iter().map(|row| {
        let sender: Option<Vec<u8>> = row.try_get("sender")?;
        let nonce: Option<String> = row.try_get("nonce")?;
        Ok(Waiting {
            hash: hash_of(row, "key")?.unwrap_or_default(),
            was_seen: row.try_get("seen")?,
            is_missing: row.try_get("missing")?,
            sender: sender
                .and_then(|sender| Address::try_from(sender.as_slice()).ok())
                .zip(nonce.and_then(|nonce| nonce.parse().ok())),
        })
    });
    Ok((
        waiting.collect::<Result<_, StoreError>>()?,
        head.flatten().map(|number| number as u64),
    ))
}

/// The node has it in its pool. The update, when that is news.
pub async fn mark_pending(
    connection: &mut PgConnection,
    chain: ChainId,
    hash: B256,
    sender: Address,
    nonce: u64,
) -> Result<Option<TransactionUpdate>, StoreError> {
    let news = sqlx::query_scalar::<_, bool>(
        "WITH old AS (SELECT key, status FROM watches WHERE key = $1 AND block_number IS NULL
             AND status IN ('unknown', 'pending', 'reorged') FOR UPDATE)
         UPDATE watches w SET status = 'pending', chain_id = $2, sender = $3, nonce = $4::numeric, missing_since = NULL
         FROM old WHERE w.key = old.key RETURNING old.status <> 'pending'",
    )
    .bind(hash.as_slice())
    .bind(bigint(chain))
    .bind(sender.as_slice())
    .bind(nonce.to_string())
    .fetch_optional(connection)
    .await?;
    Ok((news == Some(true))
        .then(|| TransactionUpdate::of(hash, TransactionStatus::Pending, Some(chain))))
}

/// By the block that the node names, which the primary keys find: while a large load goes on there is no index of hashes,
/// and whoever comes in between waits for this.
pub(crate) const STORED: &str = "UPDATE watches w SET status = 'included', chain_id = $2, sender = t.from_address,
         nonce = t.nonce, block_number = t.block_number, block_hash = b.hash, transaction_index = t.transaction_index,
         succeeded = t.status = 1, missing_since = NULL,
         confirmed = c.head_number - t.block_number + 1 >= c.confirmations,
         settled = coalesce(t.block_number <= c.finalized_number, false)
     FROM transactions t JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
         JOIN chains c ON c.chain_id = t.chain_id
     WHERE t.chain_id = $2 AND t.block_number = $3 AND t.hash = $1 AND w.key = $1 AND w.block_number IS NULL";

/// The node has it in this block, which is stored without an announcement: history, or blocks of a long downtime.
pub async fn mark_stored(
    connection: &mut PgConnection,
    chain: ChainId,
    hash: B256,
    block: u64,
) -> Result<Option<TransactionUpdate>, StoreError> {
    let found = sqlx::query(STORED)
        .bind(hash.as_slice())
        .bind(bigint(chain))
        .bind(bigint(block))
        .execute(&mut *connection)
        .await?;
    if found.rows_affected() == 0 {
        return Ok(None);
    }
    read_state(connection, hash).await
}

/// The node does not know what it, or another, knew.
pub async fn mark_missing(connection: &mut PgConnection, hash: B256) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE watches SET missing_since = clock_timestamp()
         WHERE key = $1 AND block_number IS NULL AND missing_since IS NULL",
    )
    .bind(hash.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

/// It is gone for good: its nonce is used up, or it has been missing for `patience`. The update, when that is so.
pub async fn mark_dropped(
    connection: &mut PgConnection,
    chain: ChainId,
    hash: B256,
    used_up: bool,
    patience: Duration,
) -> Result<Option<TransactionUpdate>, StoreError> {
    let done = sqlx::query(
        "UPDATE watches SET status = 'dropped', missing_since = NULL
         WHERE key = $1 AND chain_id = $2 AND block_number IS NULL AND status IN ('pending', 'reorged')
             AND ($3 OR missing_since <= clock_timestamp() - make_interval(secs => $4::bigint / 1000.0))",
    )
    .bind(hash.as_slice())
    .bind(bigint(chain))
    .bind(used_up)
    .bind(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok((done.rows_affected() > 0)
        .then(|| TransactionUpdate::of(hash, TransactionStatus::Dropped, Some(chain))))
}
