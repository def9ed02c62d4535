//! What those who watch single transactions and addresses hear of a step of the chain.
//!
//! Everything is read and written in the step's own transaction, by indexes: what it costs depends on what the blocks
//! touch, not on how many watches there are.

mod activity;
mod life;
mod poll;

use std::time::Instant;

use rustc_hash::FxHashSet;
use sqlx::PgConnection;

use super::Parts;
use crate::{
    model::{
        Address, AddressReorg, B256, BlockRef, Channel, Event, IndexedBlock, NewUpdate,
        TransactionUpdate, now_ms,
    },
    store::{StoreError, chain as stored, watches},
};

impl Parts {
    /// What was told of the blocks above `ancestor` does not hold any more. To be called while they are still stored.
    pub(super) async fn watched_reorg(
        &self,
        connection: &mut PgConnection,
        ancestor: BlockRef,
    ) -> Result<Vec<NewUpdate>, StoreError> {
        let chain_id = self.config.chain_id;
        watches::hold(connection).await?;
        let dropped = watches::dropped_activity(connection, chain_id, ancestor.number).await?;
        let reorged = watches::reorg(connection, chain_id, ancestor.number).await?;
        let hashes: Vec<B256> = reorged.iter().map(|update| update.hash).collect();
        let mut news: Vec<NewUpdate> = reorged.into_iter().map(told).collect();
        let held = watches::fall_back(connection, chain_id, ancestor.number, &hashes).await?;
        let depth = self.config.confirmations;
        news.extend(life::held(&held, ancestor.number, depth));
        news.extend(dropped.into_iter().map(|touched| {
            addressed(
                touched.address,
                Event::AddressReorg(AddressReorg {
                    chain_id,
                    common_ancestor: ancestor,
                    dropped: touched.blocks,
                    timestamp: now_ms(),
                }),
            )
        }));
        self.metrics.watched(news.len());
        Ok(news)
    }

    /// What new blocks, which are stored and to be announced, have for those who watch.
    pub(super) async fn watched_blocks(
        &self,
        connection: &mut PgConnection,
        blocks: &[IndexedBlock],
    ) -> Result<Vec<NewUpdate>, StoreError> {
        if blocks.is_empty() {
            return Ok(Vec::new());
        }
        watches::hold(connection).await?;
        let began = Instant::now();
        if !watches::any(connection).await? {
            return Ok(Vec::new());
        }
        let touched = activity::touched(blocks);
        let keys: Vec<&[u8]> = touched.iter().map(|key| key.as_slice()).collect();
        let watched: FxHashSet<Vec<u8>> = watches::among(connection, &keys)
            .await?
            .into_iter()
            .collect();
        let mut news = life::of_blocks(
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
            news.extend(activity::of_blocks(chain_id, blocks, native_from, &watched));
        }
        self.metrics.watched(news.len());
        self.metrics.looked_up(began.elapsed());
        Ok(news)
    }

    /// Watched transactions that a block made final, with the count that they have at `head`.
    pub(super) async fn watched_final(
        &self,
        connection: &mut PgConnection,
        block: BlockRef,
        head: Option<BlockRef>,
    ) -> Result<Vec<NewUpdate>, StoreError> {
        watches::hold(connection).await?;
        let settled = watches::finalize(connection, self.config.chain_id, block.number).await?;
        let news: Vec<NewUpdate> = settled
            .into_iter()
            .map(|mut update| {
                let head = head.unwrap_or(block).number;
                update.confirmations = update
                    .block_number
                    .map(|number| head.saturating_sub(number) + 1);
                told(update)
            })
            .collect();
        self.metrics.watched(news.len());
        Ok(news)
    }
}

fn told(update: TransactionUpdate) -> NewUpdate {
    NewUpdate {
        channel: Channel::Tx(update.hash),
        event: Event::TransactionUpdate(update),
    }
}

fn addressed(address: Address, event: Event) -> NewUpdate {
    NewUpdate {
        channel: Channel::Address(address),
        event,
    }
}
