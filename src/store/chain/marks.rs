//! Whether any chain moved, cheaply: what is stored with blocks is read again only then.

use sqlx::PgConnection;

use super::StoreError;

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
