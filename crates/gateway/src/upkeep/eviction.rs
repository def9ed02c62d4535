//! Keeps the backlog of all sessions within `gateway.backlog_total_bytes`: closes the sessions with the largest backlogs.

use std::{sync::Arc, time::Duration};

use chaincast_protocol::CloseReason;

use crate::{
    hub::Hub,
    observe::{GatewayMetrics, SessionLog},
    session::{BacklogTotal, Session},
};

/// Interval between checks of the sessions while the backlog is near its limit.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Sessions checked or closed before the task yields.
const SESSIONS_PER_YIELD: usize = 256;

/// See the module's description.
pub(crate) struct Eviction {
    pub hub: Hub,
    pub total: Arc<BacklogTotal>,
    pub metrics: Arc<GatewayMetrics>,
    pub session_log: Arc<SessionLog>,
}

impl Eviction {
    /// Runs forever: limits and closes sessions while the backlog is near its limit.
    pub(crate) async fn run(&self) {
        loop {
            self.total.near_limit().await;
            loop {
                let mut blocked = self.blocked_sessions().await;
                if !self.total.update_share(blocked.len()) {
                    break;
                }
                if self.total.is_over() {
                    self.evict(&mut blocked).await;
                }
                drop(blocked);
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        }
    }

    /// The sessions whose clients do not read, with their unread bytes.
    async fn blocked_sessions(&self) -> Vec<(usize, Arc<Session>)> {
        let sessions = self.hub.sessions();
        let mut blocked = Vec::new();
        for batch in sessions.chunks(SESSIONS_PER_YIELD) {
            blocked.extend(batch.iter().filter_map(|session| {
                let bytes = session.unread_bytes();
                (bytes > 0).then(|| (bytes, session.clone()))
            }));
            tokio::task::yield_now().await;
        }
        blocked
    }

    /// Closes the sessions with the largest backlogs as slow until the total is below its target.
    async fn evict(&self, blocked: &mut [(usize, Arc<Session>)]) {
        blocked.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let backlog = self.total.bytes();
        let mut closed = 0;
        for (_, session) in blocked.iter() {
            if self.total.is_below_target() {
                break;
            }
            session.end(CloseReason::Slow);
            closed += 1;
            if closed % SESSIONS_PER_YIELD == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.metrics.evicted(closed as u64);
        self.session_log.evicted(closed, backlog);
    }
}
