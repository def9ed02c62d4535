//! The newest updates of a channel, for clients that resume: bounded in number and in bytes.

use std::collections::VecDeque;

use crate::entry::Entry;

/// Memory of an entry without its texts: its slot and two allocations, in bytes.
const ENTRY_OVERHEAD: usize = 160;
/// Spare capacity that is never freed, in entries.
const SPARE: usize = 16;

/// Bounds of one ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RingLimits {
    pub updates: usize,
    pub bytes: usize,
}

/// Updates in seq order, without a gap.
#[derive(Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Ring {
    /// Approximate size in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next update. An update that exceeds the limits by itself leaves the ring empty.
    pub(super) fn push(&mut self, entry: Entry, limits: RingLimits) {
        let size = size_of(&entry);
        self.trim(RingLimits {
            updates: limits.updates.saturating_sub(1),
            bytes: limits.bytes.saturating_sub(size),
        });
        if limits.updates > 0 && size <= limits.bytes {
            self.bytes += size;
            self.entries.push_back(entry);
        }
    }

    /// Drops the oldest updates until the others are within the limits.
    pub(super) fn trim(&mut self, limits: RingLimits) {
        while self.entries.len() > limits.updates || self.bytes > limits.bytes {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= size_of(&oldest);
        }
        if self.entries.capacity() > 4 * self.entries.len() + SPARE {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// Drops the updates up to `seq`.
    pub(super) fn forget_through(&mut self, seq: u64) {
        let kept = self.after(seq).count();
        self.trim(RingLimits {
            updates: kept,
            bytes: usize::MAX,
        });
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Seq of the oldest update in the ring.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.entries.front()?.seq
    }

    /// The updates after `since` in the ring, oldest first.
    pub(super) fn after(&self, since: u64) -> impl Iterator<Item = &Entry> {
        let start = self
            .entries
            .partition_point(|entry| entry.seq.is_some_and(|seq| seq <= since));
        self.entries.range(start..)
    }
}

fn size_of(entry: &Entry) -> usize {
    ENTRY_OVERHEAD + entry.event.as_str().len() + entry.data.len()
}

/// The maximum size per ring that keeps all rings within `budget` bytes together: smaller rings stay as they are.
/// `None` when no ring must shrink.
pub(super) fn fair_share(mut sizes: Vec<usize>, budget: usize) -> Option<usize> {
    sizes.sort_unstable();
    let (mut left, mut count) = (budget, sizes.len());
    for size in sizes {
        let share = left / count;
        if size > share {
            return Some(share);
        }
        left -= size;
        count -= 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, bytes: usize) -> Entry {
        Entry {
            seq: Some(seq),
            event: "".into(),
            data: "x".repeat(bytes - ENTRY_OVERHEAD).into(),
        }
    }

    fn seqs(ring: &Ring) -> Vec<u64> {
        ring.after(0).filter_map(|entry| entry.seq).collect()
    }

    #[test]
    fn ring_drops_oldest_beyond_count_and_bytes() {
        let mut ring = Ring::default();
        let limits = RingLimits {
            updates: 4,
            bytes: 1_000,
        };
        for seq in 1..=9 {
            ring.push(entry(seq, 200), limits);
        }
        assert_eq!(seqs(&ring), [6, 7, 8, 9]);
        assert_eq!((ring.oldest(), ring.bytes()), (Some(6), 800));
        ring.push(entry(10, 700), limits);
        assert_eq!((seqs(&ring), ring.bytes()), (vec![9, 10], 900));
        let less = RingLimits {
            bytes: 750,
            ..limits
        };
        ring.trim(less);
        assert_eq!((seqs(&ring), ring.bytes()), (vec![10], 700));
        // An update without room leaves no gap.
        ring.push(entry(11, 800), less);
        assert_eq!((ring.oldest(), ring.bytes()), (None, 0));
        ring.push(entry(12, 200), less);
        assert_eq!(seqs(&ring), [12]);
    }

    #[test]
    fn forget_through_keeps_later_updates() {
        let mut ring = Ring::default();
        let limits = RingLimits {
            updates: 9,
            bytes: 10_000,
        };
        for seq in 3..=9 {
            ring.push(entry(seq, 200), limits);
        }
        ring.forget_through(2);
        assert_eq!(seqs(&ring).len(), 7);
        ring.forget_through(7);
        assert_eq!((seqs(&ring), ring.bytes()), (vec![8, 9], 400));
        ring.forget_through(20);
        assert_eq!((ring.oldest(), ring.bytes()), (None, 0));
    }

    #[test]
    fn fair_share_cuts_only_the_largest() {
        assert_eq!(fair_share(vec![10, 20, 30], 60), None);
        assert_eq!(fair_share(vec![10, 500, 20, 400], 130), Some(50));
        assert_eq!(fair_share(vec![100; 4], 100), Some(25));
        assert_eq!(fair_share(Vec::new(), 0), None);
    }
}
