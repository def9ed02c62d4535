//! Ticks: price observations.
//!
//! The table has one partition per day (UTC) of observation, created in advance and dropped after retention. Ticks
//! outside of these days, old ones or ones from a clock that is ahead, go into `ticks_rest`, so an insert never waits
//! for a partition.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{Store, StoreError, chain::bigint};
use chaincast_model::{LogOrigin, Tick};
use chaincast_protocol::{B256, ChainId, Token};

/// Inserts ticks. Ticks from a chain are inserted in the transaction of their block; one that is already stored is not
/// changed, so a block can be inserted twice.
pub async fn insert(connection: &mut PgConnection, ticks: &[Tick]) -> Result<(), StoreError> {
    let (of_chains, others): (Vec<_>, Vec<_>) =
        ticks.iter().partition(|tick| tick.origin.is_some());
    // Ticks from elsewhere have no unique index: a conflict check would cost as much as an index.
    insert_some(&mut *connection, &others, "").await?;
    let once = "ON CONFLICT (chain_id, block_number, log_index, token, source, observed_at)
                WHERE chain_id IS NOT NULL DO NOTHING";
    insert_some(connection, &of_chains, once).await
}

/// Kinds of ticks that are decoded from the stored logs of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// One per log. End-of-block ticks of such a source are answers that were read from the contract.
    Logs,
    /// All: one per log or, for an average, one per end of a block.
    All,
}

/// Deletes the ticks of a source that were decoded from stored logs, in blocks with `from <= number < below`.
pub async fn delete_decoded(
    connection: &mut PgConnection,
    decoded: Decoded,
    (token, source): (&Token, &str),
    chain_id: ChainId,
    (from, below): (u64, u64),
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM ticks WHERE token = $1 AND source = $2 AND chain_id = $3 AND block_number >= $4
             AND block_number < $5 AND (log_index <> $6 OR $7)",
    )
    .bind(token.as_str())
    .bind(source)
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(from, "block number")?)
    .bind(bigint(below, "block number")?)
    .bind(LogOrigin::END_OF_BLOCK as i32)
    .bind(decoded == Decoded::All)
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts ticks in one statement.
async fn insert_some(
    connection: &mut PgConnection,
    ticks: &[&Tick],
    on_conflict: &str,
) -> Result<(), StoreError> {
    if ticks.is_empty() {
        return Ok(());
    }
    let mut observed = Vec::<DateTime<Utc>>::with_capacity(ticks.len());
    for tick in ticks {
        observed.push(super::prices::timestamptz(
            tick.observed_at,
            "tick",
            &tick.token,
        )?);
    }
    fn column<T>(ticks: &[&Tick], value: impl Fn(&Tick) -> T) -> Vec<T> {
        ticks.iter().map(|tick| value(tick)).collect()
    }
    fn origin<T>(ticks: &[&Tick], value: impl Fn(&LogOrigin) -> T) -> Vec<Option<T>> {
        ticks
            .iter()
            .map(|tick| tick.origin.as_ref().map(&value))
            .collect()
    }
    sqlx::query(&format!(
        "INSERT INTO ticks (token, source, quote, price, confidence, observed_at, chain_id, block_number, block_hash,
                            log_index)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::numeric[], $6::timestamptz[],
             $7::bigint[], $8::bigint[], $9::bytea[], $10::int[]) {on_conflict}"
    ))
    .bind(column(ticks, |tick| tick.token.to_string()))
    .bind(column(ticks, |tick| tick.source.to_string()))
    .bind(column(ticks, |tick| tick.quote.to_string()))
    .bind(column(ticks, |tick| tick.price.clone()))
    .bind(column(ticks, |tick| tick.confidence.clone()))
    .bind(observed)
    .bind(origin(ticks, |at| at.chain_id as i64))
    .bind(origin(ticks, |at| at.block_number as i64))
    .bind(origin(ticks, |at| at.block_hash.to_vec()))
    .bind(origin(ticks, |at| at.log_index as i32))
    .execute(connection)
    .await?;
    Ok(())
}

/// Joins `k`, the newest tick of the source `s`. For a source that is not on a chain, the newest tick is almost always
/// from the last day, which is searched first: a search over all days costs one index scan per partition. On a chain
/// any day may hold it; a tick from a block more than a minute ahead of the clock counts as observed when it was
/// received.
pub(super) const NEWEST: &str = "LATERAL (
    (SELECT token, source, quote, price, confidence, observed_at, chain_id, block_number, block_hash, log_index
     FROM ticks t
     WHERE s.chain_id IS NULL AND t.token = s.token AND t.source = s.source AND t.chain_id IS NULL
         AND t.observed_at > now() - interval '1 day' AND t.observed_at < now() + interval '1 day'
     ORDER BY t.observed_at DESC, t.id DESC LIMIT 1)
    UNION ALL
    (SELECT token, source, quote, price, confidence, observed_at, chain_id, block_number, block_hash, log_index
     FROM ticks t
     WHERE s.chain_id IS NULL AND t.token = s.token AND t.source = s.source AND t.chain_id IS NULL
     ORDER BY t.observed_at DESC, t.id DESC LIMIT 1)
    UNION ALL
    (SELECT token, source, quote, price, confidence, 
            CASE WHEN observed_at > received_at + interval '1 minute' THEN received_at ELSE observed_at END AS observed_at,
            chain_id, block_number, block_hash, log_index
     FROM ticks t
     WHERE t.token = s.token AND t.source = s.source AND t.chain_id = s.chain_id
     ORDER BY t.block_number DESC, t.log_index DESC, t.observed_at DESC, t.id DESC LIMIT 1)
    LIMIT 1
) k";

/// The newest stored tick of every active source, in no particular order. For a source on a chain this is the last one
/// in chain order on its current chain; otherwise the one observed last.
pub async fn latest_per_source(connection: &mut PgConnection) -> Result<Vec<Tick>, StoreError> {
    latest(connection, Sources::All).await
}

/// Like [`latest_per_source`], only for sources on chains.
pub async fn latest_on_chains(connection: &mut PgConnection) -> Result<Vec<Tick>, StoreError> {
    latest(connection, Sources::OnChains).await
}

/// Sources whose newest ticks are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sources {
    All,
    OnChains,
}

async fn latest(connection: &mut PgConnection, sources: Sources) -> Result<Vec<Tick>, StoreError> {
    let rows = sqlx::query(&format!(
        "SELECT k.* FROM price_sources s CROSS JOIN {NEWEST} WHERE s.active AND (s.chain_id IS NOT NULL OR NOT $1)"
    ))
    .bind(sources == Sources::OnChains)
    .fetch_all(connection)
    .await?;
    rows.iter().map(parse_tick).collect()
}

/// Whether the state of this tick at the end of its block is already stored: the newest tick of its source up to that
/// block has the same time and price, or a tick of a later block exists. False for a tick that is not from a chain.
///
/// The time alone is not enough: a proxy that switches to another aggregator may return an older observation than the
/// previous aggregator's last one.
pub async fn is_recorded(connection: &mut PgConnection, tick: &Tick) -> Result<bool, StoreError> {
    let Some(origin) = &tick.origin else {
        return Ok(false);
    };
    let observed_at = super::prices::timestamptz(tick.observed_at, "tick", &tick.token)?;
    let found = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM ticks WHERE token = $1 AND source = $2 AND chain_id = $3 AND block_number > $4)
             OR EXISTS (
                 SELECT FROM (
                     SELECT observed_at, price FROM ticks
                     WHERE token = $1 AND source = $2 AND chain_id = $3 AND block_number <= $4
                     ORDER BY block_number DESC, log_index DESC, observed_at DESC, id DESC
                     LIMIT 1) newest
                 WHERE newest.observed_at = $5 AND newest.price = $6)",
    )
    .bind(tick.token.as_str())
    .bind(&*tick.source)
    .bind(origin.chain_id as i64)
    .bind(origin.block_number as i64)
    .bind(observed_at)
    .bind(tick.price.clone())
    .fetch_one(connection)
    .await?;
    Ok(found)
}

fn parse_tick(row: &PgRow) -> Result<Tick, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt {
        what: "tick",
        reason,
    };
    let token: String = row.try_get("token")?;
    let source: String = row.try_get("source")?;
    let quote: String = row.try_get("quote")?;
    let price: BigDecimal = row.try_get("price")?;
    let observed_at: DateTime<Utc> = row.try_get("observed_at")?;
    let chain_id: Option<i64> = row.try_get("chain_id")?;
    let origin = match chain_id {
        None => None,
        Some(chain_id) => {
            let hash: Vec<u8> = row.try_get("block_hash")?;
            let hash = B256::try_from(hash.as_slice())
                .map_err(|error| corrupt(format!("block_hash of {token}: {error}")))?;
            Some(LogOrigin {
                chain_id: chain_id as u64,
                block_number: row.try_get::<i64, _>("block_number")? as u64,
                block_hash: hash,
                log_index: row.try_get::<i32, _>("log_index")? as u32,
            })
        }
    };
    Ok(Tick {
        token: token.parse().map_err(|error| corrupt(format!("{error}")))?,
        source: source.into(),
        quote: quote.into(),
        price,
        confidence: row.try_get("confidence")?,
        observed_at: observed_at.timestamp_millis(),
        origin,
    })
}

/// Partitions are created this many days ahead, so that inserts still find them if this job fails for a while.
const DAYS_AHEAD: i32 = 3;
/// Creating or dropping a partition waits at most this long for its lock: other users of the table queue behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

impl Store {
    /// Creates the partitions of today and the next days, by the database's clock. Returns how many were created.
    pub async fn add_tick_days(&self) -> Result<u64, StoreError> {
        let mut created = 0;
        for ahead in 0..=DAYS_AHEAD {
            // One transaction per day, because each briefly locks `ticks_rest`.
            let mut transaction = self.begin().await?;
            sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
            // Locks the table before `ticks_rest`, as dropping a partition does: another process may be dropping one
            // now. This lock blocks neither readers nor writers.
            sqlx::query("LOCK TABLE ONLY ticks IN SHARE UPDATE EXCLUSIVE MODE")
                .execute(&mut *transaction)
                .await?;
            let new: bool = sqlx::query_scalar(
                "SELECT add_ticks_day((now() AT TIME ZONE 'UTC')::date + $1::int)",
            )
            .bind(ahead)
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            created += u64::from(new);
        }
        Ok(created)
    }

    /// Drops the partitions of days that ended more than `days` days ago. Returns how many were dropped.
    pub async fn drop_tick_days(&self, days: u32) -> Result<u64, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'ticks'::regclass AND c.relname ~ '^ticks_[0-9]{8}$'
                 AND to_date(substr(c.relname, 7), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - $1::int
             ORDER BY c.relname",
        )
        .bind(days.cast_signed())
        .fetch_all(&self.pool)
        .await?;
        let mut dropped = 0;
        for name in names {
            let mut transaction = self.begin().await?;
            sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
            // The name comes from the catalog and contains only letters, digits and `_`.
            sqlx::query(&format!("DROP TABLE {name}"))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Deletes ticks in `ticks_rest` observed before the day `days` days ago, at most `limit` per call. Returns how
    /// many were deleted.
    pub async fn prune_ticks(&self, days: u32, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM ticks_rest WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM ticks_rest
                 WHERE observed_at < ((now() AT TIME ZONE 'UTC')::date - $1::int)::timestamp AT TIME ZONE 'UTC'
                 LIMIT $2))",
        )
        .bind(days.cast_signed())
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
