//! The polling sessions by their secret `sid`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::polling::PollingSession;
use chaincast_base::shutdown::Tasks;
use chaincast_protocol::CloseReason;

/// Time for the client of an ended session to fetch the close packet, and to read the active response.
const LINGER: Duration = Duration::from_secs(2);

/// See the module's description. Bounded by the connection limit, which counts each of them.
#[derive(Default)]
pub(super) struct PollingSessions {
    sessions: Mutex<HashMap<Box<str>, Entry>>,
}

struct Entry {
    polling: Arc<PollingSession>,
    /// When the sweep first found it ended.
    ended: Option<Instant>,
}

impl PollingSessions {
    pub(super) fn insert(&self, sid: Box<str>, polling: Arc<PollingSession>) {
        let ended = None;
        self.sessions.lock().insert(sid, Entry { polling, ended });
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<PollingSession>> {
        self.sessions
            .lock()
            .get(sid)
            .map(|entry| entry.polling.clone())
    }

    pub(super) fn remove(&self, sid: &str) {
        self.sessions.lock().remove(sid);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.lock().is_empty()
    }

    /// Removes ended sessions whose close packet was fetched or has timed out. Aborts a response that is still active then;
    /// the response of a slow session is aborted immediately.
    pub(super) fn sweep(&self, now: Instant, tasks: &Tasks) {
        let mut removed = Vec::new();
        self.sessions.lock().retain(|_, entry| {
            let session = entry.polling.session();
            let Some(reason) = session.closed() else {
                return true;
            };
            if *reason == CloseReason::Slow {
                entry.polling.abort_response(tasks);
            }
            let since = *entry.ended.get_or_insert(now);
            let is_pending = session.has_backlog() || entry.polling.has_active_response();
            let keep = is_pending && now - since < LINGER;
            if !keep {
                removed.push(entry.polling.clone());
            }
            keep
        });
        // After the lock is released.
        for polling in removed {
            polling.abort_response(tasks);
        }
    }
}
