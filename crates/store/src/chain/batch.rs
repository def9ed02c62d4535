//! Encoded blocks. Encoding runs apart from the writer, so that the writer only waits for Postgres.

use sqlx::PgConnection;

use super::{
    StoreError,
    copy::{OutOfRange, Rows, copy_in},
    rows::{self, Place},
};
use chaincast_model::IndexedBlock;
use chaincast_protocol::{B256, BlockRef, ChainId};

/// Typical size of a row: buffers start at this size and rarely grow.
const BLOCK_BYTES: usize = 1_700;
const TRANSACTION_BYTES: usize = 370;
const LOG_BYTES: usize = 280;
const TRANSFER_BYTES: usize = 170;

/// The rows of consecutive, linked blocks of one chain, in Postgres' binary COPY format.
#[derive(Debug, Clone)]
pub struct Batch {
    chain_id: ChainId,
    first: BlockRef,
    last: BlockRef,
    parent: B256,
    native_from: Option<u64>,
    pub(super) blocks: Rows,
    pub(super) transactions: Rows,
    pub(super) logs: Rows,
    pub(super) transfers: Rows,
}

impl Batch {
    /// Encodes blocks. CPU-bound; no I/O.
    ///
    /// Fails with [`StoreError::Conflict`] if there is no block, if a block is not the child of the previous one, or if
    /// a value does not fit its column; the message names block and field.
    pub fn encode(chain_id: ChainId, blocks: &[IndexedBlock]) -> Result<Self, StoreError> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return Err(StoreError::Conflict(format!(
                "no block of chain {chain_id} to store"
            )));
        };
        check_links(chain_id, blocks)?;
        let chain = super::bigint(chain_id, "chain_id")?;
        let sum = |count: fn(&IndexedBlock) -> usize| blocks.iter().map(count).sum::<usize>();
        let mut batch = Self {
            chain_id,
            first: first.block_ref(),
            last: last.block_ref(),
            parent: first.header.parent_hash,
            native_from: blocks
                .iter()
                .find(|block| block.logs_native_transfers())
                .map(|block| block.header.number),
            blocks: Rows::with_capacity(blocks.len() * BLOCK_BYTES),
            transactions: Rows::with_capacity(
                sum(|block| block.transactions.len()) * TRANSACTION_BYTES,
            ),
            logs: Rows::with_capacity(sum(|block| block.logs.len()) * LOG_BYTES),
            transfers: Rows::with_capacity(sum(|block| block.transfers.len()) * TRANSFER_BYTES),
        };
        for block in blocks {
            batch.put(chain, block).map_err(|out_of_range| {
                StoreError::Conflict(format!(
                    "block {} {} of chain {chain_id} cannot be stored: {} is {}, above the maximum of {}",
                    block.header.number, block.header.hash, out_of_range.field, out_of_range.value, out_of_range.most
                ))
            })?;
        }
        batch.blocks.seal();
        batch.transactions.seal();
        batch.logs.seal();
        batch.transfers.seal();
        Ok(batch)
    }

    fn put(&mut self, chain_id: i64, block: &IndexedBlock) -> Result<(), OutOfRange> {
        let number = i64::try_from(block.header.number).map_err(|_| OutOfRange {
            field: "number",
            value: block.header.number,
            most: i64::MAX as u64,
        })?;
        let place = Place { chain_id, number };
        rows::block(&mut self.blocks, place, block)?;
        for transaction in &block.transactions {
            rows::transaction(&mut self.transactions, place, transaction)?;
        }
        for log in &block.logs {
            rows::log(&mut self.logs, place, log)?;
        }
        for transfer in &block.transfers {
            rows::transfer(&mut self.transfers, place, transfer)?;
        }
        Ok(())
    }

    pub(super) fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// The lowest block.
    pub fn first(&self) -> BlockRef {
        self.first
    }

    /// The highest block.
    pub fn last(&self) -> BlockRef {
        self.last
    }

    /// The hash of the block below the lowest.
    pub(super) fn parent(&self) -> B256 {
        self.parent
    }

    /// The lowest block in which native transfers are logs.
    pub(super) fn native_from(&self) -> Option<u64> {
        self.native_from
    }

    /// Number of rows of all tables.
    pub fn row_count(&self) -> u64 {
        let tables = [
            &self.blocks,
            &self.transactions,
            &self.logs,
            &self.transfers,
        ];
        tables.into_iter().map(Rows::count).sum()
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.blocks.bytes() + self.transactions.bytes() + self.logs.bytes() + self.transfers.bytes()
    }
}

fn check_links(chain_id: ChainId, blocks: &[IndexedBlock]) -> Result<(), StoreError> {
    for pair in blocks.windows(2) {
        let (below, header) = (pair[0].block_ref(), &pair[1].header);
        if below.number.checked_add(1) != Some(header.number) || header.parent_hash != below.hash {
            return Err(StoreError::Conflict(format!(
                "block {} {} of chain {chain_id} is not a child of block {} {}",
                header.number, header.hash, below.number, below.hash
            )));
        }
    }
    Ok(())
}

/// Loads the rows of batches with one COPY per table. The caller checks the links in the same transaction.
pub(super) async fn insert_rows(
    connection: &mut PgConnection,
    batches: &[Batch],
) -> Result<(), StoreError> {
    let all = || batches.iter();
    copy_in(connection, &rows::BLOCKS, all().map(|batch| &batch.blocks)).await?;
    copy_in(
        connection,
        &rows::TRANSACTIONS,
        all().map(|batch| &batch.transactions),
    )
    .await?;
    copy_in(connection, &rows::LOGS, all().map(|batch| &batch.logs)).await?;
    copy_in(
        connection,
        &rows::TRANSFERS,
        all().map(|batch| &batch.transfers),
    )
    .await
}
