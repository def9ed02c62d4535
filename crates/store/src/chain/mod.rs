//! The canonical chain: its row with the cursor, and the steps that move the cursor.
//!
//! [`apply()`] appends blocks to the head, [`unwind()`] removes them; each is the other's inverse, and both keep the
//! rows of a chain hash-linked from the first indexed block to the head. They run in the transaction of the chain's
//! writer (see [`super::writer`]).

mod apply;
mod batch;
mod consistency;
mod copy;
mod durable;
mod halts;
pub mod indexes;
mod numeric;
mod positions;
mod prepend;
mod providers;
mod rows;
mod state;
mod stored_rows;
mod unwind;

pub use apply::{apply, apply_batch, apply_batches};
pub use batch::Batch;
pub use consistency::contradictions;
pub use durable::{commit_asynchronously, wait_until_durable};
pub use halts::{halt, unhalt};
pub use positions::{ChainPositions, chain_positions, node_ages};
pub use prepend::prepend_batch;
pub use providers::{ProviderRow, record_providers};
pub use state::{
    ChainState, Tags, known_blocks, record_node, record_tags, record_unproved, register,
    set_index_mode, state,
};
pub use stored_rows::{
    Inconsistency, StoredRows, TABLES, TextRow, cursor_fault, orphaned_rows, read_blocks,
};
pub use unwind::unwind;

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::StoreError;
use chaincast_protocol::{B256, BlockRef, ChainId};

/// Indexed blocks with `from <= number <= to`, newest first.
async fn refs_between(
    connection: &mut PgConnection,
    chain_id: ChainId,
    from: u64,
    to: u64,
) -> Result<Vec<BlockRef>, StoreError> {
    sqlx::query(
        "SELECT number, hash FROM blocks
         WHERE chain_id = $1 AND number BETWEEN $2 AND $3 ORDER BY number DESC",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(bigint(from, "block number")?)
    .bind(bigint(to, "block number")?)
    .fetch_all(connection)
    .await?
    .iter()
    .map(parse_ref)
    .collect()
}

/// The indexed block at a height.
pub async fn ref_at(
    connection: &mut PgConnection,
    chain_id: ChainId,
    number: u64,
) -> Result<Option<BlockRef>, StoreError> {
    Ok(refs_between(connection, chain_id, number, number)
        .await?
        .pop())
}

/// The hash of the parent of the first indexed block.
pub async fn root(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Option<B256>, StoreError> {
    sqlx::query_scalar::<_, Vec<u8>>(
        "SELECT b.parent_hash FROM chains c
         JOIN blocks b ON b.chain_id = c.chain_id AND b.number = c.start_block
         WHERE c.chain_id = $1",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .fetch_optional(connection)
    .await?
    .map(|bytes| hash(&bytes, "parent hash"))
    .transpose()
}

/// The first indexed block in which native transfers are logs.
pub async fn native_transfers_from(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Option<u64>, StoreError> {
    let number: Option<Option<i64>> =
        sqlx::query_scalar("SELECT native_transfers_from FROM chains WHERE chain_id = $1")
            .bind(bigint(chain_id, "chain_id")?)
            .fetch_optional(connection)
            .await?;
    Ok(number.flatten().map(|number| number as u64))
}

fn parse_ref(row: &PgRow) -> Result<BlockRef, StoreError> {
    Ok(BlockRef {
        number: row.try_get::<i64, _>("number")? as u64,
        hash: hash(&row.try_get::<Vec<u8>, _>("hash")?, "block hash")?,
    })
}

fn hash(bytes: &[u8], what: &'static str) -> Result<B256, StoreError> {
    B256::try_from(bytes).map_err(|_| StoreError::Corrupt {
        what,
        reason: format!("it has {} bytes, not 32", bytes.len()),
    })
}

/// Postgres has no unsigned integers: a value that does not fit is rejected, never wrapped.
pub(crate) fn bigint(value: u64, what: &str) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| {
        StoreError::Conflict(format!(
            "{what} {value} is above 2^63 - 1 and cannot be stored"
        ))
    })
}

pub(crate) fn bigint_or_null(value: Option<u64>, what: &str) -> Result<Option<i64>, StoreError> {
    value.map(|value| bigint(value, what)).transpose()
}
