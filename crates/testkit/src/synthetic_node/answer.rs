//! An answer as a sequence of pieces; large ones are sent without copying.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Smaller pieces are copied: that costs less than another entry of a vectored write.
const COPY_LIMIT: usize = 2_048;

#[derive(Default)]
pub(super) struct Answer {
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Answer {
    pub(super) fn text(&mut self, text: &str) {
        self.open.extend_from_slice(text.as_bytes());
    }

    pub(super) fn copied(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    pub(super) fn piece(&mut self, bytes: &alloy::primitives::Bytes) {
        if bytes.len() < COPY_LIMIT {
            return self.copied(bytes);
        }
        self.close();
        self.done.push(bytes.0.clone());
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.done.push(open.freeze());
        }
    }

    /// The answer as one buffer.
    pub(super) fn joined(mut self) -> Bytes {
        self.close();
        match self.done.as_slice() {
            [one] => one.clone(),
            pieces => pieces.concat().into(),
        }
    }

    /// The answer as a body of known length.
    pub(super) fn into_body(mut self) -> Body {
        self.close();
        let left = self.done.iter().map(|piece| piece.len() as u64).sum();
        Body::new(Pieces {
            pieces: self.done.into_iter(),
            left,
        })
    }
}

struct Pieces {
    pieces: vec::IntoIter<Bytes>,
    left: u64,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
