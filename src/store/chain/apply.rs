//! Blocks on top of the head.

use sqlx::PgConnection;

use super::{StoreError, bigint, events, state::state, transactions};
use crate::model::{BlockRef, ChainId, IndexedBlock};

/// Stores blocks that follow the head, or `start_block` when nothing is indexed, and moves the cursor. `proven` says
/// that every check was on when they were fetched.
///
/// The parent links, among the blocks and to the stored head, are checked here, in the transaction that relies on
/// them; a break is a [`StoreError::Conflict`] and nothing is stored.
pub async fn apply(
    connection: &mut PgConnection,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
    proven: bool,
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Ok(());
    };
    check_links(connection, chain_id, blocks).await?;
    insert_blocks(connection, chain_id, blocks).await?;
    transactions::insert(connection, chain_id, blocks).await?;
    events::insert_logs(connection, chain_id, blocks).await?;
    events::insert_transfers(connection, chain_id, blocks).await?;
    // Proof goes on only where it stood without a hole.
    sqlx::query(
        "UPDATE chains SET head_number = $2, head_hash = $3, updated_at = now(),
             verified_through = CASE
                 WHEN $4 AND coalesce(verified_through, start_block - 1) = $5 - 1 THEN $2
                 ELSE verified_through END
         WHERE chain_id = $1",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(last.header.number, "block number")?)
    .bind(last.header.hash.as_slice())
    .bind(proven)
    .bind(bigint(first.header.number, "block number")?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn check_links(
    connection: &mut PgConnection,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
) -> Result<(), StoreError> {
    let stored = state(connection, chain_id)
        .await?
        .ok_or_else(|| StoreError::Conflict(format!("chain {chain_id} is not registered")))?;
    let mut below = stored.head;
    for block in blocks {
        let header = &block.header;
        let fits = match below {
            Some(BlockRef { number, hash }) => {
                header.number == number + 1 && header.parent_hash == hash
            }
            None => header.number == stored.start_block,
        };
        if !fits {
            let expected = below.map_or_else(
                || format!("the first block, {}", stored.start_block),
                |head| format!("a child of block {} {}", head.number, head.hash),
            );
            return Err(StoreError::Conflict(format!(
                "block {} {} of chain {chain_id} is not {expected}",
                header.number, header.hash
            )));
        }
        below = Some(block.block_ref());
    }
    Ok(())
}

async fn insert_blocks(
    connection: &mut PgConnection,
    chain_id: ChainId,
    blocks: &[IndexedBlock],
) -> Result<(), StoreError> {
    macro_rules! column {
        ($header:ident => $value:expr) => {
            blocks
                .iter()
                .map(|block| &block.header)
                .map(|$header| $value)
                .collect::<Vec<_>>()
        };
        (try $header:ident => $value:expr) => {
            blocks
                .iter()
                .map(|block| &block.header)
                .map(|$header| $value)
                .collect::<Result<Vec<_>, StoreError>>()?
        };
    }
    let optional = |value: Option<u64>, what: &str| value.map(|v| bigint(v, what)).transpose();
    sqlx::query(
        "INSERT INTO blocks (chain_id, number, hash, parent_hash, timestamp, miner, gas_used, gas_limit,
             base_fee_per_gas, difficulty, size, state_root, transactions_root, receipts_root, extra_data,
             mix_hash, nonce, blob_gas_used, excess_blob_gas, transaction_count, log_count)
         SELECT $1, number, hash, parent_hash, timestamp, miner, gas_used, gas_limit,
             base_fee_per_gas::numeric, difficulty::numeric, size, state_root, transactions_root, receipts_root,
             extra_data, mix_hash, nonce, blob_gas_used, excess_blob_gas, transaction_count, log_count
         FROM unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bytea[], $7::bigint[],
             $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::bytea[], $13::bytea[], $14::bytea[],
             $15::bytea[], $16::bytea[], $17::bytea[], $18::bigint[], $19::bigint[], $20::int[], $21::int[])
             AS t (number, hash, parent_hash, timestamp, miner, gas_used, gas_limit, base_fee_per_gas,
                 difficulty, size, state_root, transactions_root, receipts_root, extra_data, mix_hash, nonce,
                 blob_gas_used, excess_blob_gas, transaction_count, log_count)",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(column!(try h => bigint(h.number, "block number")))
    .bind(column!(h => h.hash.as_slice()))
    .bind(column!(h => h.parent_hash.as_slice()))
    .bind(column!(try h => bigint(h.timestamp, "block timestamp")))
    .bind(column!(h => h.miner.as_slice()))
    .bind(column!(try h => bigint(h.gas_used, "gas used")))
    .bind(column!(try h => bigint(h.gas_limit, "gas limit")))
    .bind(column!(h => h.base_fee_per_gas.map(|fee| fee.to_string())))
    .bind(column!(h => h.difficulty.to_string()))
    .bind(column!(try h => optional(h.size, "block size")))
    .bind(column!(h => h.state_root.as_slice()))
    .bind(column!(h => h.transactions_root.as_slice()))
    .bind(column!(h => h.receipts_root.as_slice()))
    .bind(column!(h => h.extra_data.as_ref()))
    .bind(column!(h => h.mix_hash.as_ref().map(|hash| hash.as_slice())))
    .bind(column!(h => h.nonce.as_ref().map(|nonce| nonce.as_slice())))
    .bind(column!(try h => optional(h.blob_gas_used, "blob gas used")))
    .bind(column!(try h => optional(h.excess_blob_gas, "excess blob gas")))
    .bind(blocks.iter().map(|block| block.transactions.len() as i32).collect::<Vec<_>>())
    .bind(blocks.iter().map(|block| block.logs.len() as i32).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
