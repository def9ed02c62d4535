//! Detects whether any chain changed, at low cost, so that data stored with blocks is re-read only then.

use sqlx::PgConnection;

use super::StoreError;
use chaincast_protocol::ChainId;

/// The indexed range of every chain. If two values are equal, no block was stored or dropped between them, nor anything
/// stored with blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainPositions(Vec<Position>);

/// Chain id, first block, head and head hash.
type Position = (i64, i64, Option<i64>, Option<Vec<u8>>);

/// The current positions of all chains.
pub async fn chain_positions(connection: &mut PgConnection) -> Result<ChainPositions, StoreError> {
    let chain_positions = sqlx::query_as(
        "SELECT chain_id, start_block, head_number, head_hash FROM chains ORDER BY chain_id",
    )
    .fetch_all(connection)
    .await?;
    Ok(ChainPositions(chain_positions))
}

/// Time since each chain's node last answered, in ms; `None` if it never has.
pub async fn node_ages(
    connection: &mut PgConnection,
) -> Result<Vec<(ChainId, Option<u64>)>, StoreError> {
    let ages: Vec<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT chain_id, (extract(epoch FROM now() - node_seen_at) * 1000)::bigint FROM chains",
    )
    .fetch_all(connection)
    .await?;
    let age = |age: i64| u64::try_from(age).unwrap_or(0);
    Ok(ages
        .into_iter()
        .map(|(chain, ms)| (chain.cast_unsigned(), ms.map(age)))
        .collect())
}
