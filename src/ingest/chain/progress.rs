//! How far a load is, and where its time goes. Counted by the load, read by who shows it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{model::IndexedBlock, source::chain::Segment};

/// Counters of one chain's writer since it began; times are in microseconds.
#[derive(Debug, Default)]
pub struct Progress {
    blocks: AtomicU64,
    rows: AtomicU64,
    /// The node took so long for requests, together.
    asked: AtomicU64,
    /// Requests waited so long for a thread, together.
    queued: AtomicU64,
    /// Threads read JSON, made rows and encoded them.
    decoded: AtomicU64,
    /// Threads checked blocks.
    proven: AtomicU64,
    /// The writer waited for blocks.
    starved: AtomicU64,
    /// The writer waited for Postgres.
    committed: AtomicU64,
}

/// What holds a load up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bottleneck {
    /// It answers too slowly.
    Node,
    /// Reading and proving blocks takes the processors.
    Decode,
    Postgres,
}

impl Bottleneck {
    /// Its name as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Decode => "decode",
            Self::Postgres => "Postgres",
        }
    }
}

/// What was done at one moment; the difference of two gives rates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub blocks: u64,
    pub rows: u64,
    pub asked: Duration,
    pub queued: Duration,
    pub decoded: Duration,
    pub proven: Duration,
    pub starved: Duration,
    pub committed: Duration,
}

impl Rates {
    /// What was done since an earlier moment.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            blocks: self.blocks.saturating_sub(earlier.blocks),
            rows: self.rows.saturating_sub(earlier.rows),
            asked: self.asked.saturating_sub(earlier.asked),
            queued: self.queued.saturating_sub(earlier.queued),
            decoded: self.decoded.saturating_sub(earlier.decoded),
            proven: self.proven.saturating_sub(earlier.proven),
            starved: self.starved.saturating_sub(earlier.starved),
            committed: self.committed.saturating_sub(earlier.committed),
        }
    }

    /// The stage that the others wait for. Postgres, when the writer hardly waits for blocks; else the decoding, when
    /// fetched blocks wait for a thread about as long as they are worked on, or longer; else the node.
    pub fn bottleneck(self) -> Bottleneck {
        if self.committed > self.starved {
            Bottleneck::Postgres
        } else if self.queued + self.decoded + self.proven > self.asked {
            Bottleneck::Decode
        } else {
            Bottleneck::Node
        }
    }
}

impl Progress {
    /// What was done so far.
    pub fn now(&self) -> Rates {
        let time = |counter: &AtomicU64| Duration::from_micros(counter.load(Relaxed));
        Rates {
            blocks: self.blocks.load(Relaxed),
            rows: self.rows.load(Relaxed),
            asked: time(&self.asked),
            queued: time(&self.queued),
            decoded: time(&self.decoded),
            proven: time(&self.proven),
            starved: time(&self.starved),
            committed: time(&self.committed),
        }
    }

    pub(super) fn fetched(&self, segment: &Segment) {
        add(&self.asked, segment.asked);
        add(&self.queued, segment.queued);
        add(&self.decoded, segment.decoded);
        add(&self.proven, segment.proven);
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
    fn the_bottleneck_is_what_the_others_wait_for() {
        let second = Duration::from_secs(1);
        let postgres = Rates {
            committed: 9 * second,
            starved: second,
            asked: 50 * second,
            ..Rates::default()
        };
        assert_eq!(postgres.bottleneck(), Bottleneck::Postgres);
        let decode = Rates {
            committed: second,
            starved: 9 * second,
            asked: 10 * second,
            decoded: 9 * second,
            proven: 9 * second,
            ..Rates::default()
        };
        assert_eq!(decode.bottleneck(), Bottleneck::Decode);
        let node = Rates {
            asked: 70 * second,
            ..decode
        };
        assert_eq!(node.bottleneck(), Bottleneck::Node);
        assert_eq!(node.since(decode).asked, 60 * second);
    }
}
