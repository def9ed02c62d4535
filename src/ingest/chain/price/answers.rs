//! Answers of feeds that were read from contracts, so that a price is there before the next one is given, and is that of
//! the aggregator which the proxy has now.
//!
//! Each waits until its block is indexed, and becomes a tick of that block's end. One whose block is not of the
//! indexed branch is left out, and its contract is asked again at the next turn.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::{
    IngestError,
    session::{PATIENCE, Session},
};
use crate::{
    ingest::PriceSignal,
    source::price::FirstAnswer,
    store::{pool_logs, ticks},
};

/// Answers that wait, one a source.
#[derive(Debug, Default)]
pub(in super::super) struct Answers {
    waiting: Mutex<BTreeMap<usize, FirstAnswer>>,
    came: Notify,
}

impl Answers {
    /// Takes the place of an older one of its source.
    pub(super) fn add(&self, answer: FirstAnswer) {
        self.waiting.lock().insert(answer.source, answer);
        self.came.notify_one();
    }

    /// Waits for one more.
    pub(in super::super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Those of blocks up to this height.
    fn take(&self, head: u64) -> Vec<FirstAnswer> {
        let mut waiting = self.waiting.lock();
        let (ready, later) = std::mem::take(&mut *waiting)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, answer)| answer.block.number <= head);
        *waiting = later;
        ready.into_values().collect()
    }
}

impl Session<'_> {
    /// Stores the answers whose blocks are indexed, and tells the price writer.
    pub(in super::super) async fn store_answers(&mut self) -> Result<(), IngestError> {
        let parts = self.parts;
        let (Some(sources), Some(head)) = (parts.decoder.on_chain(), self.head) else {
            return Ok(());
        };
        let ready = parts.answers.take(head.number);
        if ready.is_empty() {
            return Ok(());
        }
        let chain_id = parts.config.chain_id;
        let writer = &mut self.writer;
        let stored = parts.within(PATIENCE, async {
            let mut transaction = writer.begin().await?;
            let mut stored = Vec::new();
            for answer in &ready {
                let block = answer.block;
                let known = pool_logs::block_at(&mut transaction, chain_id, block.number).await?;
                let Some((_, timestamp)) = known.filter(|(hash, _)| *hash == block.hash) else {
                    sources.ask_anew(chain_id);
                    continue;
                };
                // A refused one is counted and logged already.
                let Some(Ok(tick)) = sources.first_tick(answer, timestamp) else {
                    continue;
                };
                if !ticks::has_said(&mut transaction, &tick).await? {
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
    use crate::{
        model::{B256, BlockRef, U256},
        source::price::Round,
    };

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
    fn an_answer_waits_for_its_block_and_a_newer_one_takes_its_place() {
        let answers = Answers::default();
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
