//! Watches: stored requests to keep updates of single transactions and addresses. Updates of `tx:` and `address:`
//! channels are stored only for these.
//!
//! A watch applies to every commit of blocks after it began, in any process. Beginning and ending watches takes a
//! database-wide lock exclusively; chain writers hold it shared from looking up watches until they commit (see
//! `migrations/0011_watches.sql`). An ended watch deletes its channel and its updates. When a channel begins again, its
//! seqs begin above every seq assigned before, so an old position cannot be mistaken for a current one.

mod poll;
mod step;

pub use poll::{
    MARK_STORED, PendingWatch, mark_dropped, mark_missing, mark_pending, mark_stored,
    pending_watches,
};
pub use step::{Inclusion, TouchedAddress, WATCHED_KEYS, lock_shared};
pub use step::{
    confirm, confirming, dropped_activity, finalize, has_any, include, reorg, replace,
    restore_earlier_inclusions, set_confirmations, watched_keys,
};

use std::{sync::Arc, time::Duration};

use rustc_hash::{FxHashMap, FxHashSet};
use sqlx::{PgConnection, Row, postgres::PgRow};
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError};
use chaincast_protocol::{
    B256, Channel, EventName, TransactionStatus, TransactionUpdate, Update, now_ms,
};

/// How often expired watches are looked up.
const EVERY: Duration = Duration::from_secs(5);
/// Watches ended in one transaction, which blocks commits of blocks.
const BATCH: i64 = 500;

impl Store {
    /// Begins or renews the watches of channels for `seconds` from now, up to `most` watches in total. A watch belongs
    /// to the gateway `gateway` alone until another gateway renews it.
    ///
    /// Returns the channel's seq at which each watch began; later blocks append to it. `None` if there is no capacity,
    /// and for channels that cannot be watched.
    pub async fn watch(
        &self,
        channels: &[Channel],
        seconds: u64,
        most: u64,
        gateway: &str,
    ) -> Result<Vec<Option<u64>>, StoreError> {
        let keys: Vec<Option<&[u8]>> = channels.iter().map(Channel::watch_key).collect();
        let mut since = vec![None; channels.len()];
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        // Existing watches are already in effect: renew them without the exclusive lock.
        let wanted: Vec<&[u8]> = keys.iter().copied().flatten().collect();
        // Rows locked by others are left to `begin_watches`, which waits in lock order. Otherwise two transactions
        // could deadlock, and Postgres might abort a chain writer.
        let renewed = sqlx::query(
            "WITH free AS (SELECT key FROM watches WHERE key = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED)
             UPDATE watches w SET until = greatest(w.until, clock_timestamp() + make_interval(secs => $2::bigint)),
                 gateway = CASE WHEN w.gateway = $3 THEN w.gateway END
             FROM free WHERE w.key = free.key RETURNING w.key, w.since",
        )
        .bind(&wanted)
        .bind(seconds)
        .bind(gateway)
        .fetch_all(&self.live);
        fill_since(&mut since, &keys, self.with_read_timeout(renewed).await?);
        let (mut new, mut names) = (Vec::new(), Vec::new());
        for (at, key) in keys.iter().enumerate() {
            if let (Some(key), None) = (key, since[at])
                && !new.contains(key)
            {
                new.push(*key);
                names.push(channels[at].to_string());
            }
        }
        if new.is_empty() {
            return Ok(since);
        }
        let begun = sqlx::query("SELECT * FROM begin_watches($1, $2, $3, $4, $5)")
            .bind(&new)
            .bind(&names)
            .bind(seconds)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .bind(gateway)
            .fetch_all(&self.live);
        fill_since(&mut since, &keys, self.with_read_timeout(begun).await?);
        Ok(since)
    }

    /// Shortens watches to end after `rest` from now if they have had no update since they began and no other gateway
    /// requested them. Returns which ones were shortened. A later renewal keeps the watch.
    pub async fn release_watches(
        &self,
        channels: &[Channel],
        rest: Duration,
        gateway: &str,
    ) -> Result<Vec<bool>, StoreError> {
        let keys: Vec<Option<&[u8]>> = channels.iter().map(Channel::watch_key).collect();
        let shortened = sqlx::query_scalar::<_, Vec<u8>>(
            "WITH free AS (SELECT w.key, w.until FROM watches w JOIN channels c ON c.id = w.channel_id
                 WHERE w.key = ANY ($1) AND w.gateway = $2 AND c.seq = w.since FOR NO KEY UPDATE OF w SKIP LOCKED)
             UPDATE watches w
             SET until = least(free.until, clock_timestamp() + make_interval(secs => $3::bigint / 1000.0))
             FROM free WHERE w.key = free.key RETURNING w.key",
        )
        .bind(keys.iter().copied().flatten().collect::<Vec<_>>())
        .bind(gateway)
        .bind(i64::try_from(rest.as_millis()).unwrap_or(i64::MAX))
        .fetch_all(&self.live);
        let shortened = self.with_read_timeout(shortened).await?;
        let shortened: FxHashSet<&[u8]> = shortened.iter().map(Vec::as_slice).collect();
        let was_shortened = |key: Option<&[u8]>| key.is_some_and(|key| shortened.contains(key));
        Ok(keys.into_iter().map(was_shortened).collect())
    }

    /// The state of a transaction, as of its channel's seq.
    pub async fn transaction_state(&self, hash: B256) -> Result<Update, StoreError> {
        let channel = Channel::Tx(hash);
        let sql = format!(
            "SELECT h.seq, {STATE} FROM channels h LEFT JOIN watches w ON w.channel_id = h.id
             LEFT JOIN chains c ON c.chain_id = w.chain_id WHERE h.name = $1"
        );
        let query = sqlx::query(&sql)
            .bind(channel.to_string())
            .fetch_optional(&self.live_reads);
        let (seq, state) = match self.with_read_timeout(query).await? {
            Some(row) => (
                row.try_get::<i64, _>("seq")? as u64,
                parse_state(hash, &row)?,
            ),
            None => (
                0,
                TransactionUpdate::new(hash, TransactionStatus::Unknown, None),
            ),
        };
        let data = serde_json::to_string(&state).map_err(|error| StoreError::Corrupt {
            what: "transaction's state",
            reason: error.to_string(),
        })?;
        Ok(Update {
            channel,
            seq,
            event: EventName::TransactionUpdate,
            data: Arc::from(data),
        })
    }

    /// Ends expired watches, at most `limit`. Returns how many ended.
    pub async fn end_watches(&self, limit: i64) -> Result<u64, StoreError> {
        let over = sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM watches WHERE until < clock_timestamp())",
        )
        .fetch_one(&self.pool)
        .await?;
        if !over {
            return Ok(0);
        }
        let ended: i64 = sqlx::query_scalar("SELECT end_watches($1)")
            .bind(limit)
            .fetch_one(&self.pool)
            .await?;
        Ok(ended as u64)
    }

    /// Ends expired watches every 5 s until `stop`. Only the indexer runs it.
    pub async fn run_watch_expiry(self, stop: CancellationToken) {
        metrics::describe_gauge!(
            "chaincast_store_watches",
            "Watched transactions and addresses"
        );
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            while !stop.is_cancelled() {
                match self.with_job_timeout(self.end_watches(BATCH)).await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot end expired watches; retrying in 5 s");
                        break;
                    }
                }
            }
            let count = sqlx::query_scalar::<_, i64>("SELECT count FROM watching");
            let count = self
                .with_job_timeout(async { Ok(count.fetch_one(&self.pool).await?) })
                .await;
            if let Ok(count) = count {
                metrics::gauge!("chaincast_store_watches").set(count as f64);
            }
        }
    }
}

/// Sets the seq at which the watch of each key began.
fn fill_since(since: &mut [Option<u64>], keys: &[Option<&[u8]>], rows: Vec<PgRow>) {
    let began: FxHashMap<Vec<u8>, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (since, key) in since.iter_mut().zip(keys) {
        if let Some(began) = key.and_then(|key| began.get(key)) {
            *since = Some(*began as u64);
        }
    }
}

/// Columns of a watch and its chain that [`parse_state`] reads.
const STATE: &str = "coalesce(w.status, 'unknown') AS status, w.chain_id, w.block_number, w.block_hash,
    w.transaction_index, w.succeeded, w.replaced_by, c.head_number, c.finalized_number, c.confirmations";

fn parse_state(hash: B256, row: &PgRow) -> Result<TransactionUpdate, StoreError> {
    let number = |column: &str| -> Result<Option<u64>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(|v| v as u64))
    };
    let block = number("block_number")?;
    let included = row.try_get::<String, _>("status")? == "included";
    let confirmations = block
        .filter(|_| included)
        .map(|block| {
            number("head_number").map(|head| head.map_or(1, |head| confirmed(block, head)))
        })
        .transpose()?;
    let status = match row.try_get::<String, _>("status")?.as_str() {
        "pending" => TransactionStatus::Pending,
        "reorged" => TransactionStatus::Reorged,
        "replaced" => TransactionStatus::Replaced,
        "dropped" => TransactionStatus::Dropped,
        "included" if number("finalized_number")? >= block && block.is_some() => {
            TransactionStatus::Finalized
        }
        "included" if confirmations >= number("confirmations")? => TransactionStatus::Confirmed,
        "included" => TransactionStatus::Included,
        _ => TransactionStatus::Unknown,
    };
    Ok(TransactionUpdate {
        hash,
        status,
        chain_id: number("chain_id")?,
        block_number: block,
        block_hash: parse_hash(row, "block_hash")?,
        transaction_index: row
            .try_get::<Option<i32>, _>("transaction_index")?
            .map(|index| index as u32),
        confirmations,
        succeeded: row.try_get("succeeded")?,
        replaced_by: parse_hash(row, "replaced_by")?,
        timestamp: now_ms(),
    })
}

/// Confirmations of a block at height `block`: 1 when it is the head.
fn confirmed(block: u64, head: u64) -> u64 {
    head.saturating_sub(block) + 1
}

fn parse_hash(row: &PgRow, column: &str) -> Result<Option<B256>, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    bytes
        .map(|bytes| {
            B256::try_from(bytes.as_slice()).map_err(|error| StoreError::Corrupt {
                what: "watch",
                reason: format!("column {column}: {error}"),
            })
        })
        .transpose()
}

/// The state of a watched transaction, read in the transaction that changed it.
async fn read_state(
    connection: &mut PgConnection,
    hash: B256,
) -> Result<Option<TransactionUpdate>, StoreError> {
    sqlx::query(&format!(
        "SELECT {STATE} FROM watches w LEFT JOIN chains c ON c.chain_id = w.chain_id WHERE w.key = $1"
    ))
    .bind(hash.as_slice())
    .fetch_optional(connection)
    .await?
    .map(|row| parse_state(hash, &row))
    .transpose()
}

/// Heights above the column's range are above every stored row.
fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
