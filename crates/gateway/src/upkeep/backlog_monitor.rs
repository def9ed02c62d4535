//! Measures the backlog of all sessions once a second, outside the fan-out, and returns freed memory to the system.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::trim::{TrimPolicy, trim_memory};
use crate::{
    hub::Hub,
    observe::{Backlog, GatewayMetrics},
};

/// Sessions measured per acquisition of the registry's lock.
const BATCH: usize = 1_024;

/// See the module's description.
pub(crate) struct BacklogMonitor {
    hub: Hub,
    metrics: Arc<GatewayMetrics>,
    last: Mutex<Backlog>,
    trim_policy: Mutex<TrimPolicy>,
}

impl BacklogMonitor {
    pub(crate) fn new(hub: Hub, metrics: Arc<GatewayMetrics>) -> Self {
        Self {
            hub,
            metrics,
            last: Mutex::default(),
            trim_policy: Mutex::default(),
        }
    }

    pub(crate) fn measure(&self) {
        let (mut backlog, mut next) = (Backlog::default(), Some(0));
        while let Some(from) = next {
            next = self.hub.visit_sessions(from, BATCH, |session| {
                // An outbox that is being written drains: it is skipped.
                if let Some(bytes) = session.measure_backlog() {
                    backlog.add(bytes);
                }
            });
        }
        self.metrics.backlog(backlog);
        *self.last.lock() = backlog;
        let sessions = self.hub.session_counts().iter().sum();
        let should_trim =
            self.trim_policy
                .lock()
                .should_trim(backlog.bytes, sessions, Instant::now());
        if should_trim {
            // It may take long, and no task depends on it.
            tokio::task::spawn_blocking(trim_memory);
        }
    }

    /// The backlog at the last measurement, about a second old at most.
    pub(crate) fn last(&self) -> Backlog {
        *self.last.lock()
    }
}
