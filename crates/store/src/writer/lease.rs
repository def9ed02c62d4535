//! A lease: how long a writer may write without a confirmation from the database.

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
use crate::StoreError;

/// The lease of one term of a stream. Ends when it is dropped with its writer.
pub struct Lease {
    held: Arc<LeaseState>,
}

/// A term that was just acquired.
#[derive(Debug)]
pub(super) struct AcquiredTerm {
    pub(super) term: i64,
    /// When it was requested: the lease counts from before it was granted.
    pub(super) requested_at: Instant,
    pub(super) length: Duration,
}

/// State of a lease, shared by the lease keeper and the writer.
pub(super) struct LeaseState {
    pub(super) stream: Stream,
    pub(super) term: i64,
    pub(super) length: Duration,
    /// When the last successful renewal was requested.
    renewed: Mutex<Instant>,
    /// When the writer last committed.
    written: Mutex<Option<Instant>>,
    /// Whether the writer has succeeded at least once in this term.
    works: AtomicBool,
    ended: CancellationToken,
    why: OnceLock<String>,
}

impl Lease {
    pub(super) fn of(stream: Stream, taken: &AcquiredTerm) -> (Self, Arc<LeaseState>) {
        let held = Arc::new(LeaseState {
            stream,
            term: taken.term,
            length: taken.length,
            renewed: Mutex::new(taken.requested_at),
            written: Mutex::new(None),
            works: AtomicBool::new(false),
            ended: CancellationToken::new(),
            why: OnceLock::new(),
        });
        (Self { held: held.clone() }, held)
    }

    pub(super) fn stream(&self) -> Stream {
        self.held.stream
    }

    /// Increases with each holder of the stream.
    pub fn term(&self) -> i64 {
        self.held.term
    }

    /// Resolves with the cause when this process may no longer write. Borrows nothing, so that it can be awaited beside
    /// the writer's own work.
    pub fn lost(&self) -> impl Future<Output = StoreError> + Send + use<> {
        let held = self.held.clone();
        async move {
            held.ended.cancelled().await;
            held.loss()
        }
    }

    /// Fails if the lease is lost or has expired by the clock of this process.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.held.has_expired(Instant::now()) {
            self.held.expire();
        }
        match self.held.ended.is_cancelled() {
            true => Err(self.held.loss()),
            false => Ok(()),
        }
    }

    /// Records a commit of the writer.
    pub fn record_commit(&self) {
        *self.held.written.lock() = Some(Instant::now());
        self.record_success();
    }

    /// Records that the writer works: an earlier failure is over.
    pub fn record_success(&self) {
        self.held.works.store(true, Ordering::Relaxed);
    }

    pub(super) fn lost_to_another(&self) -> StoreError {
        self.held
            .end("another session holds a later term".to_owned());
        self.held.loss()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.end("the writer ended".to_owned());
    }
}

impl LeaseState {
    /// Only the first reason is kept.
    pub(super) fn end(&self, why: String) {
        self.why.get_or_init(|| why);
        self.ended.cancel();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) fn renewed(&self, requested_at: Instant) {
        *self.renewed.lock() = requested_at;
    }

    /// When the next renewal is due.
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
            "it could not be renewed within its duration of {length:?}"
        ));
    }

    /// How long ago the writer committed, in ms.
    pub(super) fn written_ms(&self) -> Option<i64> {
        let written = *self.written.lock();
        written.map(|at| i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    fn loss(&self) -> StoreError {
        StoreError::LeaseLost {
            stream: self.stream.to_string(),
            reason: self.why.get().cloned().unwrap_or_default(),
        }
    }
}
