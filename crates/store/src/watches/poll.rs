//! Watched transactions that are in no indexed block, updated from what the node returns.
//!
//! Each change requires that the row is still in no block, so a writer that included it meanwhile takes precedence. The
//! caller [locks](super::lock_shared) the watches and appends the update in the same transaction.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::{StoreError, bigint, parse_hash, read_state};
use chaincast_protocol::{Address, B256, ChainId, TransactionStatus, TransactionUpdate};

/// A watched transaction in no indexed block.
#[derive(Debug, Clone)]
pub struct PendingWatch {
    /// The transaction's hash.
    pub hash: B256,
    /// Whether a node has returned it before.
    pub was_seen: bool,
    /// Whether the node has since stopped returning it.
    pub is_missing: bool,
    /// Sender and nonce, once known.
    pub sender: Option<(Address, u64)>,
}

/// Pending watched transactions of this chain, or of unknown chain, with a hash above `after`, at most `limit`; and the
/// chain's head.
pub async fn pending_watches(
    connection: &mut PgConnection,
    chain: ChainId,
    after: Option<B256>,
    limit: u32,
) -> Result<(Vec<PendingWatch>, Option<u64>), StoreError> {
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
    let pending_watches = rows.iter().map(|row| {
        let sender: Option<Vec<u8>> = row.try_get("sender")?;
        let nonce: Option<String> = row.try_get("nonce")?;
        Ok(PendingWatch {
            hash: parse_hash(row, "key")?.unwrap_or_default(),
            was_seen: row.try_get("seen")?,
            is_missing: row.try_get("missing")?,
            sender: sender
                .and_then(|sender| Address::try_from(sender.as_slice()).ok())
                .zip(nonce.and_then(|nonce| nonce.parse().ok())),
        })
    });
    Ok((
        pending_watches.collect::<Result<_, StoreError>>()?,
        head.flatten().map(|number| number as u64),
    ))
}

/// Records that the transaction is in the node's pool. Returns the update if its status changed.
pub async fn mark_pending(
    connection: &mut PgConnection,
    chain: ChainId,
    hash: B256,
    sender: Address,
    nonce: u64,
) -> Result<Option<TransactionUpdate>, StoreError> {
    let changed = sqlx::query_scalar::<_, bool>(
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
    Ok((changed == Some(true))
        .then(|| TransactionUpdate::new(hash, TransactionStatus::Pending, Some(chain))))
}

/// Finds the transaction by the block that the node returned, through primary keys: during a large load there is no
/// index on hashes, and other transactions queue behind this one.
pub const MARK_STORED: &str = "UPDATE watches w SET status = 'included', chain_id = $2, sender = t.from_address,
         nonce = t.nonce, block_number = t.block_number, block_hash = b.hash, transaction_index = t.transaction_index,
         succeeded = t.status = 1, missing_since = NULL,
         confirmed = c.head_number - t.block_number + 1 >= c.confirmations,
         settled = coalesce(t.block_number <= c.finalized_number, false)
     FROM transactions t JOIN blocks b ON b.chain_id = t.chain_id AND b.number = t.block_number
         JOIN chains c ON c.chain_id = t.chain_id
     WHERE t.chain_id = $2 AND t.block_number = $3 AND t.hash = $1 AND w.key = $1 AND w.block_number IS NULL";

/// Records that the transaction is in this stored block, whose inclusion was not published: from a backfill or a long
/// downtime.
pub async fn mark_stored(
    connection: &mut PgConnection,
    chain: ChainId,
    hash: B256,
    block: u64,
) -> Result<Option<TransactionUpdate>, StoreError> {
    let found = sqlx::query(MARK_STORED)
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

/// Records that the node no longer returns the transaction.
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

/// Records that the transaction is dropped: its nonce is used, or it has been missing for `grace`. Returns the update
/// if so.
pub async fn mark_dropped(
    connection: &mut PgConnection,
    chain: ChainId,
    hash: B256,
    is_nonce_used: bool,
    grace: Duration,
) -> Result<Option<TransactionUpdate>, StoreError> {
    let done = sqlx::query(
        "UPDATE watches SET status = 'dropped', missing_since = NULL
         WHERE key = $1 AND chain_id = $2 AND block_number IS NULL AND status IN ('pending', 'reorged')
             AND ($3 OR missing_since <= clock_timestamp() - make_interval(secs => $4::bigint / 1000.0))",
    )
    .bind(hash.as_slice())
    .bind(bigint(chain))
    .bind(is_nonce_used)
    .bind(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok((done.rows_affected() > 0)
        .then(|| TransactionUpdate::new(hash, TransactionStatus::Dropped, Some(chain))))
}
