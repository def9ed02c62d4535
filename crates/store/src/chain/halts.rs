//! Halted chains: their writer cannot continue without intervention. Stored so that every process can report them.

use sqlx::PgConnection;

use super::{StoreError, bigint};
use chaincast_protocol::ChainId;

/// Records why a chain's writer halted, and since when.
pub async fn halt(
    connection: &mut PgConnection,
    chain_id: ChainId,
    reason: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO halts (chain_id, reason) VALUES ($1, $2)
         ON CONFLICT (chain_id) DO UPDATE SET reason = excluded.reason",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes the halt: a writer continues the chain.
pub async fn unhalt(connection: &mut PgConnection, chain_id: ChainId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM halts WHERE chain_id = $1")
        .bind(bigint(chain_id, "chain_id")?)
        .execute(connection)
        .await?;
    Ok(())
}
