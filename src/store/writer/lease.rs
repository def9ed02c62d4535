//! A lease: how long a writer may write without hearing from the database that it still may.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Stream;
use crate::store::StoreError;

/// Of one term of a stream; ends with the writer that holds it.
pub struct Lease {
    held: Arc<Held>,
}

/// A term that was just taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) term: i64,
    /// When that was asked for: the lease counts from before it was granted.
    pub(super) asked: Instant,
    pub(super) length: Duration,
}

/// What keeper and writer know of a lease.
pub(super) struct Held {
    pub(super) stream: Stream,
    pub(super) term: i64,
    pub(super) length: Duration,
    /// When the newest renewal that succeeded was asked for.
    renewed: Mutex<Instant>,
    /// When the writer last committed.
    written: Mutex<Option<Instant>>,
    /// Whether the writer did what it had to do, since it has the lease.
    works: AtomicBool,
    ended: CancellationToken,
    why: OnceLock<String>,
}

impl Lease {
    pub(super) fn of(stream: Stream, taken: &Taken) -> (Self, Arc<Held>) {
        let held = Arc::new(Held {
            stream,
            term: taken.term,
            length: taken.length,
            renewed: Mutex::new(taken.asked),
            written: Mutex::new(None),
            works: AtomicBool::new(false),
            ended: CancellationToken::new(),
            why: OnceLock::new(),
        });
        (Self { held: held.clone() }, held)
    }

    pub fn stream(&self) -> Stream {
        self.held.stream
    }

    /// Rises with each holder of the stream.
    pub fn term(&self) -> i64 {
        self.held.term
    }

    /// Resolves when this process may no longer write, with why. Borrows nothing, so that it can be awaited beside the
    /// writer's own work.
    pub fn lost(&self) -> impl Future<Output = StoreError> + Send + use<> {
        let held = self.held.clone();
        async move {
            held.ended.cancelled().await;
            held.loss()
        }
    }

    /// Fails when the lease is lost, or has expired by the clock of this process.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.held.has_expired(Instant::now()) {
            self.held.expire();
        }
        match self.held.ended.is_cancelled() {
            true => Err(self.held.loss()),
            false => Ok(()),
        }
    }

    /// The writer committed.
    pub fn wrote(&self) {
        *self.held.written.lock() = Some(Instant::now());
        self.works();
    }

    /// The writer has done what there was to do: what it failed with before is over.
    pub fn works(&self) {
        self.held.works.store(true, Ordering::Relaxed);
    }

    pub(super) fn lost_to_another(&self) -> StoreError {
        self.held
            .end("another session has a later term of it".to_owned());
        self.held.loss()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.end("the writer ended".to_owned());
    }
}

impl Held {
    /// The first reason counts.
    pub(super) fn end(&self, why: String) {
        self.why.get_or_init(|| why);
        self.ended.cancel();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) fn renewed(&self, asked: Instant) {
        *self.renewed.lock() = asked;
    }

    /// When it is to be renewed, and when it is over.
    pub(super) fn due(&self) -> Instant {
        *self.renewed.lock() + self.length / 3
    }

    pub(super) fn expires(&self) -> Instant {
        *self.renewed.lock() + self.length
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expires() <= now
    }

    pub(super) fn expire(&self) {
        let length = self.length;
        self.end(format!(
            "it could not be renewed for {length:?}, which is how long it lasts"
        ));
    }

    /// How long ago the writer committed, in ms.
    pub(super) fn written_ms(&self) -> Option<i64> {
        let written = *self.written.lock();
        written.map(|at| i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    pub(super) fn has_worked(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    fn loss(&self) -> StoreError {
        StoreError::LeaseLost {
            stream: self.stream.to_string(),
            reason: self.why.get().cloned().unwrap_or_default(),
        }
    }
}
