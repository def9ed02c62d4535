//! The sessions of one hub, and when each is due for the next check. A session has no timer of its own: see
//! `upkeep/sweep`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chaincast_protocol::now_ms;
use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;

use crate::session::Session;

/// Time between `token-expiring` and the expiry of the JWT, in ms.
pub(crate) const EXPIRY_WARNING_MS: i64 = 30_000;

/// How often sessions are pinged, and how long they may be silent after that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PingTimes {
    pub interval_ms: u64,
    pub timeout_ms: u64,
}

/// A session that is due for a check.
pub(crate) struct DueSession {
    pub session: Arc<Session>,
    pub check: Check,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Timeouts,
    TimeoutsAndPing,
}

/// See the module's description.
pub(super) struct Registry {
    open: Mutex<Open>,
    ping: PingTimes,
    closing: AtomicBool,
    /// Sessions in memory, including ended ones that still send their last packets.
    alive: AtomicUsize,
    none_alive: Notify,
}

#[derive(Default)]
struct Open {
    sessions: Slab<Registered>,
    counts: [usize; 3],
}

struct Registered {
    session: Arc<Session>,
    /// Times of the next check and the next ping, in ms of the clock.
    check_at: u64,
    ping_at: u64,
}

impl Registry {
    pub(super) fn new(ping: PingTimes) -> Self {
        Self {
            open: Mutex::default(),
            ping,
            closing: AtomicBool::new(false),
            alive: AtomicUsize::new(0),
            none_alive: Notify::new(),
        }
    }

    /// A session is about to be created. It must be reported to [`Self::dropped`].
    pub(super) fn creating(&self) {
        self.alive.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn dropped(&self) {
        if self.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.none_alive.notify_waiters();
        }
    }

    /// Adds an open session at this time of the clock; `false` when the hub is closing.
    pub(super) fn add(&self, session: &Arc<Session>, now: u64) -> bool {
        let mut open = self.open.lock();
        // Under the lock, so that `close` sees this session or this check sees that the hub is closing.
        if self.is_closing() {
            return false;
        }
        let key = open.sessions.insert(Registered {
            session: session.clone(),
            check_at: 0,
            ping_at: now + self.ping.interval_ms,
        });
        session.set_registry_key(key);
        open.counts[session.wire().transport() as usize] += 1;
        true
    }

    pub(super) fn remove(&self, session: &Arc<Session>) {
        let mut open = self.open.lock();
        let key = session.registry_key();
        let known = open.sessions.get(key);
        if known.is_some_and(|known| Arc::ptr_eq(&known.session, session)) {
            open.sessions.remove(key);
            open.counts[session.wire().transport() as usize] -= 1;
        }
    }

    /// Includes this session in the next sweep, because its expiry changed.
    pub(super) fn check_soon(&self, session: &Session) {
        let mut open = self.open.lock();
        if let Some(known) = open.sessions.get_mut(session.registry_key())
            && std::ptr::eq(&*known.session, session)
        {
            known.check_at = 0;
        }
    }

    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        self.open.lock().all()
    }

    /// Visits the sessions with the `count` keys from `from` on; returns the next key while there are more.
    pub(super) fn visit(
        &self,
        from: usize,
        count: usize,
        mut visit: impl FnMut(&Session),
    ) -> Option<usize> {
        let open = self.open.lock();
        let (end, all) = (from + count, open.sessions.capacity());
        for key in from..end.min(all) {
            if let Some(known) = open.sessions.get(key) {
                visit(&known.session);
            }
        }
        (end < all).then_some(end)
    }

    /// Open sessions by transport, in the order of [`Transport::ALL`](chaincast_protocol::encode::Transport::ALL).
    pub(super) fn counts(&self) -> [usize; 3] {
        self.open.lock().counts
    }

    /// The sessions to check at this time of the clock; schedules their next check.
    pub(super) fn due(&self, now: u64) -> Vec<DueSession> {
        self.open.lock().due(now, self.ping)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Refuses new sessions from now on; returns those that are open.
    pub(super) fn close(&self) -> Vec<Arc<Session>> {
        let open = self.open.lock();
        self.closing.store(true, Ordering::SeqCst);
        open.all()
    }

    /// Waits until all sessions are dropped or `deadline` has passed; returns whether all are dropped.
    pub(super) async fn all_dropped(&self, deadline: Duration) -> bool {
        let all_dropped = async {
            loop {
                let notified = self.none_alive.notified();
                if self.alive.load(Ordering::SeqCst) == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(deadline, all_dropped).await.is_ok()
    }
}

impl Open {
    fn all(&self) -> Vec<Arc<Session>> {
        self.sessions
            .iter()
            .map(|(_, known)| known.session.clone())
            .collect()
    }

    fn due(&mut self, now: u64, ping: PingTimes) -> Vec<DueSession> {
        let mut due = Vec::new();
        for (_, known) in &mut self.sessions {
            if known.check_at > now {
                continue;
            }
            let check = match known.ping_at <= now {
                true => Check::TimeoutsAndPing,
                false => Check::Timeouts,
            };
            if check == Check::TimeoutsAndPing {
                known.ping_at = now + ping.interval_ms;
            }
            let patience = ping.interval_ms + ping.timeout_ms;
            let silent_at = now + patience.saturating_sub(known.session.silence_ms());
            let left = known.session.expires_at_ms().saturating_sub(now_ms());
            // The warning comes first, then the expiry.
            let until_next = if left > EXPIRY_WARNING_MS {
                left - EXPIRY_WARNING_MS
            } else {
                left
            };
            let expiry_at = now.saturating_add(until_next.max(0) as u64);
            known.check_at = known.ping_at.min(silent_at).min(expiry_at).max(now + 1);
            due.push(DueSession {
                session: known.session.clone(),
                check,
            });
        }
        due
    }
}
