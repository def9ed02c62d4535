//! Signals from the chain writers to the price writer, sent after the commit that they describe.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use chaincast_model::Tick;
use chaincast_protocol::ChainId;

/// Capacity of the queue. When it is full, the price writer reads the store again instead.
const CAPACITY: usize = 1_024;

/// A change that the price writer must apply. It is already in the store.
#[derive(Debug, Clone, PartialEq)]
pub enum PriceSignal {
    /// These ticks were committed.
    Ticks(Vec<Tick>),
    /// Blocks of this chain were dropped, and their ticks with them.
    Reorged {
        /// EIP-155 id of the chain.
        chain_id: ChainId,
    },
    /// The queue was full and signals were dropped: read the latest ticks from the store.
    Reload,
}

/// The chain writers' end. Cheap to clone. Sending never blocks, so prices cannot delay blocks.
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
        reason = "the two ends are only useful together"
    )]
    pub fn new() -> (Self, PriceSignalQueue) {
        metrics::describe_counter!(
            "chaincast_price_signals_overflowed_total",
            "Signals dropped because the price writer's queue was full"
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

    /// Queues a signal. When the queue is full, one [`PriceSignal::Reload`] replaces all that do not fit.
    pub fn send(&self, signal: PriceSignal) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(signal) {
            metrics::counter!("chaincast_price_signals_overflowed_total").increment(1);
            self.overflowed.store(true, Ordering::Release);
        }
    }
}

impl PriceSignalQueue {
    /// The next signal, or `None` when every chain writer has ended.
    pub async fn next(&mut self) -> Option<PriceSignal> {
        // The flag is set only while the queue is full, so there is always a signal that wakes this.
        let signal = self.queue.recv().await;
        if self.overflowed.swap(false, Ordering::AcqRel) {
            // The queued signals are older than the reload or repeat what it reads: applying them is harmless.
            return Some(PriceSignal::Reload);
        }
        signal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn full_queue_yields_one_reload() {
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
