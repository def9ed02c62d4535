//! Appends blocks to the head.

use std::slice;

use sqlx::PgConnection;

use super::{
    StoreError,
    batch::{Batch, insert_rows},
    bigint, bigint_or_null,
    state::state,
};
use chaincast_model::IndexedBlock;
use chaincast_protocol::{BlockRef, ChainId};

/// Stores blocks that follow the head, or `start_block` if nothing is indexed, and moves the cursor. `proven`: every
/// check was on when they were fetched.
///
/// Checks the parent links among the blocks and to the stored head, the latter in the same transaction. A broken link
/// is a [`StoreError::Conflict`], and nothing is stored.
pub async fn apply(
    connection: &mut PgConnection,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
    proven: bool,
) -> Result<(), StoreError> {
    if blocks.is_empty() {
        return Ok(());
    }
    let batch = Batch::encode(chain_id, blocks)?;
    apply_batch(connection, &batch, proven).await
}

/// Like [`apply`], for encoded blocks.
pub async fn apply_batch(
    connection: &mut PgConnection,
    batch: &Batch,
    proven: bool,
) -> Result<(), StoreError> {
    apply_batches(connection, slice::from_ref(batch), proven).await
}

/// Like [`apply`], for consecutive batches of one chain: one COPY per table for all of them.
pub async fn apply_batches(
    connection: &mut PgConnection,
    batches: &[Batch],
    proven: bool,
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
        return Ok(());
    };
    let chain_id = first.chain_id();
    check_links(connection, chain_id, batches).await?;
    insert_rows(connection, batches).await?;
    let native_from = batches.iter().find_map(Batch::native_from);
    // `verified_through` only grows without a gap. On a chain whose identity is not block 0, the first block is the
    // identity.
    sqlx::query(
        "UPDATE chains SET head_number = $2, head_hash = $3, updated_at = now(),
             verified_through = CASE
                 WHEN $4 AND coalesce(verified_through, start_block - 1) = $5 - 1 THEN $2
                 ELSE verified_through END,
             native_transfers_from = least(native_transfers_from, $6),
             genesis_hash = CASE WHEN head_number IS NULL AND identity_number > 0 THEN $7 ELSE genesis_hash END,
             identity_number = CASE WHEN head_number IS NULL AND identity_number > 0 THEN $5 ELSE identity_number END
         WHERE chain_id = $1",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(last.last().number, "block number")?)
    .bind(last.last().hash.as_slice())
    .bind(proven)
    .bind(bigint(first.first().number, "block number")?)
    .bind(bigint_or_null(native_from, "block number")?)
    .bind(first.first().hash.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

/// Links within a batch were checked when it was encoded.
async fn check_links(
    connection: &mut PgConnection,
    chain_id: ChainId,
    batches: &[Batch],
) -> Result<(), StoreError> {
    let stored = state(connection, chain_id)
        .await?
        .ok_or_else(|| StoreError::Conflict(format!("chain {chain_id} is not registered")))?;
    let mut below = stored.head;
    for batch in batches {
        let first = batch.first();
        let fits = batch.chain_id() == chain_id
            && match below {
                Some(BlockRef { number, hash }) => {
                    first.number == number + 1 && batch.parent() == hash
                }
                None => first.number == stored.start_block,
            };
        if !fits {
            let expected = below.map_or_else(
                || format!("the first block, {}", stored.start_block),
                |head| format!("a child of block {} {}", head.number, head.hash),
            );
            return Err(StoreError::Conflict(format!(
                "block {} {} of chain {} is not {expected} of chain {chain_id}",
                first.number,
                first.hash,
                batch.chain_id()
            )));
        }
        below = Some(batch.last());
    }
    Ok(())
}
