//! Rows of `logs`.

use alloy::primitives::Bytes;
use sqlx::{Row, postgres::PgRow};

use super::StoreError;
use chaincast_model::IndexedLog;
use chaincast_protocol::{Address, B256};

/// A row of `logs`, with its block's number.
pub(crate) fn parse_log(row: &PgRow) -> Result<(u64, IndexedLog), StoreError> {
    let corrupt = |error: std::array::TryFromSliceError| StoreError::Corrupt {
        what: "log",
        reason: error.to_string(),
    };
    let mut topics = Vec::with_capacity(4);
    for column in ["topic0", "topic1", "topic2", "topic3"] {
        if let Some(topic) = row.try_get::<Option<&[u8]>, _>(column)? {
            topics.push(B256::try_from(topic).map_err(corrupt)?);
        }
    }
    let log = IndexedLog {
        index: row.try_get::<i32, _>("log_index")? as u32,
        transaction_index: row.try_get::<i32, _>("transaction_index")? as u32,
        transaction_hash: None,
        address: Address::try_from(row.try_get::<&[u8], _>("address")?).map_err(corrupt)?,
        topics,
        data: Bytes::copy_from_slice(row.try_get("data")?),
    };
    Ok((row.try_get::<i64, _>("block_number")? as u64, log))
}

/// What the rows of a query with one row more than `limit` contain; `None` if there are more than `limit`.
pub(crate) fn within_limit<T>(
    rows: &[PgRow],
    limit: u32,
    parse: fn(&PgRow) -> Result<T, StoreError>,
) -> Result<Option<Vec<T>>, StoreError> {
    if rows.len() > limit as usize {
        return Ok(None);
    }
    rows.iter().map(parse).collect::<Result<_, _>>().map(Some)
}
