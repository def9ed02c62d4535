//! The body of an answer. Its connection is busy with the request until the kernel has all of it, not just until the
//! handler returned: HTTP sends as fast as the client reads.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::guests::Asked;

/// See the module's description.
pub(super) struct Busy {
    body: Body,
    asked: Arc<Asked>,
}

/// Bytes that HTTP drops once they were written.
struct Unsent {
    bytes: Bytes,
    _asked: Arc<Asked>,
}

impl Busy {
    pub(super) fn new(body: Body, asked: Asked) -> Self {
        let asked = Arc::new(asked);
        Self { body, asked }
    }
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Busy {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map_ok(|frame| {
            frame.map_data(|bytes| {
                Bytes::from_owner(Unsent {
                    bytes,
                    _asked: self.asked.clone(),
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
