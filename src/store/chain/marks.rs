//! Whether any chain moved, cheaply: what is stored with blocks is read again only then.

use sqlx::PgConnection;

use super::StoreError;
use crate::model::ChainId;

/// From where to where every chain is indexed. While two are equal, no block was stored or dropped between them, and so
/// nothing that goes in and out with its block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainMarks(Vec<Mark>);

/// Chain, first block, head and its hash.
type Mark = (i64, i64, Option<i64>, Option<Vec<u8>>);

/// Where the chains stand now.
pub async fn marks(connection: &mut PgConnection) -> Result<ChainMarks, StoreError> {
    let marks = sqlx::query_as(
        "SELECT chain_id, start_block, head_number, head_hash FROM chains ORDER BY chain_id",
    )
    .fetch_all(connection)
    .await?;
    Ok(ChainMarks(marks))
}

/// How long ago the node of each chain last answered, in ms; `None` for one that never did.
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
