//! Stores answers that were read from Chainlink contracts, so that a price exists before the contract's next event, and
//! comes from the proxy's current aggregator.
//!
//! Each answer is queued until its block is indexed, and becomes a tick at the end of that block. An answer whose block is
//! not on the indexed branch is dropped, and its contract is read again in the next round.

use super::super::{IngestError, timeouts::STORE_TIMEOUT, writer::ChainWriter};
use crate::PriceSignal;
use chaincast_store::{pool_logs, ticks};

impl ChainWriter<'_> {
    /// Stores the answers whose blocks are indexed, and signals the price writer.
    pub(in super::super) async fn store_answers(&mut self) -> Result<(), IngestError> {
        let parts = self.parts;
        let (Some(sources), Some(head)) = (parts.decoder.on_chain(), self.head) else {
            return Ok(());
        };
        let ready = parts.pending_answers.take(head.number);
        if ready.is_empty() {
            return Ok(());
        }
        let chain_id = parts.config.chain_id;
        let writer = &mut self.writer;
        let stored = parts.within(STORE_TIMEOUT, async {
            let mut transaction = writer.begin().await?;
            let mut stored = Vec::new();
            for answer in &ready {
                let block = answer.block;
                let known = pool_logs::block_at(&mut transaction, chain_id, block.number).await?;
                let Some((_, timestamp)) = known.filter(|(hash, _)| *hash == block.hash) else {
                    sources.request_answers(chain_id);
                    continue;
                };
                // A rejected answer is already counted and logged.
                let Some(Ok(tick)) = sources.answer_tick(answer, timestamp) else {
                    continue;
                };
                if !ticks::is_recorded(&mut transaction, &tick).await? {
                    stored.push(tick);
                }
            }
            ticks::insert(&mut transaction, &stored).await?;
            transaction.commit().await?;
            Ok(stored)
        });
        let stored = stored.await?;
        if !stored.is_empty() {
            parts.signals.send(PriceSignal::Ticks(stored));
        }
        Ok(())
    }
}
