//! Updates for watched transactions and addresses.
//!
//! Everything is read and written in the transaction of the commit, through indexes: the cost depends on what the blocks
//! touch, not on the number of watches.

mod address_activity;
mod address_events;
mod new_update;
mod poll;
mod transaction_lifecycle;

use std::time::Instant;

use rustc_hash::FxHashSet;
use sqlx::PgConnection;

use self::new_update::{address_update, transaction_update};
use super::Parts;
use chaincast_model::IndexedBlock;
use chaincast_protocol::{AddressReorg, B256, BlockRef, Event, NewUpdate, now_ms};
use chaincast_store::{StoreError, chain as stored, watches};

impl Parts {
    /// Updates that revert what was published for the blocks above `ancestor`. Must be called while these are still
    /// stored.
    pub(super) async fn watched_reorg(
        &self,
        connection: &mut PgConnection,
        ancestor: BlockRef,
    ) -> Result<Vec<NewUpdate>, StoreError> {
        let chain_id = self.config.chain_id;
        watches::lock_shared(connection).await?;
        let dropped = watches::dropped_activity(connection, chain_id, ancestor.number).await?;
        let reorged = watches::reorg(connection, chain_id, ancestor.number).await?;
        let hashes: Vec<B256> = reorged.iter().map(|update| update.hash).collect();
        let mut new_updates: Vec<NewUpdate> = reorged.into_iter().map(transaction_update).collect();
        let unaffected =
            watches::restore_earlier_inclusions(connection, chain_id, ancestor.number, &hashes)
                .await?;
        let depth = self.config.confirmations;
        new_updates.extend(transaction_lifecycle::after_reorg(
            &unaffected,
            ancestor.number,
            depth,
        ));
        new_updates.extend(dropped.into_iter().map(|touched| {
            address_update(
                touched.address,
                Event::AddressReorg(AddressReorg {
                    chain_id,
                    common_ancestor: ancestor,
                    dropped: touched.blocks,
                    timestamp: now_ms(),
                }),
            )
        }));
        self.metrics.watched(new_updates.len());
        Ok(new_updates)
    }

    /// Updates for new blocks, which must be stored and announced.
    pub(super) async fn watched_blocks(
        &self,
        connection: &mut PgConnection,
        blocks: &[IndexedBlock],
    ) -> Result<Vec<NewUpdate>, StoreError> {
        if blocks.is_empty() {
            return Ok(Vec::new());
        }
        watches::lock_shared(connection).await?;
        let began = Instant::now();
        if !watches::has_any(connection).await? {
            return Ok(Vec::new());
        }
        let touched = address_activity::touched(blocks);
        let keys: Vec<&[u8]> = touched.iter().map(|key| key.as_slice()).collect();
        let watched: FxHashSet<Vec<u8>> = watches::watched_keys(connection, &keys)
            .await?
            .into_iter()
            .collect();
        let mut new_updates = transaction_lifecycle::block_updates(
            connection,
            self.config.chain_id,
            self.config.confirmations,
            blocks,
            &watched,
        )
        .await?;
        if !watched.is_empty() {
            let chain_id = self.config.chain_id;
            let native_from = stored::native_transfers_from(connection, chain_id).await?;
            new_updates.extend(address_activity::block_updates(
                chain_id,
                blocks,
                native_from,
                &watched,
            ));
        }
        self.metrics.watched(new_updates.len());
        self.metrics.looked_up(began.elapsed());
        Ok(new_updates)
    }

    /// Updates of watched transactions that a finalized block made final, with their confirmations at `head`.
    pub(super) async fn watched_final(
        &self,
        connection: &mut PgConnection,
        block: BlockRef,
        head: Option<BlockRef>,
    ) -> Result<Vec<NewUpdate>, StoreError> {
        watches::lock_shared(connection).await?;
        let settled = watches::finalize(connection, self.config.chain_id, block.number).await?;
        let new_updates: Vec<NewUpdate> = settled
            .into_iter()
            .map(|mut update| {
                let head = head.unwrap_or(block).number;
                update.confirmations = update
                    .block_number
                    .map(|number| head.saturating_sub(number) + 1);
                transaction_update(update)
            })
            .collect();
        self.metrics.watched(new_updates.len());
        Ok(new_updates)
    }
}
