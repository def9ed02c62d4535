//! Prepends blocks below the first one, for backfills.

use sqlx::PgConnection;

use super::{
    StoreError,
    batch::{Batch, insert_rows},
    bigint, bigint_or_null, root,
    state::state,
};

/// Stores blocks whose last is the parent of the first stored one, and lowers `start_block` to their first. The stored
/// chain stays linked. `proven`: every check was on when they were fetched.
///
/// `verified_through` is kept if they were proven, or starts with them if it was not set; otherwise it is cleared, as
/// nothing is proven without a gap. A broken link is a [`StoreError::Conflict`], and nothing is stored.
pub async fn prepend_batch(
    connection: &mut PgConnection,
    batch: &Batch,
    proven: bool,
) -> Result<(), StoreError> {
    let chain_id = batch.chain_id();
    let stored = state(connection, chain_id)
        .await?
        .ok_or_else(|| StoreError::Conflict(format!("chain {chain_id} is not registered")))?;
    let above = root(connection, chain_id).await?;
    let last = batch.last();
    if above != Some(last.hash) || last.number.checked_add(1) != Some(stored.start_block) {
        return Err(StoreError::Conflict(format!(
            "block {} {} is not the parent of block {}, the first stored one of chain {chain_id}",
            last.number, last.hash, stored.start_block
        )));
    }
    insert_rows(connection, std::slice::from_ref(batch)).await?;
    sqlx::query(
        "UPDATE chains SET start_block = $2, updated_at = now(),
             verified_through = CASE WHEN $3 THEN coalesce(verified_through, $4) END,
             native_transfers_from = least(native_transfers_from, $5)
         WHERE chain_id = $1",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(batch.first().number, "block number")?)
    .bind(proven)
    .bind(bigint(last.number, "block number")?)
    .bind(bigint_or_null(batch.native_from(), "block number")?)
    .execute(connection)
    .await?;
    Ok(())
}
