//! Durability of backfill transactions.
//!
//! Rows and cursor of a backfill commit in one transaction, and transactions become durable in commit order. So a
//! transaction that publishes nothing need not wait for the disk: a crash loses the newest of them as a whole, and the
//! load resumes from the remaining cursor. A later published transaction is durable only together with all before it
//! (see "Asynchronous Commit" in the PostgreSQL manual).

use sqlx::PgConnection;

use super::{StoreError, bigint};
use chaincast_protocol::ChainId;

/// Makes this transaction's commit asynchronous. Only if it publishes nothing, and [`wait_until_durable`] follows.
pub async fn commit_asynchronously(transaction: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL synchronous_commit = off")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Waits until all commits for this chain are durable. Not within a transaction.
pub async fn wait_until_durable(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<(), StoreError> {
    // A synchronous commit flushes all earlier commits as well.
    sqlx::query("UPDATE chains SET updated_at = now() WHERE chain_id = $1")
        .bind(bigint(chain_id, "chain_id")?)
        .execute(connection)
        .await?;
    Ok(())
}
