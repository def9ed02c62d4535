//! Counters of a load's progress and time. Written by the load, read by the progress display.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use chaincast_evm::chain::Segment;
use chaincast_model::IndexedBlock;

/// Counters of one chain writer since its start; times are in microseconds.
#[derive(Debug, Default)]
pub struct Progress {
    blocks: AtomicU64,
    rows: AtomicU64,
    /// Total time of requests to the node.
    request_time: AtomicU64,
    /// Total time that responses waited for a thread.
    queued: AtomicU64,
    /// Total thread time spent parsing JSON, and making and encoding rows.
    decoded: AtomicU64,
    /// Total thread time spent checking blocks.
    proven: AtomicU64,
    /// Total time that the writer waited for blocks.
    starved: AtomicU64,
    /// Total time that the writer waited for Postgres.
    committed: AtomicU64,
}

/// The slowest stage of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bottleneck {
    /// The node answers too slowly.
    Node,
    /// Decoding and checking blocks saturates the processors.
    Decode,
    /// Postgres commits too slowly.
    Postgres,
}

impl Bottleneck {
    /// The display name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Decode => "decode",
            Self::Postgres => "Postgres",
        }
    }
}

/// A snapshot of the counters; the difference of two gives rates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Stored blocks.
    pub blocks: u64,
    /// Stored rows of blocks, transactions, logs and transfers.
    pub rows: u64,
    request_time: Duration,
    queued: Duration,
    decoded: Duration,
    proven: Duration,
    starved: Duration,
    committed: Duration,
}

impl Rates {
    /// The difference to an earlier snapshot.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_sub(earlier.blocks),
            rows: self.rows.saturating_sub(earlier.rows),
            request_time: self.request_time.saturating_sub(earlier.request_time),
            queued: self.queued.saturating_sub(earlier.queued),
            decoded: self.decoded.saturating_sub(earlier.decoded),
            proven: self.proven.saturating_sub(earlier.proven),
            starved: self.starved.saturating_sub(earlier.starved),
            committed: self.committed.saturating_sub(earlier.committed),
        }
    }

    /// The stage that the others wait for: Postgres if the writer waits longer for it than for blocks; else decoding if
    /// queueing, decoding and checking take longer than requests; else the node.
    pub fn bottleneck(self) -> Bottleneck {
        if self.committed > self.starved {
            Bottleneck::Postgres
        } else if self.queued + self.decoded + self.proven > self.request_time {
            Bottleneck::Decode
        } else {
            Bottleneck::Node
        }
    }
}

impl Progress {
    /// The current counters.
    pub fn now(&self) -> Rates {
        let time = |counter: &AtomicU64| Duration::from_micros(counter.load(Relaxed));
        Rates {
            blocks: self.blocks.load(Relaxed),
            rows: self.rows.load(Relaxed),
            request_time: time(&self.request_time),
            queued: time(&self.queued),
            decoded: time(&self.decoded),
            proven: time(&self.proven),
            starved: time(&self.starved),
            committed: time(&self.committed),
        }
    }

    pub(super) fn fetched(&self, segment: &Segment) {
        add(&self.request_time, segment.request_time);
        add(&self.queued, segment.queue_time);
        add(&self.decoded, segment.decode_time);
        add(&self.proven, segment.check_time);
    }

    pub(super) fn encoded(&self, took: Duration) {
        add(&self.decoded, took);
    }

    pub(super) fn starved(&self, took: Duration) {
        add(&self.starved, took);
    }

    pub(super) fn stored(&self, blocks: &[IndexedBlock], took: Duration) {
        let rows = |block: &IndexedBlock| {
            1 + block.transactions.len() + block.logs.len() + block.transfers.len()
        };
        self.blocks.fetch_add(blocks.len() as u64, Relaxed);
        self.rows
            .fetch_add(blocks.iter().map(rows).sum::<usize>() as u64, Relaxed);
        add(&self.committed, took);
    }
}

fn add(counter: &AtomicU64, took: Duration) {
    counter.fetch_add(took.as_micros() as u64, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bottleneck_is_the_slowest_stage() {
        let second = Duration::from_secs(1);
        let postgres = Rates {
            committed: 9 * second,
            starved: second,
            request_time: 50 * second,
            ..Rates::default()
        };
        assert_eq!(postgres.bottleneck(), Bottleneck::Postgres);
        let decode = Rates {
            committed: second,
            starved: 9 * second,
            request_time: 10 * second,
            decoded: 9 * second,
            proven: 9 * second,
            ..Rates::default()
        };
        assert_eq!(decode.bottleneck(), Bottleneck::Decode);
        let node = Rates {
            request_time: 70 * second,
            ..decode
        };
        assert_eq!(node.bottleneck(), Bottleneck::Node);
        assert_eq!(node.since(decode).request_time, 60 * second);
    }
}
