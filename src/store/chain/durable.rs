//! When a transaction of history is on the disk.
//!
//! Rows and cursor of history go in one transaction, and transactions reach the disk in their order. So one that
//! announces nothing need not be waited for: a server that crashes loses the newest of them whole, and the load goes on
//! from the cursor that is left. What is announced later is committed later, and is on the disk only with all before it
//! (see `synchronous_commit` in Postgres' manual, "Asynchronous Commit").

use sqlx::PgConnection;

use super::{StoreError, bigint};
use crate::model::ChainId;

/// This transaction's commit does not wait for the disk. Only where nothing of it is announced, and [`settle`] follows.
pub async fn commit_without_waiting(transaction: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL synchronous_commit = off")
        .execute(transaction)
        .await?;
    Ok(())
}

/// Waits until everything that was committed for this chain is on the disk. Not within a transaction.
pub async fn settle(connection: &mut PgConnection, chain_id: ChainId) -> Result<(), StoreError> {
    // Any commit that waits waits for all before it.
    sqlx::query("UPDATE chains SET updated_at = now() WHERE chain_id = $1")
        .bind(bigint(chain_id, "chain_id")?)
        .execute(connection)
        .await?;
    Ok(())
}
