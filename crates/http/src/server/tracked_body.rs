//! A response body that keeps its connection marked active until the kernel has accepted all of it, not only until the
//! handler returns: HTTP sends as fast as the client reads.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::http_connections::RequestGuard;

/// See the module's description.
pub(super) struct TrackedBody {
    body: Body,
    guard: Arc<RequestGuard>,
}

/// Bytes that hyper drops once they are written.
struct TrackedBytes {
    bytes: Bytes,
    _guard: Arc<RequestGuard>,
}

impl TrackedBody {
    pub(super) fn new(body: Body, guard: RequestGuard) -> Self {
        let guard = Arc::new(guard);
        Self { body, guard }
    }
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map_ok(|frame| {
            frame.map_data(|bytes| {
                Bytes::from_owner(TrackedBytes {
                    bytes,
                    _guard: self.guard.clone(),
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
