//! The body of an answer to a `GET`. It counts as backlog of its session for as long as it is in memory: until the kernel
//! has all of it, or its connection has ended.

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

use crate::{
    gateway::{CloseReason, session::Session},
    shutdown::{Takeover, Tasks},
};

/// Bytes that HTTP is given at once: an answer that HTTP did not ask for to its end is known not to have arrived.
const FRAME_BYTES: usize = 16_384;

/// See the module's description.
pub struct Answer {
    rest: Bytes,
    session: Arc<Session>,
    exists: Weak<()>,
}

/// Owns the bytes, of which HTTP has slices; dropped with the last of them.
struct Payload {
    bytes: Vec<u8>,
    session: Arc<Session>,
    _exists: Arc<()>,
    /// Given back last, when the bytes no longer count.
    _turn: OwnedMutexGuard<()>,
}

impl Answer {
    /// `turn` lets the next answer begin.
    pub fn new(bytes: Vec<u8>, session: Arc<Session>, turn: OwnedMutexGuard<()>) -> Self {
        let exists = Arc::new(());
        let known = Arc::downgrade(&exists);
        let payload = Payload {
            bytes,
            session: session.clone(),
            _exists: exists,
            _turn: turn,
        };
        Self {
            rest: Bytes::from_owner(payload),
            session,
            exists: known,
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
        self.session.answered();
    }
}

impl HttpBody for Answer {
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

impl Drop for Answer {
    /// What the rest had is lost to the client, so its session cannot go on.
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            self.session.end(CloseReason::Lost);
        }
    }
}

/// The answer of one session that is being sent, if any.
#[derive(Default)]
pub struct UnderWay {
    turn: Arc<tokio::sync::Mutex<()>>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    exists: Weak<()>,
    takeover: Option<Takeover>,
}

impl UnderWay {
    /// Waits until no answer is being sent.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Notes an answer that is about to be sent, and how its connection is taken away.
    pub fn begins(&self, answer: &Answer, takeover: Option<Takeover>) {
        *self.last.lock() = Last {
            exists: answer.exists.clone(),
            takeover,
        };
    }

    pub fn is_any(&self) -> bool {
        self.last.lock().exists.strong_count() > 0
    }

    /// Ends the connection of the answer that is being sent. One whose answer was sent meanwhile may serve another
    /// request by now, and is left alone.
    pub fn cut(&self, tasks: &Tasks) {
        let mut last = self.last.lock();
        if last.exists.strong_count() > 0
            && let Some(takeover) = last.takeover.take()
        {
            let exists = last.exists.clone();
            tasks.spawn(async move {
                if exists.strong_count() > 0 {
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

    /// Whether a connection is taken away by a cut during an answer that is sent soon after it, or is not.
    async fn is_taken(is_sent: bool) -> bool {
        let (tasks, _failures) = Tasks::new();
        let (takeover, mut taken) = Takeover::new();
        let mut answer = Some(Arc::new(()));
        let under_way = UnderWay::default();
        *under_way.last.lock() = Last {
            exists: answer.as_ref().map(Arc::downgrade).unwrap_or_default(),
            takeover: Some(takeover),
        };
        under_way.cut(&tasks);
        if is_sent {
            answer = None;
        }
        tokio::task::yield_now().await;
        let is_taken = taken.asked().now_or_never().is_some();
        drop(answer);
        is_taken
    }

    #[tokio::test]
    async fn cuts_only_the_connection_of_its_answer() {
        assert!(is_taken(false).await);
        assert!(!is_taken(true).await, "it may serve another request");
    }
}
