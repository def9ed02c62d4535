//! The body of a response to a polling `GET`. It counts as backlog of its session while it is in memory: until the kernel
//! has accepted all of it, or the connection has ended.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::session::Session;
use chaincast_base::shutdown::{Takeover, Tasks};
use chaincast_protocol::CloseReason;

/// Bytes per HTTP body frame. A response whose last frame was not requested is known to be undelivered.
const FRAME_BYTES: usize = 16_384;

/// See the module's description.
pub(super) struct PollResponse {
    rest: Bytes,
    session: Arc<Session>,
    alive: Weak<()>,
}

/// Owns the bytes; HTTP holds slices of them. Dropped with the last slice.
struct Payload {
    bytes: Vec<u8>,
    session: Arc<Session>,
    _alive: Arc<()>,
    /// Released last, when the bytes no longer count as backlog.
    _turn: OwnedMutexGuard<()>,
}

impl PollResponse {
    /// When `turn` is dropped, the next response may begin.
    pub(super) fn new(bytes: Vec<u8>, session: Arc<Session>, turn: OwnedMutexGuard<()>) -> Self {
        let alive = Arc::new(());
        let weak = Arc::downgrade(&alive);
        let payload = Payload {
            bytes,
            session: session.clone(),
            _alive: alive,
            _turn: turn,
        };
        Self {
            rest: Bytes::from_owner(payload),
            session,
            alive: weak,
        }
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.session.response_finished();
    }
}

impl HttpBody for PollResponse {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let count = self.rest.len().min(FRAME_BYTES);
        let frame = self.rest.split_to(count);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Drop for PollResponse {
    /// The client has lost the rest, so its session must end.
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            self.session.end(CloseReason::Lost);
        }
    }
}

/// The response of a session that is being sent, if any.
#[derive(Default)]
pub(super) struct ActiveResponse {
    turn: Arc<tokio::sync::Mutex<()>>,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    alive: Weak<()>,
    takeover: Option<Takeover>,
}

impl ActiveResponse {
    /// Waits until no response is being sent.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Sets the response that is about to be sent, and the takeover of its connection.
    pub(super) fn set(&self, response: &PollResponse, takeover: Option<Takeover>) {
        *self.current.lock() = Current {
            alive: response.alive.clone(),
            takeover,
        };
    }

    pub(super) fn is_active(&self) -> bool {
        self.current.lock().alive.strong_count() > 0
    }

    /// Closes the connection of the active response. If the response was sent meanwhile, the connection may already serve
    /// another request and stays open.
    pub(super) fn abort(&self, tasks: &Tasks) {
        let mut current = self.current.lock();
        if current.alive.strong_count() > 0
            && let Some(takeover) = current.takeover.take()
        {
            let alive = current.alive.clone();
            tasks.spawn(async move {
                if alive.strong_count() > 0 {
                    drop(takeover.take().await);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Whether `abort` closes a connection; with `is_sent` the response completes right after the call.
    async fn is_taken(is_sent: bool) -> bool {
        let (tasks, _failures) = Tasks::new();
        let (takeover, mut taken) = Takeover::new();
        let mut alive = Some(Arc::new(()));
        let active = ActiveResponse::default();
        *active.current.lock() = Current {
            alive: alive.as_ref().map(Arc::downgrade).unwrap_or_default(),
            takeover: Some(takeover),
        };
        active.abort(&tasks);
        if is_sent {
            alive = None;
        }
        tokio::task::yield_now().await;
        let is_taken = taken.requested().now_or_never().is_some();
        drop(alive);
        is_taken
    }

    #[tokio::test]
    async fn abort_closes_only_the_connection_of_its_response() {
        assert!(is_taken(false).await);
        assert!(!is_taken(true).await, "it may serve another request");
    }
}
