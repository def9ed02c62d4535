//! Which sessions there are, and when each has to be looked at next: to be pinged, found silent, warned of its
//! token's end, or ended by it. One sweep serves all; a session has no timer of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use slab::Slab;
use tokio::time::MissedTickBehavior;

use super::{
    CloseReason, ErrorCode,
    encode::{self, Transport},
    hub::Hub,
    session::Session,
};
use crate::model::now_ms;

/// Sessions looked at before other tasks of the thread get their turn.
const LOOKS_A_TURN: usize = 256;

/// How long before its token's end a client is told, in ms.
const WARNING_MS: i64 = 30_000;

/// The sessions of one hub.
#[derive(Default)]
pub struct Registry {
    sessions: Slab<Registered>,
    counts: [usize; 3],
}

struct Registered {
    session: Arc<Session>,
    /// When to look at it, and when to ping it, in ms of the hub's clock.
    look_at: u64,
    ping_at: u64,
}

impl Registry {
    pub fn insert(&mut self, session: &Arc<Session>) {
        let hub = session.hub();
        let ping_at = hub.clock_ms() + hub.config().ping_interval_ms;
        let key = self.sessions.insert(Registered {
            session: session.clone(),
            look_at: 0,
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

    /// Something changed for this session that the next sweep has to see.
    pub fn look_soon(&mut self, session: &Session) {
        let key = session.key.load(Ordering::Relaxed);
        if let Some(known) = self.sessions.get_mut(key)
            && std::ptr::eq(&*known.session, session)
        {
            known.look_at = 0;
        }
    }

    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.sessions
            .iter()
            .map(|(_, known)| known.session.clone())
            .collect()
    }

    /// Shows the sessions under `count` keys from `from` on; returns where to go on, while there is more.
    pub fn visit(&self, from: usize, count: usize, mut see: impl FnMut(&Session)) -> Option<usize> {
        let (end, all) = (from + count, self.sessions.capacity());
        for key in from..end.min(all) {
            if let Some(known) = self.sessions.get(key) {
                see(&known.session);
            }
        }
        (end < all).then_some(end)
    }

    pub fn counts(&self) -> [usize; 3] {
        self.counts
    }

    /// The sessions to look at now, and whether each is to be pinged; sets when to look at them next.
    fn due(&mut self, now: u64, interval: u64, timeout: u64) -> Vec<(Arc<Session>, bool)> {
        let mut due = Vec::new();
        for (_, known) in &mut self.sessions {
            if known.look_at > now {
                continue;
            }
            let ping = known.ping_at <= now;
            if ping {
                known.ping_at = now + interval;
            }
            let silent_at = now + (interval + timeout).saturating_sub(known.session.silence_ms());
            let expires = known.session.expires_at_ms.load(Ordering::Relaxed);
            let left = expires.saturating_sub(now_ms());
            // The warning comes first; once it has passed only the end is left.
            let ahead = if left > WARNING_MS {
                left - WARNING_MS
            } else {
                left
            };
            let expiry_at = now.saturating_add(ahead.max(0) as u64);
            known.look_at = known.ping_at.min(silent_at).min(expiry_at).max(now + 1);
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

    /// Pings, warns and ends sessions as their times come, for as long as it is polled.
    pub async fn run_sweep(&self) {
        let mut sweep = tokio::time::interval(self.sweep_interval());
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let config = self.config();
        let (interval, timeout) = (config.ping_interval_ms, config.ping_timeout_ms);
        loop {
            sweep.tick().await;
            let now = self.clock_ms();
            let due = self.registry().lock().due(now, interval, timeout);
            // Sessions that came together have their pings together.
            for some in due.chunks(LOOKS_A_TURN) {
                for (session, ping) in some {
                    session.look(*ping, interval + timeout);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Session {
    fn look(self: &Arc<Self>, ping: bool, patience: u64) {
        let left = self.expires_at_ms.load(Ordering::Relaxed) - now_ms();
        if left <= 0 {
            return self.end(CloseReason::Unauthenticated(ErrorCode::TokenExpired));
        }
        if left <= WARNING_MS && !std::mem::replace(&mut self.client.lock().warned, true) {
            let expires = self.expires_at_ms.load(Ordering::Relaxed);
            let data = format!(r#"{{"expiresAt":{expires},"expiresInMs":{left}}}"#);
            self.queue(encode::event(self.wire(), "token-expiring", &data));
        }
        // Nothing ever arrives on an event stream: there, silence is a keep-alive that was not taken.
        let silent = self.silence_ms() >= patience;
        match self.wire().transport() {
            Transport::Sse if silent && self.has_backlog() => return self.end(CloseReason::Slow),
            Transport::Sse if !self.has_backlog() => self.heard(),
            Transport::Sse => {}
            _ if silent => return self.end(CloseReason::Silent),
            _ => {}
        }
        if ping {
            // Without room for it enough is on its way already.
            let queued = self.outbox.lock().push(encode::ping(self.wire()));
            if queued {
                self.flush();
            }
            self.outbox.lock().shrink();
        }
    }
}
