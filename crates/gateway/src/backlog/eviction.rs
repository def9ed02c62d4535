//! Keeps the backlog of all sessions within `gateway.backlog_total_bytes`, and returns freed memory to the system.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::hub::Hub;
use crate::session::Session;
use chaincast_protocol::CloseReason;

/// Interval between checks of the sessions while the backlog is near its limit.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Sessions checked or closed before the task yields.
const SESSIONS_PER_YIELD: usize = 256;
/// Decrease of the memory in use after which the allocator returns memory, in bytes.
const TRIM_THRESHOLD: u64 = 16 << 20;
/// Estimated maximum memory of a session in addition to its backlog, in bytes.
const SESSION_BYTES: u64 = 64 << 10;
/// Shortest time between two trims.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);
/// Further trims after that, because sessions and their replays end one after another.
const EXTRA_TRIMS: u32 = 3;

/// Decides when memory is returned to the system.
#[derive(Debug, Default)]
pub struct TrimPolicy {
    peak: u64,
    last_trim: Option<Instant>,
    extra: u32,
}

impl TrimPolicy {
    /// Records the current backlog and the number of sessions; whether memory should be trimmed now.
    pub fn should_trim(&mut self, backlog: u64, sessions: usize, now: Instant) -> bool {
        let bytes = backlog + SESSION_BYTES * sessions as u64;
        self.peak = self.peak.max(bytes);
        let interval_passed = self
            .last_trim
            .is_none_or(|last| now.duration_since(last) >= TRIM_INTERVAL);
        if !interval_passed {
            return false;
        }
        if self.peak - bytes >= TRIM_THRESHOLD {
            self.extra = EXTRA_TRIMS;
        } else if self.extra > 0 {
            self.extra -= 1;
        } else {
            return false;
        }
        (self.peak, self.last_trim) = (bytes, Some(now));
        true
    }
}

impl Hub {
    /// Runs forever: limits and closes sessions while the backlog is near its limit.
    pub async fn run_eviction(&self) {
        loop {
            self.backlog_total().near_limit().await;
            loop {
                let mut blocked = self.blocked_sessions().await;
                if !self.backlog_total().update_share(blocked.len()) {
                    break;
                }
                if self.backlog_total().is_over() {
                    self.evict(&mut blocked).await;
                }
                drop(blocked);
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        }
    }

    /// The sessions whose clients do not read, with their unread bytes.
    async fn blocked_sessions(&self) -> Vec<(usize, Arc<Session>)> {
        let sessions = self.registry().lock().sessions();
        let mut blocked = Vec::new();
        for batch in sessions.chunks(SESSIONS_PER_YIELD) {
            blocked.extend(batch.iter().filter_map(|session| {
                let bytes = session.outbox.lock().unread_bytes();
                (bytes > 0).then(|| (bytes, session.clone()))
            }));
            tokio::task::yield_now().await;
        }
        blocked
    }

    /// Closes the sessions with the largest backlogs as slow until the total is below its target.
    async fn evict(&self, blocked: &mut [(usize, Arc<Session>)]) {
        blocked.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let backlog = self.backlog_total().bytes();
        let mut closed = 0;
        for (_, session) in blocked.iter() {
            if self.backlog_total().is_below_target() {
                break;
            }
            session.end(CloseReason::Slow);
            closed += 1;
            if closed % SESSIONS_PER_YIELD == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.metrics().evicted(closed as u64);
        self.session_log().evicted(closed, backlog);
    }
}

/// Returns free memory to the system. Otherwise glibc keeps it as long as anything above it in its heap is in use.
pub fn trim_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(
            unsafe_code,
            reason = "glibc has no safe call that returns free memory"
        )]
        // SAFETY: the function takes a number and may be called at any time from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_trim_after_a_large_decrease() {
        let (mut policy, begin) = (TrimPolicy::default(), Instant::now());
        assert!(!policy.should_trim(TRIM_THRESHOLD - 1, 0, begin));
        assert!(!policy.should_trim(0, 0, begin), "below the threshold");
        assert!(!policy.should_trim(3 * TRIM_THRESHOLD, 0, begin));
        assert!(policy.should_trim(TRIM_THRESHOLD, 0, begin));
        assert!(!policy.should_trim(0, 0, begin), "too soon");
        let mut at = begin;
        let mut later = |policy: &mut TrimPolicy, sessions| {
            at += TRIM_INTERVAL;
            policy.should_trim(0, sessions, at)
        };
        assert!(later(&mut policy, 0), "the remaining decrease");
        for again in 0..EXTRA_TRIMS {
            assert!(later(&mut policy, 0), "{again}");
        }
        assert!(!later(&mut policy, 0));
        assert!(!later(&mut policy, 1_000));
        assert!(later(&mut policy, 500), "many sessions ended");
    }
}
