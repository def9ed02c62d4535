//! What an outbox holds, and the rules by which it queues, conflates and refuses. [`Outbox`](super::Outbox) locks it.

use std::{cell::RefCell, io, io::ErrorKind, sync::Arc};

use chaincast_protocol::encode::{ChannelName, Packet, Transport, Wire};

use super::{
    backlog_total::BacklogTotal,
    conflation::{ConflatedUpdate, Conflation},
    counted_queue::CountedQueue,
    delivery::{Delivery, PushOutcome},
    drained::{Taken, Written},
    event_stream::EventStream,
    packet_queue::{NextBytes, WRITE_BYTES},
};
use crate::observe::{Sent, Traffic};

thread_local! {
    /// Small packets are joined here into one write.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE_BYTES));
}

/// What becomes of the packets that are still queued when a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// They are sent before the close packets.
    Send,
    /// They are dropped, except for the rest of a partly sent packet.
    Drop,
    /// As `Drop`; and a response that is being sent no longer counts, because its transport aborts it.
    Abort,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Contents {
    queue: CountedQueue,
    conflated: Conflation,
    wire: Wire,
    /// Whether the session is already in the flusher's list.
    dirty: bool,
    /// The outbox was not empty at the last call of [`Self::mark_unpolled`].
    was_pending: bool,
    /// A replay waits for room.
    replay_waiting: bool,
    /// An update that must not be skipped found no room: later updates would hide the gap.
    overflowed: bool,
    /// The session has ended: nothing more is queued.
    closed: bool,
    /// Packets and bytes sent, or taken by a poller.
    packets_sent: u64,
    bytes_sent: u64,
    stream: Option<Box<EventStream>>,
}

impl Contents {
    /// Nothing; the backlog is added to `total`.
    pub(super) fn new(wire: Wire, bound: usize, total: Arc<BacklogTotal>) -> Self {
        Self {
            queue: CountedQueue::new(bound, total),
            conflated: Conflation::default(),
            wire,
            dirty: false,
            was_pending: false,
            replay_waiting: false,
            overflowed: false,
            closed: false,
            packets_sent: 0,
            bytes_sent: 0,
            stream: (wire.transport() == Transport::Sse).then(Box::default),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.conflated.is_empty()
    }

    /// Bytes queued, including those of a response that is being sent.
    pub(super) fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// See [`CountedQueue::unread_bytes`].
    pub(super) fn unread_bytes(&self) -> usize {
        self.queue.unread_bytes()
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            messages: self.packets_sent,
            bytes: self.bytes_sent,
            backlog_bytes: self.bytes(),
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.queue.is_blocked()
    }

    /// Records whether the client reads, after a write attempt.
    pub(super) fn set_blocked(&mut self, blocked: bool) {
        self.queue.set_blocked(blocked);
    }

    /// Marks the session as one that a flusher must write; `false` if it is marked already.
    pub(super) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    /// A write begins.
    pub(super) fn clear_dirty(&mut self) {
        self.dirty = false;
    }

    /// See [`CountedQueue::replay_room`].
    pub(super) fn replay_room(&self) -> usize {
        self.queue.replay_room()
    }

    /// Whether a replay should queue more: a quarter of the bound is free. Otherwise the next write wakes the replay.
    pub(super) fn admits_replay(&mut self) -> bool {
        let bound = self.queue.bound();
        let admits = self.replay_room() >= bound / 4 && bound > 0;
        self.replay_waiting |= !admits;
        admits
    }

    /// Queues an answer, a ping or another packet that belongs to no channel; `false` without room.
    pub(super) fn push(&mut self, packet: Packet) -> bool {
        let has_room = self.queue.has_room_for(&packet);
        if has_room {
            self.append(packet);
        }
        has_room
    }

    /// Queues an update that was encoded for all receivers, or conflates it without room.
    pub(super) fn push_update(&mut self, packet: &Packet, delivery: &Delivery<'_>) -> PushOutcome {
        if self.closed {
            return PushOutcome::Queued;
        }
        if self.overflowed {
            return PushOutcome::Overflow;
        }
        if self.conflated.replace(delivery.slot, delivery.entry) {
            return PushOutcome::Conflated;
        }
        if self.queue.has_room_for(packet) {
            self.append_update(packet, delivery.name, delivery.entry.seq);
            return PushOutcome::Queued;
        }
        if !delivery.conflates {
            self.overflowed = true;
            return PushOutcome::Overflow;
        }
        self.conflated.add(ConflatedUpdate {
            slot: delivery.slot,
            name: delivery.name.clone(),
            entry: delivery.entry.clone(),
            prev: delivery.prev,
        });
        PushOutcome::Conflated
    }

    /// Queues a message that is only valid now; `false` without room or behind conflated updates.
    pub(super) fn push_ephemeral(&mut self, packet: &Packet, name: &Arc<ChannelName>) -> bool {
        if !self.conflated.is_empty() || self.overflowed || !self.queue.has_room_for(packet) {
            return false;
        }
        self.append_update(packet, name, None);
        true
    }

    /// Queues a message of a channel regardless of the bound; `seq` is the stream's position after it.
    pub(super) fn append_update(
        &mut self,
        packet: &Packet,
        name: &Arc<ChannelName>,
        seq: Option<u64>,
    ) {
        let packet = match &mut self.stream {
            Some(stream) => stream.with_id_line(packet, name, seq),
            None => packet.clone(),
        };
        self.append(packet);
    }

    /// Queues a packet regardless of the bound.
    pub(super) fn append(&mut self, packet: Packet) {
        if self.closed {
            return;
        }
        match self.is_chunked() {
            true => self.queue.push(packet.chunk()),
            false => self.queue.push(packet),
        }
    }

    /// Sets the position of a channel of an event stream without a message.
    pub(super) fn set_position(&mut self, name: &Arc<ChannelName>, seq: u64) {
        if let Some(stream) = &mut self.stream {
            stream.set_position(name, seq);
        }
    }

    /// Drops a channel's conflated update and position: its subscription ended or was replaced.
    pub(super) fn forget(&mut self, slot: usize, name: &ChannelName) {
        self.conflated.forget(slot);
        if let Some(stream) = &mut self.stream {
            stream.forget(name);
        }
    }

    /// Sends each packet as an HTTP/1.1 chunk from now on. Only for event streams.
    pub(super) fn send_chunks(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.chunked = true;
        }
    }

    fn is_chunked(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.chunked)
    }

    /// Queues the close packets and refuses further packets.
    pub(super) fn close(&mut self, unsent: Unsent, close_packets: Vec<Packet>) {
        if unsent != Unsent::Send {
            self.conflated.take();
            self.queue.clear();
        }
        let has_close_packets = !close_packets.is_empty();
        for packet in close_packets {
            self.append(packet);
        }
        if has_close_packets && self.is_chunked() {
            self.queue.push(Packet::last_chunk());
        }
        self.closed = true;
        if unsent == Unsent::Abort {
            self.response_finished();
        }
    }

    /// Whether the close packets were queued.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Queues conflated updates once there is room again.
    fn release_conflated(&mut self) {
        if self.conflated.is_empty() || self.queue.queued_bytes() > self.queue.bound() / 2 {
            return;
        }
        for update in self.conflated.take() {
            let packet = update.entry.encode(self.wire, &update.name, update.prev);
            self.append_update(&packet, &update.name, update.entry.seq);
        }
    }

    /// Finds the bytes to write next; those of several packets are appended to `joined`.
    pub(super) fn gather<'a>(&'a mut self, joined: &mut Vec<u8>) -> NextBytes<'a> {
        self.release_conflated();
        self.queue.gather(joined)
    }

    /// The bytes to write next: the rest of the first packet, or of several copied into `scratch`.
    pub(super) fn next<'a>(&'a mut self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        scratch.clear();
        match self.gather(scratch) {
            NextBytes::Nothing => &[],
            NextBytes::One(bytes) => bytes,
            NextBytes::Joined(range) => &scratch[range],
        }
    }

    /// Records that the first `count` bytes of [`Self::gather`] were sent; returns the number of finished packets.
    pub(super) fn advance(&mut self, count: usize) -> usize {
        let finished = self.queue.advance(count);
        self.bytes_sent += count as u64;
        self.packets_sent += finished as u64;
        finished
    }

    /// Writes until the queue is empty or `write` fails. After a short write the kernel's buffer is full, and another call
    /// would only confirm it.
    pub(super) fn write_to(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Written {
        let mut sent = Sent::default();
        let stopped = SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let bytes = self.next(scratch);
                if bytes.is_empty() {
                    return None;
                }
                let wanted = bytes.len();
                match write(bytes) {
                    Ok(count) => {
                        sent.packets += self.advance(count);
                        sent.bytes += count;
                        if count < wanted {
                            return Some(ErrorKind::WouldBlock);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Some(error.kind()),
                }
            }
        });
        self.end_write(sent, stopped)
    }

    /// Records that a write ended.
    pub(super) fn end_write(&mut self, sent: Sent, stopped: Option<ErrorKind>) -> Written {
        let is_unfinished = !self.is_empty();
        // With an empty outbox no task waits for the socket, so nothing would reset the flag. The outbox is unlocked
        // before io_uring reports a full socket, so another writer may have emptied it.
        self.set_blocked(stopped.is_some() && is_unfinished);
        Written {
            sent,
            stopped,
            is_unfinished,
            wakes_replay: sent.bytes > 0 && std::mem::take(&mut self.replay_waiting),
        }
    }

    /// See [`CountedQueue::leak_first`].
    pub(super) fn leak_first(&self) {
        self.queue.leak_first();
    }

    /// Takes whole payloads up to `most` bytes, at least one if any is queued, for a poller. They count as backlog until
    /// [`Self::response_finished`].
    pub(super) fn take(&mut self, most: usize) -> Taken {
        let (mut payloads, mut payload_bytes, mut bytes) = (Vec::new(), 0, 0);
        loop {
            self.release_conflated();
            let Some(payload) = self.queue.first().map(Packet::payload) else {
                break;
            };
            if payload_bytes + payload.len() > most && !payloads.is_empty() {
                break;
            }
            payload_bytes += payload.len();
            bytes += self.queue.pop().map_or(0, |packet| packet.len());
            payloads.push(payload);
        }
        self.packets_sent += payloads.len() as u64;
        self.bytes_sent += bytes as u64;
        self.was_pending = false;
        self.queue.response_started(payload_bytes);
        Taken {
            payloads,
            bytes,
            is_closed: self.closed,
            wakes_replay: bytes > 0 && std::mem::take(&mut self.replay_waiting),
        }
    }

    /// A response to a poller was sent completely, or was given up.
    pub(super) fn response_finished(&mut self) {
        self.queue.response_finished();
    }

    /// For a polled session, called about once a second: if packets were queued at the last call and no poller took them
    /// since, the client counts as blocked.
    pub(super) fn mark_unpolled(&mut self) {
        if self.was_pending && !self.is_empty() {
            self.set_blocked(true);
        }
        self.was_pending = !self.is_empty();
    }

    /// Frees memory that an idle session does not need.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.queue.shrink();
            self.conflated = Conflation::default();
        }
    }
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
