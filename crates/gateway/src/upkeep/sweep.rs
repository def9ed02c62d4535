//! The timeouts of sessions: ping, silence, the warning before a JWT expires, and its expiry. One periodic sweep checks all
//! sessions; a session has no timer of its own.

use std::{sync::Arc, time::Duration};

use chaincast_protocol::{
    CloseReason, ErrorCode,
    control::{TokenExpiring, to_json},
    encode::{self, Transport},
    now_ms,
};
use tokio::time::MissedTickBehavior;

use crate::{
    hub::{Check, DueSession, EXPIRY_WARNING_MS, Hub, PingTimes},
    session::Session,
};

/// Sessions checked before the task yields.
const CHECKS_PER_YIELD: usize = 256;

/// See the module's description.
pub(crate) struct Sweep {
    hub: Hub,
    ping: PingTimes,
}

impl Sweep {
    pub(crate) fn new(hub: Hub, ping: PingTimes) -> Self {
        Self { hub, ping }
    }

    /// Runs forever: pings, warns and ends sessions on time.
    pub(crate) async fn run(&self) {
        let PingTimes {
            interval_ms,
            timeout_ms,
        } = self.ping;
        let shortest = interval_ms.min(timeout_ms);
        let period = Duration::from_millis((shortest / 20).clamp(10, 500));
        let mut sweep = tokio::time::interval(period);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            sweep.tick().await;
            let due = self.hub.due_sessions();
            // Sessions opened together are due together.
            for batch in due.chunks(CHECKS_PER_YIELD) {
                for DueSession { session, check } in batch {
                    check_timeouts(session, *check, interval_ms + timeout_ms);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

fn check_timeouts(session: &Arc<Session>, check: Check, silence_limit_ms: u64) {
    let expires = session.expires_at_ms();
    let left = expires - now_ms();
    if left <= 0 {
        return session.end(CloseReason::Unauthenticated(ErrorCode::TokenExpired));
    }
    if left <= EXPIRY_WARNING_MS && session.needs_expiry_warning() {
        let data = to_json(&TokenExpiring {
            expires_at: expires,
            expires_in_ms: left,
        });
        session.queue(encode::event(session.wire(), TokenExpiring::EVENT, &data));
    }
    // A client of an event stream never sends. There, silence means that a keep-alive was not read.
    let silent = session.silence_ms() >= silence_limit_ms;
    match session.wire().transport() {
        Transport::Sse if silent && session.has_backlog() => return session.end(CloseReason::Slow),
        Transport::Sse if !session.has_backlog() => session.record_activity(),
        Transport::Sse => {}
        _ if silent => return session.end(CloseReason::Silent),
        _ => {}
    }
    if check == Check::TimeoutsAndPing {
        session.ping();
    }
}
