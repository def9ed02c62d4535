//! Stored logs of a liquidity pool, for average prices, with the times of their blocks.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{
    StoreError,
    chain::bigint,
    stored_log::{parse_log, within_limit},
};
use chaincast_model::IndexedLog;
use chaincast_protocol::{Address, B256, BlockRef, ChainId};

/// Selects logs of one contract and event up to a block, within `seconds` before that block's time.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// EIP-155 id of the chain.
    pub chain_id: ChainId,
    /// The contract that emitted the logs.
    pub address: Address,
    /// Their first topic, which identifies the event.
    pub topic: B256,
    /// The last block.
    pub last: u64,
    /// Its timestamp, in seconds since the Unix epoch.
    pub last_time: u64,
    /// Length of the window.
    pub seconds: u64,
    /// Maximum number of logs; the newest are kept.
    pub limit: u32,
    /// Number of blocks below the window that are searched for the last price before it.
    pub look_back: u64,
}

/// A stored log with its block.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolLog {
    /// The block that contains it.
    pub block: BlockRef,
    /// The block's timestamp, in seconds since the Unix epoch.
    pub timestamp: u64,
    /// The log, without the hash of its transaction.
    pub log: IndexedLog,
}

/// The hash and the time (seconds) of the indexed block at a height.
pub async fn block_at(
    connection: &mut PgConnection,
    chain_id: ChainId,
    number: u64,
) -> Result<Option<(B256, u64)>, StoreError> {
    let row = sqlx::query("SELECT hash, timestamp FROM blocks WHERE chain_id = $1 AND number = $2")
        .bind(bigint(chain_id, "chain_id")?)
        .bind(bigint(number, "block number")?)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let hash = parse_hash(row.try_get("hash")?)?;
    Ok(Some((hash, row.try_get::<i64, _>("timestamp")? as u64)))
}

/// The logs within a window in chain order, and the last one before it if it is near.
///
/// Uses the primary key while the index on addresses is missing, as during a large load.
pub async fn logs_in_window(
    connection: &mut PgConnection,
    window: Window,
) -> Result<Vec<PoolLog>, StoreError> {
    let chain_id = bigint(window.chain_id, "chain_id")?;
    let last = bigint(window.last, "block number")?;
    let from_time = window.last_time.saturating_sub(window.seconds);
    // Block times never decrease: every block up to `floor` is before the window.
    let floor: Option<i64> = sqlx::query_scalar(
        "SELECT number FROM blocks WHERE chain_id = $1 AND number <= $2 AND timestamp <= $3
         ORDER BY number DESC LIMIT 1",
    )
    .bind(chain_id)
    .bind(last)
    .bind(i64::try_from(from_time).unwrap_or(i64::MAX))
    .fetch_optional(&mut *connection)
    .await?;
    let floor = floor.unwrap_or(-1);
    let look_back = i64::try_from(window.look_back).unwrap_or(i64::MAX);
    let search_from = floor.saturating_sub(look_back).max(-1);
    let rows = sqlx::query(
        "SELECT l.*, b.hash, b.timestamp FROM (
             (SELECT * FROM logs
              WHERE chain_id = $1 AND address = $2 AND topic0 = $3 AND block_number > $4 AND block_number <= $5
              ORDER BY block_number DESC, log_index DESC LIMIT $7)
             UNION ALL
             (SELECT * FROM logs
              WHERE chain_id = $1 AND address = $2 AND topic0 = $3 AND block_number > $6 AND block_number <= $4
              ORDER BY block_number DESC, log_index DESC LIMIT 1)
         ) l
         JOIN blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number
         ORDER BY l.block_number, l.log_index",
    )
    .bind(chain_id)
    .bind(window.address.as_slice())
    .bind(window.topic.as_slice())
    .bind(floor)
    .bind(last)
    .bind(search_from)
    .bind(i64::from(window.limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(pool_log).collect()
}

/// The number of the highest indexed block.
pub async fn last_block(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Option<u64>, StoreError> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT max(number) FROM blocks WHERE chain_id = $1")
            .bind(bigint(chain_id, "chain_id")?)
            .fetch_one(connection)
            .await?;
    Ok(number.map(i64::cast_unsigned))
}

/// The indexed blocks with `from <= number < below`, in ascending order, with their times in seconds.
pub async fn blocks_of(
    connection: &mut PgConnection,
    chain_id: ChainId,
    from: u64,
    below: u64,
) -> Result<Vec<(BlockRef, u64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT number, hash, timestamp FROM blocks WHERE chain_id = $1 AND number >= $2 AND number < $3
         ORDER BY number",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(from, "block number")?)
    .bind(bigint(below, "block number")?)
    .fetch_all(connection)
    .await?;
    let block = |row: &PgRow| {
        let number = row.try_get::<i64, _>("number")?.cast_unsigned();
        let hash = parse_hash(row.try_get("hash")?)?;
        let time = row.try_get::<i64, _>("timestamp")?.cast_unsigned();
        Ok((BlockRef { number, hash }, time))
    };
    rows.iter().map(block).collect()
}

/// Selects logs of some contracts and one event in blocks with `from <= number < below`.
#[derive(Debug, Clone, Copy)]
pub struct LogRange<'a> {
    /// EIP-155 id of the chain.
    pub chain_id: ChainId,
    /// The contracts that emitted the logs.
    pub addresses: &'a [Address],
    /// Their first topic, which identifies the event.
    pub topic: B256,
    /// The first block.
    pub from: u64,
    /// The block after the last one.
    pub below: u64,
}

/// Stored logs with their blocks, unordered; `None` if there are more than `limit`.
pub async fn logs_emitted(
    connection: &mut PgConnection,
    wanted: LogRange<'_>,
    limit: u32,
) -> Result<Option<Vec<PoolLog>>, StoreError> {
    let addresses: Vec<&[u8]> = wanted.addresses.iter().map(|one| one.as_slice()).collect();
    let rows = sqlx::query(
        "SELECT l.*, b.hash, b.timestamp FROM (
             SELECT l.* FROM unnest($2::bytea[]) a (address) CROSS JOIN LATERAL (
                 SELECT * FROM logs l
                 WHERE l.chain_id = $1 AND l.address = a.address AND l.topic0 = $3
                     AND l.block_number >= $4 AND l.block_number < $5
                 LIMIT $6) l
             LIMIT $6
         ) l
         JOIN blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number",
    )
    .bind(bigint(wanted.chain_id, "chain_id")?)
    .bind(addresses)
    .bind(wanted.topic.as_slice())
    .bind(bigint(wanted.from, "block number")?)
    .bind(bigint(wanted.below, "block number")?)
    .bind(i64::from(limit) + 1)
    .fetch_all(connection)
    .await?;
    within_limit(&rows, limit, pool_log)
}

fn pool_log(row: &PgRow) -> Result<PoolLog, StoreError> {
    let (number, log) = parse_log(row)?;
    Ok(PoolLog {
        block: BlockRef {
            number,
            hash: parse_hash(row.try_get("hash")?)?,
        },
        timestamp: row.try_get::<i64, _>("timestamp")? as u64,
        log,
    })
}

fn parse_hash(bytes: &[u8]) -> Result<B256, StoreError> {
    B256::try_from(bytes).map_err(|error| StoreError::Corrupt {
        what: "block",
        reason: error.to_string(),
    })
}
