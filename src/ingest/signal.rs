//! What the chain writers tell the price writer, after they committed it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use crate::model::{ChainId, Tick};

/// Signals that may wait for the price writer. When they are more, it reads the store again instead.
const CAPACITY: usize = 1_024;

/// News for the price writer; all of it is in the store already.
#[derive(Debug, Clone, PartialEq)]
pub enum PriceSignal {
    /// These ticks were committed.
    Ticks(Vec<Tick>),
    /// Blocks of this chain were dropped, and their ticks with them.
    Reorged { chain_id: ChainId },
    /// Some signals were lost because the queue was full: read the latest ticks from the store.
    Reload,
}

/// The chain writers' end. Cheap to clone; sending never waits, so prices cannot hold up blocks.
#[derive(Debug, Clone)]
pub struct PriceSignals {
    queue: mpsc::Sender<PriceSignal>,
    overflowed: Arc<AtomicBool>,
}

/// The price writer's end.
#[derive(Debug)]
pub struct PriceSignalQueue {
    queue: mpsc::Receiver<PriceSignal>,
    overflowed: Arc<AtomicBool>,
}

impl PriceSignals {
    /// Both ends of a new queue.
    #[allow(
        clippy::new_ret_no_self,
        reason = "the two ends only make sense together"
    )]
    pub fn new() -> (Self, PriceSignalQueue) {
        metrics::describe_counter!(
            "chaincast_price_signals_overflowed_total",
            "Signals discarded because the price writer's queue was full"
        );
        metrics::counter!("chaincast_price_signals_overflowed_total").increment(0);
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let overflowed = Arc::new(AtomicBool::new(false));
        let queue = PriceSignalQueue {
            queue: receiver,
            overflowed: overflowed.clone(),
        };
        (
            Self {
                queue: sender,
                overflowed,
            },
            queue,
        )
    }

    /// Queues a signal; when the queue is full, one [`PriceSignal::Reload`] stands for all that did not fit.
    pub fn send(&self, signal: PriceSignal) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(signal) {
            metrics::counter!("chaincast_price_signals_overflowed_total").increment(1);
            self.overflowed.store(true, Ordering::Release);
        }
    }
}

impl PriceSignalQueue {
    /// The next signal; `None` when every chain writer is gone.
    pub async fn next(&mut self) -> Option<PriceSignal> {
        // The flag is raised only while the queue is full, so there is always a signal to wake up for.
        let signal = self.queue.recv().await;
        if self.overflowed.swap(false, Ordering::AcqRel) {
            // What still waits is older than the reload, or comes again after it: either is harmless.
            return Some(PriceSignal::Reload);
        }
        signal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signals_that_do_not_fit_become_one_reload() {
        let (signals, mut queue) = PriceSignals::new();
        for chain_id in 0..CAPACITY as u64 + 5 {
            signals.send(PriceSignal::Reorged { chain_id });
        }
        assert_eq!(queue.next().await, Some(PriceSignal::Reload));
        assert_eq!(
            queue.next().await,
            Some(PriceSignal::Reorged { chain_id: 1 })
        );
        drop(signals);
        let mut last = None;
        while let Some(signal) = queue.next().await {
            last = Some(signal);
        }
        assert_eq!(
            last,
            Some(PriceSignal::Reorged {
                chain_id: CAPACITY as u64 - 1
            })
        );
    }
}
