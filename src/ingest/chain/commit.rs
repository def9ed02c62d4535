//! One transaction of the chain writer: rows, cursor, ticks and updates together, and the announcement after it.

use std::time::{Duration, Instant};

use super::{
    IngestError,
    session::{PATIENCE, Session},
    ticks::ticks_of,
};
use crate::{
    ingest::PriceSignal,
    model::{BlockRef, IndexedBlock},
    source::contract::Reading,
    store::{
        chain::{self as stored, Tags},
        ticks, token_contracts, updates,
    },
};

/// A database that takes longer for one transaction of blocks is taken for gone.
pub(super) const COMMIT_PATIENCE: Duration = Duration::from_secs(60);

/// The next step of the stored chain.
pub(super) struct Step<'a> {
    /// Goes back to this block first.
    pub(super) ancestor: Option<BlockRef>,
    pub(super) blocks: &'a [IndexedBlock],
    /// The same blocks, when they were encoded before.
    pub(super) encoded: Option<&'a stored::Batch>,
    /// They go below the first stored block instead of above the head; then they are encoded.
    pub(super) below: bool,
    /// Blocks from this height on are announced.
    pub(super) announce_from: u64,
}

impl Session<'_> {
    /// Commits a step, then announces it. When the transaction fails, nothing of it happened, unless the commit was
    /// carried out and only its answer is missing: the next session reads which.
    pub(super) async fn commit(&mut self, step: Step<'_>) -> Result<(), IngestError> {
        let parts = self.parts;
        let chain_id = parts.config.chain_id;
        let unread = self.pasts.unread(parts.decoder.on_chain());
        let mut new_ticks = ticks_of(parts.decoder.as_ref(), chain_id, step.blocks);
        // Below the first stored block contracts are decoded later: what a factory announced there is not known yet.
        let (read, last) = if step.below {
            (Reading::default(), None)
        } else {
            let last = step.blocks.last().map(IndexedBlock::block_ref);
            (self.contracts.read(step.ancestor, step.blocks), last)
        };
        let contracts = &self.contracts;
        let averages = &mut self.averages;
        let pasts = &mut self.pasts;
        let new_tokens = self.tokens.new_in(step.blocks);
        let mut news = Vec::with_capacity(step.blocks.len() + 1);
        // Heights rise by one, so what is announced is the end of it.
        let quiet = step
            .blocks
            .partition_point(|block| block.header.number < step.announce_from);
        let announced = &step.blocks[quiet..];
        let is_history = step.encoded.is_some() && step.ancestor.is_none() && announced.is_empty();

        // Blocks that were encoded before are of a load, whose senders are those of history.
        let mut unnoted = parts.config.unproved(step.encoded.is_some());
        unnoted.retain(|key| !self.unproved.contains(key));

        let began = Instant::now();
        let writer = &mut self.writer;
        let committed = parts.within(COMMIT_PATIENCE, async {
            let mut transaction = writer.begin().await?;
            if is_history {
                stored::commit_without_waiting(&mut transaction).await?;
            }
            let mut dropped = 0;
            if let Some(ancestor) = step.ancestor {
                news.extend(parts.watched_reorg(&mut transaction, ancestor).await?);
                let channels = contracts.channels_above(&mut transaction, ancestor).await?;
                let blocks = stored::unwind(&mut transaction, chain_id, ancestor).await?;
                dropped = blocks.len();
                news.extend(contracts.taken_back(channels, ancestor, &blocks));
                news.push(parts.announcer.reorg(ancestor, blocks));
            }
            let proven = parts.config.claims_proof();
            if proven && !unnoted.is_empty() {
                stored::note_unproved(&mut transaction, chain_id, &unnoted).await?;
            }
            match step.encoded {
                Some(batch) if step.below => {
                    stored::prepend_batch(&mut transaction, batch, proven).await?;
                }
                Some(batch) => stored::apply_batch(&mut transaction, batch, proven).await?,
                None => stored::apply(&mut transaction, chain_id, step.blocks, proven).await?,
            }
            // Below the first stored block there is no telling what was before.
            if !step.below {
                let sources = parts.decoder.on_chain();
                new_ticks.extend(
                    averages
                        .advance(&mut transaction, sources, step.ancestor, step.blocks)
                        .await?,
                );
            }
            ticks::insert(&mut transaction, &new_ticks).await?;
            pasts
                .note(
                    &mut transaction,
                    &unread,
                    step.ancestor,
                    step.blocks,
                    step.below,
                )
                .await?;
            token_contracts::note(&mut transaction, chain_id, &new_tokens).await?;
            contracts.insert(&mut transaction, &read, last).await?;
            news.extend(
                announced
                    .iter()
                    .map(|block| parts.announcer.new_block(block)),
            );
            news.extend(parts.watched_blocks(&mut transaction, announced).await?);
            news.extend(contracts.news(&read.events, step.blocks, step.announce_from));
            let updates = updates::append(&mut transaction, news).await?;
            transaction.commit().await?;
            Ok((updates, dropped))
        });
        let (updates, dropped) = committed.await?;
        writer.lease().wrote();
        parts.store.writer_works(parts.stream());

        self.unproved.extend(unnoted);
        parts.publisher.publish(updates);
        match (step.blocks.first(), step.blocks.last()) {
            (Some(first), _) if step.below => self.start = first.header.number,
            (_, Some(last)) => self.head = Some(last.block_ref()),
            _ => {}
        }
        if let Some(ancestor) = step.ancestor {
            // `safe` was lowered with the head: what the node says of it is news again.
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

    /// Commits what the node says of its chain, and announces a block that became final.
    pub(super) async fn commit_tags(
        &mut self,
        tags: Tags,
        newly_final: Option<BlockRef>,
    ) -> Result<(), IngestError> {
        let parts = self.parts;
        // That the genesis block is final is no news.
        let news = newly_final.filter(|block| block.number > 0);
        let mut news: Vec<_> = news
            .map(|block| parts.announcer.finalized(block))
            .into_iter()
            .collect();
        let (writer, head) = (&mut self.writer, self.head);
        let committed = parts.within(PATIENCE, async {
            let mut transaction = writer.begin().await?;
            stored::record_tags(&mut transaction, parts.config.chain_id, &tags).await?;
            if let Some(block) = newly_final {
                news.extend(parts.watched_final(&mut transaction, block, head).await?);
            }
            let updates = updates::append(&mut transaction, news).await?;
            transaction.commit().await?;
            Ok(updates)
        });
        let updates = committed.await?;
        parts.publisher.publish(updates);
        Ok(())
    }
}
