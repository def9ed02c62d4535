//! Clients that have not joined the namespace yet. Their sessions end after a timeout.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::client::Client;
use crate::session::Session;
use chaincast_protocol::CloseReason;

/// One queue for all, since all have the same timeout: a timer per client would cost more than its session.
/// Bounded by the connections that are admitted within the timeout.
#[derive(Default)]
pub(super) struct PendingJoins(Mutex<VecDeque<PendingJoin>>);

struct PendingJoin {
    deadline: Instant,
    session: Weak<Session>,
    has_joined: Arc<AtomicBool>,
}

impl PendingJoins {
    /// Adds a client; `timeout` must be the same for all.
    pub(super) fn add(&self, client: &Client, timeout: Duration) {
        let mut pending = self.0.lock();
        // The time is read under the lock, so the queue is sorted.
        pending.push_back(PendingJoin {
            deadline: Instant::now() + timeout,
            session: Arc::downgrade(client.session()),
            has_joined: client.has_joined().clone(),
        });
    }

    /// Ends the sessions whose deadline has passed.
    pub(super) fn sweep(&self, now: Instant) {
        loop {
            let mut pending = self.0.lock();
            let is_due = pending.front().is_some_and(|first| first.deadline <= now);
            let due = if is_due { pending.pop_front() } else { None };
            if pending.is_empty() {
                pending.shrink_to(0);
            }
            drop(pending);
            let Some(PendingJoin {
                session,
                has_joined,
                ..
            }) = due
            else {
                return;
            };
            if !has_joined.load(Ordering::Relaxed)
                && let Some(session) = session.upgrade()
            {
                session.end(CloseReason::Protocol("no namespace joined in time"));
            }
        }
    }
}
