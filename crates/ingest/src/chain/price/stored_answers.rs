//! Stores answers that were read from Chainlink contracts, so that a price exists before the contract's next event, and
//! comes from the proxy's current aggregator.
//!
//! Each answer is queued until its block is indexed, and becomes a tick at the end of that block. An answer whose block is
//! not on the indexed branch is dropped, and its contract is read again in the next round.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::{IngestError, timeouts::STORE_TIMEOUT, writer::ChainWriter};
use crate::PriceSignal;
use chaincast_prices::FirstAnswer;
use chaincast_store::{pool_logs, ticks};

/// Queued answers, at most one for each source.
#[derive(Debug, Default)]
pub(in super::super) struct PendingAnswers {
    queued: Mutex<BTreeMap<usize, FirstAnswer>>,
    arrived: Notify,
}

impl PendingAnswers {
    /// Queues an answer, which replaces an older one of its source.
    pub(super) fn add(&self, answer: FirstAnswer) {
        self.queued.lock().insert(answer.source, answer);
        self.arrived.notify_one();
    }

    /// Waits until an answer is added.
    pub(in super::super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes the answers of blocks up to this height.
    fn take(&self, head: u64) -> Vec<FirstAnswer> {
        let mut queued = self.queued.lock();
        let (ready, later) = std::mem::take(&mut *queued)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, answer)| answer.block.number <= head);
        *queued = later;
        ready.into_values().collect()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_prices::Round;
    use chaincast_protocol::{B256, BlockRef, U256};

    fn answer(source: usize, number: u64) -> FirstAnswer {
        FirstAnswer {
            source,
            round: Round {
                answer: alloy::primitives::I256::ONE,
                updated_at: U256::ZERO,
            },
            block: BlockRef {
                number,
                hash: B256::ZERO,
            },
        }
    }

    #[test]
    fn answers_wait_for_their_block_and_replace_older() {
        let answers = PendingAnswers::default();
        for (source, number) in [(0, 5), (1, 7), (0, 6)] {
            answers.add(answer(source, number));
        }
        let taken = |head| {
            let ready = answers.take(head);
            let ready = ready.iter().map(|one| (one.source, one.block.number));
            ready.collect::<Vec<_>>()
        };
        assert!(taken(5).is_empty());
        assert_eq!(taken(6), [(0, 6)]);
        assert_eq!(taken(9), [(1, 7)]);
        assert!(taken(9).is_empty());
    }
}
