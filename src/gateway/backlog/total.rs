//! The bytes that wait for all sessions together, and the bound of them.
//!
//! An outbox reports what its client does not take: what a write left behind, or what no puller came for, and an answer
//! that is still being sent; and that only once it is more than a few messages. So the fan-out to clients that keep up
//! costs nothing here, and a burst of any size is no backlog before a write of it was tried. Above three quarters of the
//! bound every session that reports anything has an equal share of it instead of its own bound; above the bound the
//! fullest are closed ([`Hub::run_relief`](super::super::hub::Hub)); a little above that nothing more is queued where
//! anything is reported.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// What waits for one session and is no more than this does not count: it is on its way.
const UNCOUNTED: usize = 4_096;
/// The least that one session may have waiting, whatever the number of those with a backlog.
const LEAST_SHARE: usize = 16_384;

/// See the module's description. Shared by all outboxes of a hub.
#[derive(Debug)]
pub struct Total {
    limit: usize,
    bytes: AtomicUsize,
    /// What each session may have waiting now.
    share: AtomicUsize,
    pressed: Notify,
}

impl Total {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            bytes: AtomicUsize::new(0),
            share: AtomicUsize::new(usize::MAX),
            pressed: Notify::new(),
        })
    }

    /// How much of so many bytes that a client does not take counts.
    pub fn counted(bytes: usize) -> usize {
        if bytes > UNCOUNTED { bytes } else { 0 }
    }

    /// What counts of an outbox was `before` and is `after`.
    pub fn changed(&self, before: usize, after: usize) {
        if after > before {
            let more = after - before;
            let all = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
            if all > self.ease() {
                self.pressed.notify_one();
            }
        } else if before > after {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Most bytes that may wait in an outbox of which so many bytes count and whose own bound is `bound`.
    pub fn bound(&self, counted: usize, bound: usize) -> usize {
        if counted == 0 {
            bound
        } else if self.bytes() > self.limit.saturating_add(self.limit / 8) {
            0
        } else {
            bound.min(self.share.load(Ordering::Relaxed))
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Above this, sessions have shares.
    fn ease(&self) -> usize {
        self.limit / 4 * 3
    }

    pub fn is_over(&self) -> bool {
        self.bytes() > self.limit
    }

    /// Whether enough were closed.
    pub fn is_relieved(&self) -> bool {
        self.bytes() <= self.limit / 8 * 7
    }

    /// Waits until what waits is near the bound.
    pub async fn pressed(&self) {
        self.pressed.notified().await;
    }

    /// Shares the bound out among so many sessions with a backlog; `false` when that is no longer needed.
    pub fn share_out(&self, sessions: usize) -> bool {
        let near = self.bytes() > self.limit / 2;
        let share = match near {
            true => (self.ease() / sessions.max(1)).max(LEAST_SHARE),
            false => usize::MAX,
        };
        self.share.store(share, Ordering::Relaxed);
        near
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn counts_only_what_is_more_than_on_its_way() {
        let total = Total::new(100_000);
        assert_eq!(Total::counted(UNCOUNTED), 0);
        total.changed(0, Total::counted(10_000));
        total.changed(0, 50_000);
        assert_eq!(total.bytes(), 60_000);
        total.changed(10_000, Total::counted(UNCOUNTED));
        total.changed(50_000, 20_000);
        assert_eq!(total.bytes(), 20_000);
        assert!(total.pressed().now_or_never().is_none());
    }

    #[test]
    fn shares_out_near_the_bound_and_refuses_beyond_it() {
        let total = Total::new(1_000_000);
        total.changed(0, 600_000);
        assert!(total.share_out(20));
        assert_eq!(total.bound(0, 500_000), 500_000);
        assert_eq!(total.bound(300_000, 500_000), 37_500);
        assert!(total.share_out(1_000));
        assert_eq!(total.bound(300_000, 500_000), LEAST_SHARE);
        total.changed(0, 200_000);
        assert!(total.pressed().now_or_never().is_some());
        assert!(!total.is_over());
        total.changed(0, 400_000);
        assert!(total.is_over() && !total.is_relieved());
        assert_eq!(total.bound(300_000, 500_000), 0);
        assert_eq!(total.bound(Total::counted(100), 500_000), 500_000);
        total.changed(800_000, 0);
        assert!(total.is_relieved() && !total.share_out(3));
        assert_eq!(total.bound(300_000, 500_000), 500_000);
    }
}
