//! Keeps what waits for all sessions within `gateway.backlog_total_bytes`, and gives the memory back afterwards.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::hub::Hub;
use crate::gateway::{CloseReason, session::Session};

/// How often the sessions are looked at while much waits.
const LOOK: Duration = Duration::from_millis(100);
/// Sessions that are looked at or closed before other tasks of the thread get their turn.
const A_TURN: usize = 256;
/// The allocator is asked to give memory back when about so much less is in use than was.
const WORTH_WHILE: u64 = 16 << 20;
/// What a session that left had in use beside its backlog, at most about: what it was sent and what it asked for.
const A_SESSION: u64 = 64 << 10;
/// Between two times that it is asked.
const REST: Duration = Duration::from_secs(1);
/// How often it is asked again after that, as sessions and their replays end one after the other.
const AGAIN: u32 = 3;

/// When memory is to be given back to the system.
#[derive(Debug, Default)]
pub struct Ebb {
    most: u64,
    asked: Option<Instant>,
    again: u32,
}

impl Ebb {
    /// Notes how many bytes wait now and how many sessions there are; whether it was much more before.
    pub fn is_out(&mut self, waiting: u64, sessions: usize, now: Instant) -> bool {
        let bytes = waiting + A_SESSION * sessions as u64;
        self.most = self.most.max(bytes);
        let rested = self
            .asked
            .is_none_or(|asked| now.duration_since(asked) >= REST);
        if !rested {
            return false;
        }
        if self.most - bytes >= WORTH_WHILE {
            self.again = AGAIN;
        } else if self.again > 0 {
            self.again -= 1;
        } else {
            return false;
        }
        (self.most, self.asked) = (bytes, Some(now));
        true
    }
}

impl Hub {
    /// Runs for as long as it is polled.
    pub async fn run_relief(&self) {
        loop {
            self.backlog_total().pressed().await;
            loop {
                let mut full = self.full_sessions().await;
                if !self.backlog_total().share_out(full.len()) {
                    break;
                }
                if self.backlog_total().is_over() {
                    self.relieve(&mut full).await;
                }
                drop(full);
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// The sessions that do not take what waits for them, with the number of bytes that count.
    async fn full_sessions(&self) -> Vec<(usize, Arc<Session>)> {
        let sessions = self.registry().lock().sessions();
        let mut full = Vec::new();
        for some in sessions.chunks(A_TURN) {
            full.extend(some.iter().filter_map(|session| {
                let bytes = session.outbox.lock().pressing();
                (bytes > 0).then(|| (bytes, session.clone()))
            }));
            tokio::task::yield_now().await;
        }
        full
    }

    /// Closes the fullest sessions as slow until little enough waits.
    async fn relieve(&self, full: &mut [(usize, Arc<Session>)]) {
        full.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let waited = self.backlog_total().bytes();
        let mut closed = 0;
        for (_, session) in full.iter() {
            if self.backlog_total().is_relieved() {
                break;
            }
            session.end(CloseReason::Slow);
            closed += 1;
            if closed % A_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.metrics().relieved(closed as u64);
        self.journal().relieved(closed, waited);
    }
}

/// Gives memory that is free back to the system. glibc keeps it otherwise for as long as anything above it in its heap is
/// in use.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(
            unsafe_code,
            reason = "glibc has no safe call that returns free memory"
        )]
        // SAFETY: it takes a number, and may be called at any time from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_after_much_was_in_use() {
        let (mut ebb, begin) = (Ebb::default(), Instant::now());
        assert!(!ebb.is_out(WORTH_WHILE - 1, 0, begin));
        assert!(!ebb.is_out(0, 0, begin), "that was little");
        assert!(!ebb.is_out(3 * WORTH_WHILE, 0, begin));
        assert!(ebb.is_out(WORTH_WHILE, 0, begin));
        assert!(!ebb.is_out(0, 0, begin), "just now");
        let mut at = begin;
        let mut later = |ebb: &mut Ebb, sessions| {
            at += REST;
            ebb.is_out(0, sessions, at)
        };
        assert!(later(&mut ebb, 0), "the rest of it");
        for again in 0..AGAIN {
            assert!(later(&mut ebb, 0), "{again}");
        }
        assert!(!later(&mut ebb, 0));
        assert!(!later(&mut ebb, 1_000));
        assert!(later(&mut ebb, 500), "many sessions left");
    }
}
