//! The packets queued for one session: a bounded queue, and the newest update of each channel that is conflated.
//!
//! Every verb locks the outbox for itself and takes no other lock. Two kinds of access last longer: [`Batch`], for joining a
//! channel and for replays, which must prove that the channels are locked; and [`DirectWrite`], for io_uring, which
//! does not wait for the lock. The session owns the socket.

mod backlog_total;
mod conflation;
mod contents;
mod counted_queue;
mod delivery;
mod drained;
mod event_stream;
mod packet_queue;

pub use backlog_total::BacklogTotal;
pub(super) use contents::Unsent;
pub use delivery::{Delivery, PushOutcome};
pub(super) use drained::{Taken, Written};

use std::{io, io::ErrorKind, ops::Range, sync::Arc, task::Waker};

use chaincast_protocol::encode::{ChannelName, Drain, Packet, Wire};
use parking_lot::MutexGuard;

use self::{contents::Contents, packet_queue::NextBytes};
use crate::{
    lock_order::{Held, LeafLock},
    observe::{Sent, Traffic},
};

/// See the module's description.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Outbox(LeafLock<Contents>);

/// What a missing poller means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// The client does not read what was queued for it alone.
    CountsAsUnread,
    /// One may come within the second: [`Outbox::measure`] decides.
    IsIgnored,
}

/// An outbox that stays locked for several steps.
pub struct Batch<'a>(MutexGuard<'a, Contents>);

/// An outbox that stays locked until the kernel has reported what it sent.
pub struct DirectWrite<'a> {
    contents: MutexGuard<'a, Contents>,
    bytes: WriteBytes,
}

/// The bytes of a [`DirectWrite`].
#[derive(Debug)]
pub enum WriteBytes {
    /// Bytes of a packet in the outbox, which stay valid while it is locked.
    One(*const u8, usize),
    /// A range of the buffer passed in.
    Joined(Range<usize>),
}

/// The outcome of [`Outbox::begin_write`].
pub enum BeginWrite<'a> {
    Started(DirectWrite<'a>),
    /// There is nothing to write now.
    Nothing,
    /// Another thread has locked the outbox.
    Locked,
}

impl Outbox {
    /// An empty outbox; its backlog is added to `total`.
    pub(super) fn new(wire: Wire, bound: usize, total: Arc<BacklogTotal>) -> Self {
        Self(LeafLock::new(Contents::new(wire, bound, total)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Bytes queued, including those of a response that is being sent.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.0.lock().bytes()
    }

    /// Bytes that the client does not read, as far as they count.
    pub(super) fn unread_bytes(&self) -> usize {
        self.0.lock().unread_bytes()
    }

    /// What was sent so far, and what is queued.
    pub(super) fn traffic(&self) -> Traffic {
        self.0.lock().traffic()
    }

    /// Queues a packet that belongs to no channel; `false` without room.
    pub(super) fn push(&self, packet: Packet) -> bool {
        self.0.lock().push(packet)
    }

    /// As [`Self::push`]. The second flag is true when a flusher must write the session from now on.
    pub(super) fn push_dirty(&self, packet: Packet) -> (bool, bool) {
        let mut contents = self.0.lock();
        let pushed = contents.push(packet);
        (pushed, pushed && contents.mark_dirty())
    }

    /// Queues an update from the hub. The flag is true when a flusher must write the session from now on.
    pub(super) fn push_update(
        &self,
        packet: &Packet,
        delivery: &Delivery<'_>,
    ) -> (PushOutcome, bool) {
        let mut contents = self.0.lock();
        let pushed = contents.push_update(packet, delivery);
        let became_dirty = pushed == PushOutcome::Queued && contents.mark_dirty();
        (pushed, became_dirty)
    }

    /// Queues a message that is only valid now; `false` without room.
    pub(super) fn push_ephemeral(&self, packet: &Packet, name: &Arc<ChannelName>) -> bool {
        self.0.lock().push_ephemeral(packet, name)
    }

    /// As [`Self::push_ephemeral`]. The second flag is true when a flusher must write the session from now on.
    pub(super) fn push_live(&self, packet: &Packet, name: &Arc<ChannelName>) -> (bool, bool) {
        let mut contents = self.0.lock();
        let pushed = contents.push_ephemeral(packet, name);
        (pushed, pushed && contents.mark_dirty())
    }

    /// Drops a channel's conflated update and position: its subscription ended or was replaced.
    pub(super) fn forget(&self, slot: usize, name: &ChannelName) {
        self.0.lock().forget(slot, name);
    }

    /// Sends each packet as an HTTP/1.1 chunk from now on. Only for event streams.
    pub(super) fn send_chunks(&self) {
        self.0.lock().send_chunks();
    }

    /// Queues the close packets and refuses further packets.
    pub(super) fn close(&self, unsent: Unsent, close_packets: Vec<Packet>) {
        self.0.lock().close(unsent, close_packets);
    }

    /// Whether the close packets were queued.
    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().is_closed()
    }

    /// The session has a socket from now on: a write shows whether the client reads.
    pub(super) fn attach(&self) {
        self.0.lock().set_blocked(false);
    }

    /// Writes what `write` accepts, unless the client is known not to read.
    pub(super) fn write(&self, write: impl FnMut(&[u8]) -> io::Result<usize>) -> Option<Written> {
        let mut contents = self.0.lock();
        contents.clear_dirty();
        (!contents.is_blocked()).then(|| contents.write_to(write))
    }

    /// Writes what `write` accepts, after the socket became writable.
    pub(super) fn write_ready(&self, write: impl FnMut(&[u8]) -> io::Result<usize>) -> Written {
        self.0.lock().write_to(write)
    }

    /// Locks the outbox for a write by io_uring. The bytes of several packets are appended to `joined`.
    pub(super) fn begin_write(&self, joined: &mut Vec<u8>) -> BeginWrite<'_> {
        let Some(mut contents) = self.0.try_lock() else {
            return BeginWrite::Locked;
        };
        contents.clear_dirty();
        if contents.is_blocked() {
            return BeginWrite::Nothing;
        }
        let bytes = match contents.gather(joined) {
            NextBytes::Nothing => return BeginWrite::Nothing,
            NextBytes::One(bytes) => WriteBytes::One(bytes.as_ptr(), bytes.len()),
            NextBytes::Joined(range) => WriteBytes::Joined(range),
        };
        BeginWrite::Started(DirectWrite { contents, bytes })
    }

    /// Records a write that ended while the outbox was not locked.
    pub(super) fn end_write(&self, sent: Sent, stopped: Option<ErrorKind>) -> Written {
        self.0.lock().end_write(sent, stopped)
    }

    /// The poller to be woken, if anything is queued. If none waits, what is queued counts as unread when `absence` says
    /// so. `poller` is called while the outbox is locked, so that no poller takes the packets in between.
    pub(super) fn offer_to_poller(
        &self,
        poller: impl FnOnce() -> Option<Waker>,
        absence: Absence,
    ) -> Option<Waker> {
        let mut contents = self.0.lock();
        contents.clear_dirty();
        if contents.is_empty() {
            return None;
        }
        let poller = poller();
        if poller.is_none() && absence == Absence::CountsAsUnread {
            contents.set_blocked(true);
        }
        poller
    }

    /// Takes whole payloads up to `most` bytes, at least one if any is queued. They count as backlog until
    /// [`Self::response_finished`].
    pub(super) fn take(&self, most: usize) -> Taken {
        self.0.lock().take(most)
    }

    /// A response to a poller was sent completely, or was given up.
    pub(super) fn response_finished(&self) {
        self.0.lock().response_finished();
    }

    /// Bytes queued, to be called about once a second; `None` while the outbox is being written. If no poller has come
    /// since the last call, what is queued counts as unread.
    /// `drain` is called while the outbox is locked.
    pub(super) fn measure(&self, drain: impl FnOnce() -> Drain) -> Option<usize> {
        let mut contents = self.0.try_lock()?;
        let bytes = contents.bytes();
        if drain() == Drain::Poller {
            contents.mark_unpolled();
        }
        Some(bytes)
    }

    /// Frees memory that an idle session does not need.
    pub(super) fn shrink(&self) {
        self.0.lock().shrink();
    }

    /// Whether a replay should queue more. Otherwise the next write wakes it.
    pub(super) fn admits_replay(&self) -> bool {
        self.0.lock().admits_replay()
    }

    /// Locks the outbox for several steps.
    pub(super) fn batch<'a>(&'a self, channels: Held<'a>) -> Batch<'a> {
        Batch(self.0.lock_within(channels))
    }
}

impl Batch<'_> {
    /// Queues a packet that belongs to no channel; `false` without room.
    pub fn push(&mut self, packet: Packet) -> bool {
        self.0.push(packet)
    }

    /// Queues a packet that belongs to no channel, regardless of the bound.
    pub fn append(&mut self, packet: Packet) {
        self.0.append(packet);
    }

    /// Queues a message of a channel regardless of the bound; `seq` is the stream's position after it.
    pub fn append_update(&mut self, packet: &Packet, name: &Arc<ChannelName>, seq: Option<u64>) {
        self.0.append_update(packet, name, seq);
    }

    /// Sets the position of a channel of an event stream without a message.
    pub fn set_position(&mut self, name: &Arc<ChannelName>, seq: u64) {
        self.0.set_position(name, seq);
    }

    /// Bytes that a replay may still queue.
    pub fn replay_room(&self) -> usize {
        self.0.replay_room()
    }

    /// Bytes queued.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

impl DirectWrite<'_> {
    pub fn bytes(&self) -> &WriteBytes {
        &self.bytes
    }

    /// The kernel has accepted the first `count` bytes.
    pub fn accepted(mut self, count: usize) -> Written {
        let sent = Sent {
            packets: self.contents.advance(count),
            bytes: count,
        };
        let stopped = (count < self.bytes.len()).then_some(ErrorKind::WouldBlock);
        self.contents.end_write(sent, stopped)
    }

    /// It is unknown how much the kernel will still read: the bytes are never freed.
    pub fn leak(self) {
        self.contents.leak_first();
    }
}

impl WriteBytes {
    fn len(&self) -> usize {
        match self {
            Self::One(_, length) => *length,
            Self::Joined(range) => range.len(),
        }
    }
}
