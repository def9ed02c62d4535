//! A session without a socket: a polling request takes its packets.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::Session;
use crate::observe::Sent;

/// The result of a poll.
#[derive(Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// At least one whole payload.
    Payloads(Vec<Bytes>),
    /// The session has ended and its outbox is empty.
    Ended,
}

impl Session {
    /// Waits for payloads of up to `most` bytes (at least one payload). Only for the one poller of a session without a
    /// socket. The payloads count as backlog until [`Self::response_finished`].
    pub fn poll_take(&self, cx: &mut Context<'_>, most: usize) -> Poll<PollOutcome> {
        self.waker.register(cx.waker());
        let taken = self.outbox.take(most);
        if taken.wakes_replay {
            self.drained.notify_waiters();
        }
        if taken.is_closed || !taken.payloads.is_empty() {
            // This poller no longer waits.
            self.waker.take();
        }
        if !taken.payloads.is_empty() {
            self.count_sent(Sent {
                packets: taken.payloads.len(),
                bytes: taken.bytes,
            });
            return Poll::Ready(PollOutcome::Payloads(taken.payloads));
        }
        // Not as soon as the session has ended: it may not have queued its close packets yet.
        match taken.is_closed {
            true => Poll::Ready(PollOutcome::Ended),
            false => Poll::Pending,
        }
    }

    /// As [`Self::poll_take`], as a future.
    pub async fn take(&self, most: usize) -> PollOutcome {
        poll_fn(|cx| self.poll_take(cx, most)).await
    }

    /// The payloads taken last were sent completely, or were given up.
    pub fn response_finished(&self) {
        self.outbox.response_finished();
    }
}
