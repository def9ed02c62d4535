//! One transaction of the chain writer: rows, cursor, ticks and updates together. The updates are published after it.

use std::time::Instant;

use super::{
    IngestError,
    ticks::decode_ticks,
    timeouts::{COMMIT_TIMEOUT, STORE_TIMEOUT},
    writer::ChainWriter,
};
use crate::PriceSignal;
use chaincast_evm::contract::DecodedLogs;
use chaincast_model::IndexedBlock;
use chaincast_protocol::BlockRef;
use chaincast_store::{
    chain::{self as stored, Tags},
    ticks, token_contracts, updates,
};

/// The next step of the stored chain.
pub(super) struct Step<'a> {
    /// Unwinds to this block first.
    pub(super) ancestor: Option<BlockRef>,
    pub(super) blocks: &'a [IndexedBlock],
    /// The same blocks, if they are already encoded.
    pub(super) encoded: Option<&'a stored::Batch>,
    /// The blocks go below the first stored block instead of above the head; then they must be encoded.
    pub(super) below: bool,
    /// The lowest height that is announced.
    pub(super) announce_from: u64,
}

impl ChainWriter<'_> {
    /// Commits a step, then announces it. After an error the step was not applied, unless only the answer to the commit
    /// was lost: the next writer reads the actual state.
    pub(super) async fn commit(&mut self, step: Step<'_>) -> Result<(), IngestError> {
        let parts = self.parts;
        let chain_id = parts.config.chain_id;
        let unread = self.price_backfills.unread(parts.decoder.on_chain());
        let mut new_ticks = decode_ticks(parts.decoder.as_ref(), chain_id, step.blocks);
        // Below the first stored block contracts are decoded later: contracts that a factory created there are not known
        // yet.
        let (read, last) = if step.below {
            (DecodedLogs::default(), None)
        } else {
            let last = step.blocks.last().map(IndexedBlock::block_ref);
            (self.contracts.read(step.ancestor, step.blocks), last)
        };
        let contracts = &self.contracts;
        let averages = &mut self.averages;
        let price_backfills = &mut self.price_backfills;
        let new_tokens = self.tokens.new_in(step.blocks);
        let mut new_updates = Vec::with_capacity(step.blocks.len() + 1);
        // Heights rise by one, so the announced blocks are a suffix.
        let quiet = step
            .blocks
            .partition_point(|block| block.header.number < step.announce_from);
        let announced = &step.blocks[quiet..];
        let is_history = step.encoded.is_some() && step.ancestor.is_none() && announced.is_empty();

        // Encoded blocks come from a load, whose checks are those of history.
        let mut newly_unproved = parts.config.unproved(step.encoded.is_some());
        newly_unproved.retain(|key| !self.unproved.contains(key));

        let began = Instant::now();
        let writer = &mut self.writer;
        let committed = parts.within(COMMIT_TIMEOUT, async {
            let mut transaction = writer.begin().await?;
            if is_history {
                stored::commit_asynchronously(&mut transaction).await?;
            }
            let mut dropped = 0;
            if let Some(ancestor) = step.ancestor {
                new_updates.extend(parts.watched_reorg(&mut transaction, ancestor).await?);
                let channels = contracts.channels_above(&mut transaction, ancestor).await?;
                let blocks = stored::unwind(&mut transaction, chain_id, ancestor).await?;
                dropped = blocks.len();
                new_updates.extend(contracts.reorg_updates(channels, ancestor, &blocks));
                new_updates.push(parts.announcer.reorg(ancestor, blocks));
            }
            let proven = parts.config.claims_proof();
            if proven && !newly_unproved.is_empty() {
                stored::record_unproved(&mut transaction, chain_id, &newly_unproved).await?;
            }
            match step.encoded {
                Some(batch) if step.below => {
                    stored::prepend_batch(&mut transaction, batch, proven).await?;
                }
                Some(batch) => stored::apply_batch(&mut transaction, batch, proven).await?,
                None => stored::apply(&mut transaction, chain_id, step.blocks, proven).await?,
            }
            // Below the first stored block the earlier observations of a window are unknown.
            if !step.below {
                let sources = parts.decoder.on_chain();
                new_ticks.extend(
                    averages
                        .advance(&mut transaction, sources, step.ancestor, step.blocks)
                        .await?,
                );
            }
            ticks::insert(&mut transaction, &new_ticks).await?;
            price_backfills
                .record_decoded(
                    &mut transaction,
                    &unread,
                    step.ancestor,
                    step.blocks,
                    step.below,
                )
                .await?;
            token_contracts::insert_new(&mut transaction, chain_id, &new_tokens).await?;
            contracts.insert(&mut transaction, &read, last).await?;
            new_updates.extend(
                announced
                    .iter()
                    .map(|block| parts.announcer.new_block(block)),
            );
            new_updates.extend(parts.watched_blocks(&mut transaction, announced).await?);
            new_updates.extend(contracts.event_updates(
                &read.events,
                step.blocks,
                step.announce_from,
            ));
            let updates = updates::append(&mut transaction, new_updates).await?;
            transaction.commit().await?;
            Ok((updates, dropped))
        });
        let (updates, dropped) = committed.await?;
        writer.lease().record_commit();
        parts.store.clear_writer_failure(parts.stream());

        self.unproved.extend(newly_unproved);
        parts.publisher.publish(updates);
        match (step.blocks.first(), step.blocks.last()) {
            (Some(first), _) if step.below => self.start = first.header.number,
            (_, Some(last)) => self.head = Some(last.block_ref()),
            _ => {}
        }
        if let Some(ancestor) = step.ancestor {
            // `safe` was lowered with the head: record the node's tags again.
            self.recorded = Tags::default();
            tracing::warn!(
                chain_id,
                depth = dropped,
                ancestor = ancestor.number,
                head = self.head.map(|head| head.number),
                "followed a reorg"
            );
            parts.signals.send(PriceSignal::Reorged { chain_id });
        }
        if !new_ticks.is_empty() {
            parts.signals.send(PriceSignal::Ticks(new_ticks));
        }
        parts.progress.stored(step.blocks, began.elapsed());
        parts
            .metrics
            .committed(step.blocks, dropped, began.elapsed());
        Ok(())
    }

    /// Commits the node's tags, and announces a newly finalized block.
    pub(super) async fn commit_tags(
        &mut self,
        tags: Tags,
        newly_final: Option<BlockRef>,
    ) -> Result<(), IngestError> {
        let parts = self.parts;
        // The genesis block is always final: it is not announced.
        let announced = newly_final.filter(|block| block.number > 0);
        let mut new_updates: Vec<_> = announced
            .map(|block| parts.announcer.finalized(block))
            .into_iter()
            .collect();
        let (writer, head) = (&mut self.writer, self.head);
        let committed = parts.within(STORE_TIMEOUT, async {
            let mut transaction = writer.begin().await?;
            stored::record_tags(&mut transaction, parts.config.chain_id, &tags).await?;
            if let Some(block) = newly_final {
                new_updates.extend(parts.watched_final(&mut transaction, block, head).await?);
            }
            let updates = updates::append(&mut transaction, new_updates).await?;
            transaction.commit().await?;
            Ok(updates)
        });
        let updates = committed.await?;
        parts.publisher.publish(updates);
        Ok(())
    }
}
