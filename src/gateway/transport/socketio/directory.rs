//! The connections that are served by polling, by the secret id that their requests name them with.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::polling::Polled;
use crate::gateway::CloseReason;

/// How long an ended connection is kept for its client to fetch the goodbye, and to read an answer that is being sent.
const LINGER: Duration = Duration::from_secs(2);

/// See the module's description. Bounded by the limit on connections, which every one in it is counted in.
#[derive(Default)]
pub struct Directory {
    polled: Mutex<HashMap<Box<str>, Kept>>,
}

struct Kept {
    polled: Arc<Polled>,
    /// When it was first seen to have ended.
    ended: Option<Instant>,
}

impl Directory {
    pub fn insert(&self, sid: Box<str>, polled: Arc<Polled>) {
        let ended = None;
        self.polled.lock().insert(sid, Kept { polled, ended });
    }

    pub fn find(&self, sid: &str) -> Option<Arc<Polled>> {
        self.polled.lock().get(sid).map(|kept| kept.polled.clone())
    }

    pub fn remove(&self, sid: &str) {
        self.polled.lock().remove(sid);
    }

    pub fn is_empty(&self) -> bool {
        self.polled.lock().is_empty()
    }

    /// Forgets ended connections whose goodbye was fetched, or had its time. An answer that is not read by then is cut
    /// off, that of a slow session at once.
    pub fn sweep(&self, now: Instant) {
        let mut gone = Vec::new();
        self.polled.lock().retain(|_, kept| {
            let session = kept.polled.session();
            let Some(reason) = session.closed() else {
                return true;
            };
            if *reason == CloseReason::Slow {
                kept.polled.cut();
            }
            let since = *kept.ended.get_or_insert(now);
            let waits = session.has_backlog() || kept.polled.is_answering();
            let keep = waits && now - since < LINGER;
            if !keep {
                gone.push(kept.polled.clone());
            }
            keep
        });
        // After the lock was given back.
        for polled in gone {
            polled.cut();
        }
    }
}
