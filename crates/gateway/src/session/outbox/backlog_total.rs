//! The unread bytes of all sessions together, and their limit.
//!
//! An outbox reports the bytes that its client does not read: what a write left behind, what no poller took, and a
//! response that is still being sent; and only if they exceed a few messages. So the fan-out to clients that keep up
//! costs nothing here, and a burst of any size is no backlog before a write was tried. Above three quarters of the limit
//! every reporting session has an equal share instead of its own bound. Above the limit the sessions with the largest
//! backlogs are closed (`upkeep/eviction`). At 9/8 of the limit reporting sessions queue nothing more.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// Up to this many unread bytes per session do not count.
const UNCOUNTED: usize = 4_096;
/// Smallest share of one session, in bytes.
const MIN_SHARE: usize = 16_384;

/// See the module's description. Shared by all outboxes of a hub.
#[derive(Debug)]
pub struct BacklogTotal {
    limit: usize,
    bytes: AtomicUsize,
    /// Current maximum backlog of each reporting session.
    share: AtomicUsize,
    near_limit: Notify,
}

impl BacklogTotal {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            bytes: AtomicUsize::new(0),
            share: AtomicUsize::new(usize::MAX),
            near_limit: Notify::new(),
        })
    }

    /// The part of `bytes` unread bytes that counts.
    pub fn counted(bytes: usize) -> usize {
        if bytes > UNCOUNTED { bytes } else { 0 }
    }

    /// The counted bytes of an outbox changed from `before` to `after`.
    pub fn adjust(&self, before: usize, after: usize) {
        if after > before {
            let more = after - before;
            let all = self.bytes.fetch_add(more, Ordering::Relaxed) + more;
            if all > self.share_threshold() {
                self.near_limit.notify_one();
            }
        } else if before > after {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// The effective bound of an outbox with `counted` counted bytes and its own bound `bound`.
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

    /// Above this many bytes, sessions have shares.
    fn share_threshold(&self) -> usize {
        self.limit / 4 * 3
    }

    pub fn is_over(&self) -> bool {
        self.bytes() > self.limit
    }

    /// Whether eviction can stop.
    pub fn is_below_target(&self) -> bool {
        self.bytes() <= self.limit / 8 * 7
    }

    /// Waits until the total exceeds three quarters of the limit.
    pub async fn near_limit(&self) {
        self.near_limit.notified().await;
    }

    /// Divides the limit among `sessions` reporting sessions; `false` when shares are no longer needed.
    pub fn update_share(&self, sessions: usize) -> bool {
        let near = self.bytes() > self.limit / 2;
        let share = match near {
            true => (self.share_threshold() / sessions.max(1)).max(MIN_SHARE),
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
    fn small_amounts_do_not_count() {
        let total = BacklogTotal::new(100_000);
        assert_eq!(BacklogTotal::counted(UNCOUNTED), 0);
        total.adjust(0, BacklogTotal::counted(10_000));
        total.adjust(0, 50_000);
        assert_eq!(total.bytes(), 60_000);
        total.adjust(10_000, BacklogTotal::counted(UNCOUNTED));
        total.adjust(50_000, 20_000);
        assert_eq!(total.bytes(), 20_000);
        assert!(total.near_limit().now_or_never().is_none());
    }

    #[test]
    fn shares_near_the_limit_and_refuses_beyond_it() {
        let total = BacklogTotal::new(1_000_000);
        total.adjust(0, 600_000);
        assert!(total.update_share(20));
        assert_eq!(total.bound(0, 500_000), 500_000);
        assert_eq!(total.bound(300_000, 500_000), 37_500);
        assert!(total.update_share(1_000));
        assert_eq!(total.bound(300_000, 500_000), MIN_SHARE);
        total.adjust(0, 200_000);
        assert!(total.near_limit().now_or_never().is_some());
        assert!(!total.is_over());
        total.adjust(0, 400_000);
        assert!(total.is_over() && !total.is_below_target());
        assert_eq!(total.bound(300_000, 500_000), 0);
        assert_eq!(total.bound(BacklogTotal::counted(100), 500_000), 500_000);
        total.adjust(800_000, 0);
        assert!(total.is_below_target() && !total.update_share(3));
        assert_eq!(total.bound(300_000, 500_000), 500_000);
    }
}
