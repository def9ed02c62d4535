//! The bytes that wait for all sessions together, and the bound of them.
//!
//! Each outbox reports what waits in it once that is more than a few messages, so that the fan-out to clients that keep
//! up costs nothing here. Above three quarters of the bound every session with a backlog has an equal share of it
//! instead of its own bound; above the bound the fullest are closed ([`Hub::run_relief`](super::super::hub::Hub)); a
//! little above that nothing more is queued where anything waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// What waits for one session and is less than this does not count: it is on its way.
pub const UNCOUNTED: usize = 4_096;
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

    /// An outbox that had `before` bytes has `after`.
    pub fn changed(&self, before: usize, after: usize) {
        let counted = |bytes: usize| if bytes > UNCOUNTED { bytes } else { 0 };
        let (before, after) = (counted(before), counted(after));
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

    /// Most bytes that may wait in an outbox that has `bytes` and whose own bound is `bound`.
    pub fn bound(&self, bytes: usize, bound: usize) -> usize {
        if bytes <= UNCOUNTED {
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
        total.changed(0, UNCOUNTED);
        assert_eq!(total.bytes(), 0);
        total.changed(UNCOUNTED, 10_000);
        total.changed(0, 50_000);
        assert_eq!(total.bytes(), 60_000);
        total.changed(10_000, UNCOUNTED);
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
        assert_eq!(total.bound(100, 500_000), 500_000);
        total.changed(800_000, 0);
        assert!(total.is_relieved() && !total.share_out(3));
        assert_eq!(total.bound(300_000, 500_000), 500_000);
    }
}
