//! The registry of sessions, and their timeouts: ping, silence, the warning before a JWT expires, and its expiry. One
//! periodic sweep checks all sessions; a session has no timer of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use slab::Slab;
use tokio::time::MissedTickBehavior;

use super::{hub::Hub, session::Session};
use chaincast_protocol::{
    CloseReason, ErrorCode,
    control::{TokenExpiring, to_json},
    encode::{self, Transport},
    now_ms,
};

/// Sessions checked before the task yields.
const CHECKS_PER_YIELD: usize = 256;

/// Time between `token-expiring` and the expiry of the JWT, in ms.
const WARNING_MS: i64 = 30_000;

/// The sessions of one hub.
#[derive(Default)]
pub struct Registry {
    sessions: Slab<Registered>,
    counts: [usize; 3],
}

struct Registered {
    session: Arc<Session>,
    /// Times of the next check and the next ping, in ms of the hub's clock.
    check_at: u64,
    ping_at: u64,
}

impl Registry {
    pub fn insert(&mut self, session: &Arc<Session>) {
        let hub = session.hub();
        let ping_at = hub.clock_ms() + hub.config().ping_interval_ms;
        let key = self.sessions.insert(Registered {
            session: session.clone(),
            check_at: 0,
            ping_at,
        });
        session.key.store(key, Ordering::Relaxed);
        self.counts[session.wire().transport() as usize] += 1;
    }

    pub fn remove(&mut self, session: &Arc<Session>) {
        let key = session.key.load(Ordering::Relaxed);
        let known = self.sessions.get(key);
        if known.is_some_and(|known| Arc::ptr_eq(&known.session, session)) {
            self.sessions.remove(key);
            self.counts[session.wire().transport() as usize] -= 1;
        }
    }

    /// Includes this session in the next sweep, because its expiry changed.
    pub fn check_soon(&mut self, session: &Session) {
        let key = session.key.load(Ordering::Relaxed);
        if let Some(known) = self.sessions.get_mut(key)
            && std::ptr::eq(&*known.session, session)
        {
            known.check_at = 0;
        }
    }

    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.sessions
            .iter()
            .map(|(_, known)| known.session.clone())
            .collect()
    }

    /// Visits the sessions with the `count` keys from `from` on; returns the next key while there are more.
    pub fn visit(
        &self,
        from: usize,
        count: usize,
        mut visit: impl FnMut(&Session),
    ) -> Option<usize> {
        let (end, all) = (from + count, self.sessions.capacity());
        for key in from..end.min(all) {
            if let Some(known) = self.sessions.get(key) {
                visit(&known.session);
            }
        }
        (end < all).then_some(end)
    }

    pub fn counts(&self) -> [usize; 3] {
        self.counts
    }

    /// The sessions to check now, and whether to ping each; schedules their next check.
    fn due(&mut self, now: u64, interval: u64, timeout: u64) -> Vec<(Arc<Session>, bool)> {
        let mut due = Vec::new();
        for (_, known) in &mut self.sessions {
            if known.check_at > now {
                continue;
            }
            let ping = known.ping_at <= now;
            if ping {
                known.ping_at = now + interval;
            }
            let silent_at = now + (interval + timeout).saturating_sub(known.session.silence_ms());
            let expires = known.session.expires_at_ms.load(Ordering::Relaxed);
            let left = expires.saturating_sub(now_ms());
            // The warning comes first, then the expiry.
            let until_next = if left > WARNING_MS {
                left - WARNING_MS
            } else {
                left
            };
            let expiry_at = now.saturating_add(until_next.max(0) as u64);
            known.check_at = known.ping_at.min(silent_at).min(expiry_at).max(now + 1);
            due.push((known.session.clone(), ping));
        }
        due
    }
}

impl Hub {
    fn sweep_interval(&self) -> Duration {
        let config = self.config();
        let shortest = config.ping_interval_ms.min(config.ping_timeout_ms);
        Duration::from_millis((shortest / 20).clamp(10, 500))
    }

    /// Runs forever: pings, warns and ends sessions on time.
    pub async fn run_sweep(&self) {
        let mut sweep = tokio::time::interval(self.sweep_interval());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let config = self.config();
        let (interval, timeout) = (config.ping_interval_ms, config.ping_timeout_ms);
        loop {
            sweep.tick().await;
            let now = self.clock_ms();
            let due = self.registry().lock().due(now, interval, timeout);
            // Sessions opened together are due together.
            for batch in due.chunks(CHECKS_PER_YIELD) {
                for (session, ping) in batch {
                    session.check_timeouts(*ping, interval + timeout);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Session {
    fn check_timeouts(self: &Arc<Self>, ping: bool, silence_limit: u64) {
        let left = self.expires_at_ms.load(Ordering::Relaxed) - now_ms();
        if left <= 0 {
            return self.end(CloseReason::Unauthenticated(ErrorCode::TokenExpired));
        }
        if left <= WARNING_MS && !std::mem::replace(&mut self.client.lock().warned, true) {
            let expires = self.expires_at_ms.load(Ordering::Relaxed);
            let data = to_json(&TokenExpiring {
                expires_at: expires,
                expires_in_ms: left,
            });
            self.queue(encode::event(self.wire(), TokenExpiring::EVENT, &data));
        }
        // A client of an event stream never sends. There, silence means that a keep-alive was not read.
        let silent = self.silence_ms() >= silence_limit;
        match self.wire().transport() {
            Transport::Sse if silent && self.has_backlog() => return self.end(CloseReason::Slow),
            Transport::Sse if !self.has_backlog() => self.record_activity(),
            Transport::Sse => {}
            _ if silent => return self.end(CloseReason::Silent),
            _ => {}
        }
        if ping {
            // Without room, enough packets are queued already.
            let queued = self.outbox.lock().push(encode::ping(self.wire()));
            if queued {
                self.flush();
            }
            self.outbox.lock().shrink();
        }
    }
}
