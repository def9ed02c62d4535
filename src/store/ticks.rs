//! Ticks: price observations as they were made.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::StoreError;
use crate::model::{B256, LogOrigin, Tick};

/// Inserts ticks in one statement. Those of a chain go in with their block, in its transaction; one that is stored
/// already is left as it is, so the same block can be given twice.
pub async fn insert(connection: &mut PgConnection, ticks: &[Tick]) -> Result<(), StoreError> {
    if ticks.is_empty() {
        return Ok(());
    }
    let mut observed = Vec::<DateTime<Utc>>::with_capacity(ticks.len());
    for tick in ticks {
        observed.push(super::prices::moment(
            tick.observed_at,
            "tick",
            &tick.token,
        )?);
    }
    fn column<T>(ticks: &[Tick], value: impl Fn(&Tick) -> T) -> Vec<T> {
        ticks.iter().map(value).collect()
    }
    fn origin<T>(ticks: &[Tick], value: impl Fn(&LogOrigin) -> T) -> Vec<Option<T>> {
        ticks
            .iter()
            .map(|tick| tick.origin.as_ref().map(&value))
            .collect()
    }
    sqlx::query(
        "INSERT INTO ticks (token, source, quote, price, confidence, observed_at, chain_id, block_number, block_hash,
                            log_index)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::numeric[], $6::timestamptz[],
             $7::bigint[], $8::bigint[], $9::bytea[], $10::int[])
         ON CONFLICT (chain_id, block_number, log_index, token, source) DO NOTHING",
    )
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

/// The newest stored tick of every active source, in no particular order. On a chain the newest is the last in the
/// order of the chain the source is on now; elsewhere the one observed last.
pub async fn latest_per_source(connection: &mut PgConnection) -> Result<Vec<Tick>, StoreError> {
    let rows = sqlx::query(
        "SELECT k.* FROM price_sources s
         CROSS JOIN LATERAL (
             SELECT token, source, quote, price, confidence, observed_at, chain_id, block_number, block_hash, log_index
             FROM ticks t
             WHERE t.token = s.token AND t.source = s.source AND t.chain_id IS NOT DISTINCT FROM s.chain_id
             ORDER BY t.block_number DESC NULLS LAST, t.log_index DESC NULLS LAST, t.observed_at DESC, t.id DESC
             LIMIT 1
         ) k
         WHERE s.active",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(tick_of).collect()
}

/// Whether the store has a tick of the same source that is as new as this one, by its own time or by its place on the
/// chain. False for a tick that is of no chain.
pub async fn has_as_new(connection: &mut PgConnection, tick: &Tick) -> Result<bool, StoreError> {
    let Some(origin) = &tick.origin else {
        return Ok(false);
    };
    let observed_at = super::prices::moment(tick.observed_at, "tick", &tick.token)?;
    let found = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM ticks WHERE token = $1 AND source = $2 AND chain_id = $3 AND observed_at >= $4)
             OR EXISTS (SELECT FROM ticks WHERE token = $1 AND source = $2 AND chain_id = $3 AND block_number > $5)",
    )
    .bind(tick.token.as_str())
    .bind(&*tick.source)
    .bind(origin.chain_id as i64)
    .bind(observed_at)
    .bind(origin.block_number as i64)
    .fetch_one(connection)
    .await?;
    Ok(found)
}

fn tick_of(row: &PgRow) -> Result<Tick, StoreError> {
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
