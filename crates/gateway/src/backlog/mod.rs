//! The backlog of all sessions, measured once a second outside the fan-out.

mod eviction;
mod total;

pub use eviction::{TrimPolicy, trim_memory};
pub use total::BacklogTotal;

use std::time::Instant;

use super::hub::Hub;

/// Sessions measured per acquisition of the registry lock.
const BATCH: usize = 1_024;

/// The backlog at the last measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes queued for all sessions.
    pub bytes: u64,
    /// Bytes queued for the session with the largest backlog.
    pub largest: u64,
    /// Sessions with a backlog.
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
    /// Measures the backlog for the metrics and [`Hub::backlog`].
    pub(super) fn measure_backlog(&self) {
        let (mut backlog, mut next) = (Backlog::default(), Some(0));
        while let Some(from) = next {
            let registry = self.registry().lock();
            next = registry.visit(from, BATCH, |session| {
                // A locked outbox is being written, so it drains: skip it.
                if let Some(mut outbox) = session.outbox.try_lock() {
                    backlog.add(outbox.bytes());
                    if session.socket().is_none() {
                        outbox.mark_unpolled();
                    }
                }
            });
        }
        self.metrics().backlog(backlog);
        *self.last_backlog().lock() = backlog;
        let sessions = self.session_counts().iter().sum();
        let should_trim =
            self.trim_policy()
                .lock()
                .should_trim(backlog.bytes, sessions, Instant::now());
        if should_trim {
            // It may take long, and no task depends on it.
            tokio::task::spawn_blocking(trim_memory);
        }
    }

    /// The backlog at the last measurement, about a second old at most.
    pub fn backlog(&self) -> Backlog {
        *self.last_backlog().lock()
    }
}
