//! How much waits to be sent to all sessions, measured once a second beside the fan-out, not within it.

mod relief;
mod total;

pub use relief::{Ebb, give_back};
pub use total::Total;

use std::time::Instant;

use super::hub::Hub;

/// Sessions looked at before the lock on all of them is given back.
const AT_ONCE: usize = 1_024;

/// What waited when it was measured last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Of all sessions together.
    pub bytes: u64,
    /// Bytes of the session with the most.
    pub largest: u64,
    /// Sessions for which anything waits.
    pub sessions: u64,
}

impl Backlog {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.largest = self.largest.max(bytes as u64);
        self.sessions += u64::from(bytes > 0);
    }
}

impl Hub {
    /// Measures, for the metrics and [`Hub::backlog`].
    pub(super) fn measure_backlog(&self) {
        let (mut backlog, mut next) = (Backlog::default(), Some(0));
        while let Some(from) = next {
            let registry = self.registry().lock();
            next = registry.visit(from, AT_ONCE, |session| {
                // One that is being written to right now is not waited for: it drains.
                if let Some(mut outbox) = session.outbox.try_lock() {
                    backlog.add(outbox.bytes());
                    if session.socket().is_none() {
                        outbox.note_absent_puller();
                    }
                }
            });
        }
        self.metrics().backlog(backlog);
        *self.last_backlog().lock() = backlog;
        let sessions = self.session_counts().iter().sum();
        let ebbs = self
            .ebb()
            .lock()
            .is_out(backlog.bytes, sessions, Instant::now());
        if ebbs {
            // It may take a while, and nobody waits for it.
            tokio::task::spawn_blocking(give_back);
        }
    }

    /// What waited within the last second or so.
    pub fn backlog(&self) -> Backlog {
        *self.last_backlog().lock()
    }
}
