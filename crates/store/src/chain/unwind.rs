//! Removes blocks from the head: the inverse of applying them.

use sqlx::PgConnection;

use super::{StoreError, bigint, ref_at, refs_between, root, state::state};
use crate::contracts;
use chaincast_protocol::{BlockRef, ChainId};

/// Removes every block above `to`, which becomes the head, and archives them in `dropped_blocks` with their
/// transactions, logs, transfers, ticks and contract events. Returns the dropped blocks, newest first.
///
/// `to` must be indexed, or be the parent of the first indexed block; then nothing stays indexed.
pub async fn unwind(
    connection: &mut PgConnection,
    chain_id: ChainId,
    to: BlockRef,
) -> Result<Vec<BlockRef>, StoreError> {
    let refused = |reason: &str| {
        StoreError::Conflict(format!(
            "chain {chain_id} cannot unwind to block {} {}: {reason}",
            to.number, to.hash
        ))
    };
    let stored = state(connection, chain_id)
        .await?
        .ok_or_else(|| refused("the chain is not registered"))?;
    let head = stored.head.ok_or_else(|| refused("nothing is indexed"))?;
    let known = if to.number + 1 == stored.start_block {
        root(connection, chain_id).await?
    } else {
        ref_at(connection, chain_id, to.number)
            .await?
            .map(|block| block.hash)
    };
    if known != Some(to.hash) {
        return Err(refused("it is not indexed"));
    }

    let target = bigint(to.number, "block number")?;
    let id = bigint(chain_id, "chain_id")?;
    let dropped = refs_between(connection, chain_id, to.number + 1, head.number).await?;
    for statement in [
        "INSERT INTO dropped_blocks (chain_id, hash, number, content)
         SELECT b.chain_id, b.hash, b.number, jsonb_build_object(
             'block', to_jsonb(b),
             'transactions', coalesce((SELECT jsonb_agg(to_jsonb(t) ORDER BY t.transaction_index)
                 FROM transactions t WHERE t.chain_id = b.chain_id AND t.block_number = b.number), '[]'),
             'logs', coalesce((SELECT jsonb_agg(to_jsonb(l) ORDER BY l.log_index)
                 FROM logs l WHERE l.chain_id = b.chain_id AND l.block_number = b.number), '[]'),
             'transfers', coalesce((SELECT jsonb_agg(to_jsonb(r) ORDER BY r.log_index, r.position)
                 FROM transfers r WHERE r.chain_id = b.chain_id AND r.block_number = b.number), '[]'),
             'ticks', coalesce((SELECT jsonb_agg(to_jsonb(k) ORDER BY k.log_index, k.id)
                 FROM ticks k WHERE k.chain_id = b.chain_id AND k.block_number = b.number), '[]'),
             'contractEvents', coalesce((SELECT jsonb_agg(to_jsonb(e) || jsonb_build_object('contract', c.name)
                     ORDER BY e.log_index, c.id)
                 FROM contracts c JOIN contract_events e ON e.contract_id = c.id AND e.block_number = b.number
                 WHERE c.chain_id = b.chain_id AND c.retired_at IS NULL), '[]'))
         FROM blocks b WHERE b.chain_id = $1 AND b.number > $2",
        "DELETE FROM ticks WHERE chain_id = $1 AND block_number > $2",
        "DELETE FROM transfers WHERE chain_id = $1 AND block_number > $2",
        "DELETE FROM logs WHERE chain_id = $1 AND block_number > $2",
        "DELETE FROM transactions WHERE chain_id = $1 AND block_number > $2",
        "DELETE FROM blocks WHERE chain_id = $1 AND number > $2",
    ] {
        sqlx::query(statement).bind(id).bind(target).execute(&mut *connection).await?;
    }
    contracts::unwind(&mut *connection, id, target).await?;
    let left = to.number >= stored.start_block;
    // A dropped identity is replaced by the first block; if that is dropped too, by the next first block.
    let identity = (left && stored.identity.number > to.number)
        .then(|| bigint(stored.start_block, "block number"))
        .transpose()?;
    sqlx::query(
        "UPDATE chains SET head_number = $2, head_hash = $3, updated_at = now(),
             safe_number = CASE WHEN safe_number > $4 THEN $2 ELSE safe_number END,
             verified_through = CASE WHEN verified_through > $4 THEN $2 ELSE verified_through END,
             native_transfers_from = CASE WHEN native_transfers_from <= $4 THEN native_transfers_from END,
             genesis_hash = coalesce(i.hash, genesis_hash),
             identity_number = coalesce(i.number, identity_number)
         FROM (SELECT) AS one LEFT JOIN blocks i ON i.chain_id = $1 AND i.number = $5
         WHERE chains.chain_id = $1",
    )
    .bind(id)
    .bind(left.then_some(target))
    .bind(left.then(|| to.hash.to_vec()))
    .bind(target)
    .bind(identity)
    .execute(connection)
    .await?;
    Ok(dropped)
}
