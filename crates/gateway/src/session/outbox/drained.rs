//! What left an outbox: to a socket, or to a poller.

use std::io::ErrorKind;

use bytes::Bytes;

use crate::observe::Sent;

/// A write that was tried.
#[derive(Debug)]
pub struct Written {
    pub sent: Sent,
    /// Why it stopped before the queue was empty. A short write counts as `WouldBlock`.
    pub stopped: Option<ErrorKind>,
    /// Packets are left.
    pub is_unfinished: bool,
    /// A replay waits for the room that the write made.
    pub wakes_replay: bool,
}

/// What a poller took.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Whole payloads.
    pub payloads: Vec<Bytes>,
    /// Their bytes, as counted in the queue.
    pub bytes: usize,
    /// The session has ended and its close packets were queued.
    pub is_closed: bool,
    /// A replay waits for the room that this made.
    pub wakes_replay: bool,
}
