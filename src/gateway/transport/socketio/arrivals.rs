//! Clients that shook hands and have yet to join the namespace: who does not in time is sent away.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::client::Client;
use crate::gateway::{CloseReason, session::Session};

/// One queue for all, since all have the same time: a timer each would cost more than the session it watches.
/// Bounded by the connections that are admitted in that time.
#[derive(Default)]
pub struct Arrivals(Mutex<VecDeque<Awaited>>);

struct Awaited {
    until: Instant,
    session: Weak<Session>,
    arrived: Arc<AtomicBool>,
}

impl Arrivals {
    /// Waits for this client so long; `patience` has to be the same for all.
    pub fn expect(&self, client: &Client, patience: Duration) {
        let mut awaited = self.0.lock();
        // Taken under the lock, so that the queue is in order.
        awaited.push_back(Awaited {
            until: Instant::now() + patience,
            session: Arc::downgrade(client.session()),
            arrived: client.arrived().clone(),
        });
    }

    /// Ends the sessions of those whose time is over.
    pub fn sweep(&self, now: Instant) {
        loop {
            let mut awaited = self.0.lock();
            let is_over = awaited.front().is_some_and(|first| first.until <= now);
            let over = if is_over { awaited.pop_front() } else { None };
            if awaited.is_empty() {
                awaited.shrink_to(0);
            }
            drop(awaited);
            let Some(Awaited {
                session, arrived, ..
            }) = over
            else {
                return;
            };
            if !arrived.load(Ordering::Relaxed)
                && let Some(session) = session.upgrade()
            {
                session.end(CloseReason::Protocol("no namespace was joined in time"));
            }
        }
    }
}
