//! The queue of one outbox, with its bytes counted towards the limit of its session and of all sessions.

use std::sync::Arc;

use chaincast_protocol::encode::Packet;

use super::{
    backlog_total::BacklogTotal,
    packet_queue::{NextBytes, PacketQueue},
};

/// See the module's description.
#[derive(Debug)]
pub(super) struct CountedQueue {
    queue: PacketQueue,
    /// Bytes taken by a poller, in a response that is being sent.
    in_response: usize,
    /// Maximum bytes of the queue before updates are conflated or refused.
    bound: usize,
    total: Arc<BacklogTotal>,
    /// The client does not read. With a socket: the send buffer is full, and only the task that waits for the socket
    /// writes again. Polled: no poller comes.
    blocked: bool,
}

impl CountedQueue {
    /// An empty queue; its unread bytes are added to `total`.
    pub(super) fn new(bound: usize, total: Arc<BacklogTotal>) -> Self {
        Self {
            queue: PacketQueue::default(),
            in_response: 0,
            bound,
            total,
            blocked: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes queued, without those of a response.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Bytes queued, including those of a response that is being sent.
    pub(super) fn bytes(&self) -> usize {
        self.queue.bytes() + self.in_response
    }

    /// Bytes that count towards the limit of all sessions: those that the client does not read. Bytes queued since the
    /// last write do not count: the next write shows whether the client keeps up.
    pub(super) fn unread_bytes(&self) -> usize {
        let queued = if self.blocked { self.queue.bytes() } else { 0 };
        BacklogTotal::counted(queued + self.in_response)
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Records whether the client reads, after a write attempt.
    pub(super) fn set_blocked(&mut self, blocked: bool) {
        self.change(|queue| queue.blocked = blocked);
    }

    /// Maximum bytes before updates are conflated or refused; lower while the backlog of all sessions is near its limit.
    pub(super) fn bound(&self) -> usize {
        self.total.bound(self.unread_bytes(), self.bound)
    }

    /// An empty queue has room for a packet of any size.
    pub(super) fn has_room_for(&self, packet: &Packet) -> bool {
        self.queue.bytes() + packet.len() <= self.bound() || self.queue.is_empty()
    }

    /// Bytes that a replay may still queue: up to half of the bound, so that live updates keep the other half.
    pub(super) fn replay_room(&self) -> usize {
        (self.bound() / 2).saturating_sub(self.queue.bytes())
    }

    pub(super) fn push(&mut self, packet: Packet) {
        self.change(|queue| queue.queue.push(packet));
    }

    /// See [`PacketQueue::clear`].
    pub(super) fn clear(&mut self) {
        self.change(|queue| queue.queue.clear());
    }

    /// See [`PacketQueue::gather`].
    pub(super) fn gather<'a>(&'a self, joined: &mut Vec<u8>) -> NextBytes<'a> {
        self.queue.gather(joined)
    }

    /// See [`PacketQueue::advance`].
    pub(super) fn advance(&mut self, count: usize) -> usize {
        self.change(|queue| queue.queue.advance(count))
    }

    /// The packet that [`Self::pop`] removes.
    pub(super) fn first(&self) -> Option<&Packet> {
        self.queue.first()
    }

    /// See [`PacketQueue::pop`].
    pub(super) fn pop(&mut self) -> Option<Packet> {
        self.change(|queue| queue.queue.pop())
    }

    /// A response with this many bytes of popped packets is being sent to a poller.
    pub(super) fn response_started(&mut self, bytes: usize) {
        self.change(|queue| {
            queue.in_response += bytes;
            // With an empty queue the client is not blocked.
            queue.blocked &= !queue.queue.is_empty();
        });
    }

    /// A response was sent completely, or was given up.
    pub(super) fn response_finished(&mut self) {
        self.change(|queue| queue.in_response = 0);
    }

    /// See [`PacketQueue::shrink`].
    pub(super) fn shrink(&mut self) {
        self.queue.shrink();
    }

    /// See [`PacketQueue::leak_first`].
    pub(super) fn leak_first(&self) {
        self.queue.leak_first();
    }

    /// Applies a change and adjusts the backlog of all sessions.
    fn change<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.unread_bytes();
        let result = change(self);
        self.total.adjust(before, self.unread_bytes());
        result
    }
}

impl Drop for CountedQueue {
    fn drop(&mut self) {
        self.total.adjust(self.unread_bytes(), 0);
    }
}
