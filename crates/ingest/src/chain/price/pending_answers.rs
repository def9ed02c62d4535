//! Answers that were read from Chainlink contracts and wait for their block.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use chaincast_prices::FirstAnswer;

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
    pub(super) fn take(&self, head: u64) -> Vec<FirstAnswer> {
        let mut queued = self.queued.lock();
        let (ready, later) = std::mem::take(&mut *queued)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, answer)| answer.block.number <= head);
        *queued = later;
        ready.into_values().collect()
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
