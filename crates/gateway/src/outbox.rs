//! The packets queued for one session: a bounded queue, and the newest update of each channel that is conflated.
//!
//! A partly written frame is always finished. The session owns the socket.

use std::{cell::RefCell, collections::VecDeque, io::ErrorKind, ops::Range, sync::Arc};

use super::{backlog::BacklogTotal, channel::Entry};
use chaincast_protocol::encode::{ChannelName, Message, Packet, Transport, Wire};

/// Maximum bytes of one write.
const WRITE_BYTES: usize = 65_536;

thread_local! {
    /// Small packets are joined here into one write.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE_BYTES));
}

/// The outcome of queuing an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    Queued,
    /// Kept as the newest of its channel until there is room.
    Conflated,
    /// No room, and the update must not be skipped.
    Overflow,
}

/// The bytes of the next write.
#[derive(Debug)]
pub enum NextBytes<'a> {
    Nothing,
    One(&'a [u8]),
    /// Their range in the buffer passed in.
    Joined(Range<usize>),
}

/// Packets and bytes written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets whose last byte was sent.
    pub packets: usize,
    pub bytes: usize,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
    }
}

/// An update on its way to one session.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The channel's index in the hub.
    pub slot: usize,
    pub name: &'a Arc<ChannelName>,
    pub entry: &'a Entry,
    /// Whether a later update may replace it.
    pub conflates: bool,
    /// Seq of the message before this one in this session's stream, when the mode is `latest` and there are seqs.
    pub prev: Option<u64>,
}

/// The newest update of a channel while the outbox is full.
#[derive(Debug)]
struct ConflatedUpdate {
    slot: usize,
    name: Arc<ChannelName>,
    entry: Entry,
    /// The last seq that was queued, where there are seqs.
    prev: Option<u64>,
}

/// State of an event stream in addition to its queue.
#[derive(Debug, Default)]
pub struct SseState {
    /// The position of each channel, for the `id:` lines.
    positions: Vec<(Arc<ChannelName>, u64)>,
    /// Whether each packet is sent as an HTTP/1.1 chunk.
    chunked: bool,
}

impl SseState {
    fn set(&mut self, name: &Arc<ChannelName>, seq: u64) {
        match self.positions.iter_mut().find(|(known, _)| known == name) {
            Some((_, at)) => *at = seq,
            None => self.positions.push((name.clone(), seq)),
        }
    }

    fn id_line(&self) -> String {
        let all: Vec<String> = self
            .positions
            .iter()
            .map(|(name, seq)| format!("{}@{seq}", name.plain))
            .collect();
        format!("id: {}\n\n", all.join(","))
    }

    /// The message with the `id:` line that holds the stream's position after it.
    fn with_id_line(
        &mut self,
        message: &Packet,
        name: &Arc<ChannelName>,
        seq: Option<u64>,
    ) -> Packet {
        let mut whole = message.framed().to_vec();
        match seq {
            Some(seq) => {
                self.set(name, seq);
                whole.extend_from_slice(self.id_line().as_bytes());
            }
            None => whole.push(b'\n'),
        }
        Packet::raw(whole)
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Outbox {
    /// The packet sent first, followed by `rest`. Stored separately because it is mostly the only one; the fan-out then
    /// touches only the session's own memory.
    first: Option<Packet>,
    rest: VecDeque<Packet>,
    /// Bytes of the first packet already sent.
    sent: usize,
    /// Unsent bytes of all packets.
    bytes: usize,
    /// Bytes taken by a poller, in a response that is being sent.
    in_response: usize,
    /// Maximum `bytes` before updates are conflated or refused.
    bound: usize,
    total: Arc<BacklogTotal>,
    conflated: Vec<ConflatedUpdate>,
    wire: Wire,
    /// Whether the session is already in the flusher's list.
    pub dirty: bool,
    /// The client does not read. With a socket: the send buffer is full, and only the task that waits for the socket
    /// writes again. Polled: no poller comes.
    blocked: bool,
    /// The outbox was not empty at the last call of [`Self::mark_unpolled`].
    was_pending: bool,
    /// A replay waits for room.
    pub replay_waiting: bool,
    /// An update that must not be skipped found no room: later updates would hide the gap.
    overflowed: bool,
    /// The session has ended: nothing more is queued.
    closed: bool,
    /// Packets and bytes sent.
    sent_totals: (u64, u64),
    sse: Option<Box<SseState>>,
}

impl Outbox {
    /// An empty outbox; its backlog is added to `total`.
    pub fn new(wire: Wire, bound: usize, total: Arc<BacklogTotal>) -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
            sent: 0,
            bytes: 0,
            in_response: 0,
            bound,
            total,
            conflated: Vec::new(),
            wire,
            dirty: false,
            blocked: false,
            was_pending: false,
            replay_waiting: false,
            overflowed: false,
            closed: false,
            sent_totals: (0, 0),
            sse: (wire.transport() == Transport::Sse).then(Box::default),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.conflated.is_empty()
    }

    /// Bytes queued, including those of a response that is being sent.
    pub fn bytes(&self) -> usize {
        self.bytes + self.in_response
    }

    /// Bytes that count towards the limit of all sessions: those that the client does not read. Bytes queued since the
    /// last write do not count: the next write shows whether the client keeps up.
    pub fn unread_bytes(&self) -> usize {
        let queued = if self.blocked { self.bytes } else { 0 };
        BacklogTotal::counted(queued + self.in_response)
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Records whether the client reads, after a write attempt.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.change(|outbox| outbox.blocked = blocked);
    }

    /// Packets and bytes sent, or taken by a poller.
    pub fn sent_totals(&self) -> (u64, u64) {
        self.sent_totals
    }

    /// Bytes that a replay may still queue: up to half of the bound, so that live updates keep the other half.
    pub fn replay_room(&self) -> usize {
        (self.bound() / 2).saturating_sub(self.bytes)
    }

    /// Maximum bytes before updates are conflated or refused; lower while the backlog of all sessions is near its limit.
    pub fn bound(&self) -> usize {
        self.total.bound(self.unread_bytes(), self.bound)
    }

    fn set_bytes(&mut self, bytes: usize) {
        self.change(|outbox| outbox.bytes = bytes);
    }

    /// Applies a change and adjusts the backlog of all sessions.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.unread_bytes();
        change(self);
        self.total.adjust(before, self.unread_bytes());
    }

    /// Queues an answer, a ping or another packet that belongs to no channel; `false` without room.
    pub fn push(&mut self, packet: Packet) -> bool {
        if self.bytes + packet.len() > self.bound() && self.first.is_some() {
            return false;
        }
        self.append(packet);
        true
    }

    /// A response to a poller was sent completely, or was given up.
    pub fn response_finished(&mut self) {
        self.change(|outbox| outbox.in_response = 0);
    }

    /// For a polled session, called about once a second: if packets were queued at the last call and no poller took them
    /// since, the client counts as blocked.
    pub fn mark_unpolled(&mut self) {
        if self.was_pending && !self.is_empty() {
            self.set_blocked(true);
        }
        self.was_pending = !self.is_empty();
    }

    /// Drops the queue unless `keep`, queues the close packets and refuses further packets.
    pub fn close(&mut self, keep: bool, close_packets: Vec<Packet>) {
        if !keep {
            self.clear();
        }
        let has_close_packets = !close_packets.is_empty();
        for packet in close_packets {
            self.append(packet);
        }
        if has_close_packets && self.is_chunked() {
            self.queue(Packet::last_chunk());
        }
        self.closed = true;
    }

    /// Sends each packet as an HTTP/1.1 chunk from now on. Only for event streams.
    pub fn send_chunks(&mut self) {
        if let Some(sse) = &mut self.sse {
            sse.chunked = true;
        }
    }

    fn is_chunked(&self) -> bool {
        self.sse.as_ref().is_some_and(|sse| sse.chunked)
    }

    /// Whether the close packets were queued.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Queues a packet regardless of the bound.
    pub fn append(&mut self, packet: Packet) {
        if self.closed {
            return;
        }
        match self.is_chunked() {
            true => self.queue(packet.chunk()),
            false => self.queue(packet),
        }
    }

    fn queue(&mut self, packet: Packet) {
        self.set_bytes(self.bytes + packet.len());
        match self.first {
            None => self.first = Some(packet),
            Some(_) => self.rest.push_back(packet),
        }
    }

    /// Queues an update that was encoded for all receivers, or conflates it without room.
    pub fn push_update(&mut self, packet: &Packet, delivery: &Delivery<'_>) -> PushOutcome {
        if self.closed {
            return PushOutcome::Queued;
        }
        if self.overflowed {
            return PushOutcome::Overflow;
        }
        if !self.conflated.is_empty() {
            let known = self
                .conflated
                .iter_mut()
                .find(|known| known.slot == delivery.slot);
            if let Some(known) = known {
                known.entry = delivery.entry.clone();
                return PushOutcome::Conflated;
            }
        }
        if self.bytes + packet.len() <= self.bound() || self.first.is_none() {
            self.append_update(packet, delivery.name, delivery.entry.seq);
            return PushOutcome::Queued;
        }
        if !delivery.conflates {
            self.overflowed = true;
            return PushOutcome::Overflow;
        }
        self.conflated.push(ConflatedUpdate {
            slot: delivery.slot,
            name: delivery.name.clone(),
            entry: delivery.entry.clone(),
            prev: delivery.prev,
        });
        PushOutcome::Conflated
    }

    /// Queues a message that is only valid now; `false` without room or behind conflated updates.
    pub fn push_ephemeral(&mut self, packet: &Packet, name: &Arc<ChannelName>) -> bool {
        let room = self.bytes + packet.len() <= self.bound() || self.first.is_none();
        if !self.conflated.is_empty() || !room || self.overflowed {
            return false;
        }
        self.append_update(packet, name, None);
        true
    }

    /// Sets the position of a channel of an event stream without a message.
    pub fn set_position(&mut self, name: &Arc<ChannelName>, seq: u64) {
        if let Some(sse) = &mut self.sse {
            sse.set(name, seq);
        }
    }

    /// Queues a message of a channel regardless of the bound; `seq` is the stream's position after it.
    pub fn append_update(&mut self, packet: &Packet, name: &Arc<ChannelName>, seq: Option<u64>) {
        let packet = match &mut self.sse {
            Some(sse) => sse.with_id_line(packet, name, seq),
            None => packet.clone(),
        };
        self.append(packet);
    }

    /// Drops a channel's conflated update and position: its subscription ended or was replaced.
    pub fn forget(&mut self, slot: usize, name: &ChannelName) {
        self.conflated.retain(|update| update.slot != slot);
        if let Some(sse) = &mut self.sse {
            sse.positions.retain(|(known, _)| **known != *name);
        }
    }

    /// Queues conflated updates once there is room again.
    fn release_conflated(&mut self) {
        if self.conflated.is_empty() || self.bytes > self.bound() / 2 {
            return;
        }
        for update in std::mem::take(&mut self.conflated) {
            let message = Message {
                event: update.entry.event.as_str(),
                channel: &update.name,
                seq: update.entry.seq,
                prev: update.prev,
                snapshot: false,
                data: &update.entry.data,
            };
            let packet = message.encode(self.wire);
            self.append_update(&packet, &update.name, update.entry.seq);
        }
    }

    /// The bytes to write next: the rest of the first packet, or of several copied into `scratch`.
    pub fn next<'a>(&'a mut self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        scratch.clear();
        match self.gather(scratch) {
            NextBytes::Nothing => &[],
            NextBytes::One(bytes) => bytes,
            NextBytes::Joined(range) => &scratch[range],
        }
    }

    /// Finds the bytes to write next; those of several packets are appended to `joined`.
    pub fn gather<'a>(&'a mut self, joined: &mut Vec<u8>) -> NextBytes<'a> {
        self.release_conflated();
        let Some(first) = &self.first else {
            return NextBytes::Nothing;
        };
        if self.rest.is_empty() || first.len() - self.sent >= WRITE_BYTES {
            return NextBytes::One(&first.framed()[self.sent..]);
        }
        let start = joined.len();
        joined.extend_from_slice(&first.framed()[self.sent..]);
        for packet in &self.rest {
            if joined.len() - start + packet.len() > WRITE_BYTES {
                break;
            }
            joined.extend_from_slice(packet.framed());
        }
        NextBytes::Joined(start..joined.len())
    }

    /// Leaks the bytes of the first packet, so that they are never freed.
    pub fn leak_first(&self) {
        #[allow(clippy::mem_forget, reason = "the kernel may still read the bytes")]
        std::mem::forget(self.first.clone());
    }

    /// Removes the first packet.
    fn pop_first(&mut self) -> Option<Packet> {
        std::mem::replace(&mut self.first, self.rest.pop_front())
    }

    /// Writes until the queue is empty or `write` fails; returns the error kind. A short write counts as `WouldBlock`:
    /// the kernel's buffer is full, and another call would only confirm it.
    pub fn write_to(
        &mut self,
        mut write: impl FnMut(&[u8]) -> std::io::Result<usize>,
    ) -> (Sent, Option<ErrorKind>) {
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
        (sent, stopped)
    }

    /// Records that the first `count` bytes of [`Self::next`] were sent; returns the number of finished packets.
    pub fn advance(&mut self, mut count: usize) -> usize {
        self.set_bytes(self.bytes - count);
        self.sent_totals.1 += count as u64;
        let mut finished = 0;
        while let Some(first) = &self.first {
            let rest = first.len() - self.sent;
            if count < rest {
                self.sent += count;
                return finished;
            }
            count -= rest;
            self.sent = 0;
            self.pop_first();
            finished += 1;
            self.sent_totals.0 += 1;
        }
        finished
    }

    /// Takes whole payloads up to `most` bytes, at least one if any is queued, for a poller. They count as backlog until
    /// [`Self::response_finished`].
    pub fn take(&mut self, most: usize) -> Vec<bytes::Bytes> {
        let taken = self.take_payloads(most);
        self.was_pending = false;
        let in_response = taken.iter().map(bytes::Bytes::len).sum::<usize>();
        self.change(|outbox| {
            outbox.in_response += in_response;
            // With an empty queue the client is not blocked.
            outbox.blocked &= outbox.first.is_some();
        });
        taken
    }

    fn take_payloads(&mut self, most: usize) -> Vec<bytes::Bytes> {
        let (mut taken, mut total) = (Vec::new(), 0);
        loop {
            self.release_conflated();
            let Some(first) = &self.first else {
                return taken;
            };
            let payload = first.payload();
            if total + payload.len() > most && !taken.is_empty() {
                return taken;
            }
            total += payload.len();
            let length = first.len();
            self.set_bytes(self.bytes - length);
            self.sent_totals.0 += 1;
            self.sent_totals.1 += length as u64;
            self.pop_first();
            taken.push(payload);
        }
    }

    /// Drops everything except the rest of a partly sent packet.
    fn clear(&mut self) {
        self.conflated.clear();
        self.rest.clear();
        self.first.take_if(|_| self.sent == 0);
        self.set_bytes(self.first.as_ref().map_or(0, Packet::len) - self.sent);
    }

    /// Frees memory that an idle session does not need.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.rest = VecDeque::new();
            self.conflated = Vec::new();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.change(|outbox| (outbox.bytes, outbox.in_response) = (0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(wire: Wire, bound: usize) -> Outbox {
        Outbox::new(wire, bound, BacklogTotal::new(usize::MAX))
    }

    fn entry(seq: u64) -> Entry {
        Entry {
            seq: Some(seq),
            event: "price-update".into(),
            data: format!(r#"{{"n":{seq}}}"#).into(),
        }
    }

    fn name(name: &str) -> Arc<ChannelName> {
        Arc::new(ChannelName::new(&name.parse().unwrap()))
    }

    fn push(outbox: &mut Outbox, name: &Arc<ChannelName>, seq: u64, latest: bool) -> PushOutcome {
        let entry = entry(seq);
        let prev = latest.then(|| seq - 1);
        let message = Message {
            event: entry.event.as_str(),
            channel: name,
            seq: Some(seq),
            prev,
            snapshot: false,
            data: &entry.data,
        };
        let packet = message.encode(outbox.wire);
        outbox.push_update(
            &packet,
            &Delivery {
                slot: 0,
                name,
                entry: &entry,
                conflates: latest,
                prev,
            },
        )
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        let taken = outbox.take(usize::MAX).into_iter();
        taken
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn full_outbox_conflates_and_keeps_prev() {
        let (mut outbox, eth) = (outbox(Wire::Json, 200), name("price:ETH"));
        let mut seq = 1;
        while push(&mut outbox, &eth, seq, true) == PushOutcome::Queued {
            seq += 1;
        }
        for later in seq + 1..=50 {
            assert_eq!(push(&mut outbox, &eth, later, true), PushOutcome::Conflated);
        }
        let sent = drain(&mut outbox);
        assert_eq!(sent.len() as u64, seq);
        let last: serde_json::Value = serde_json::from_str(sent.last().unwrap()).unwrap();
        assert_eq!(
            (&last["seq"], &last["prev"]),
            (&50.into(), &(seq - 1).into())
        );
        assert_eq!(push(&mut outbox, &eth, 51, true), PushOutcome::Queued);
    }

    #[test]
    fn message_without_seq_is_conflated_without_prev() {
        let (mut outbox, heartbeat) = (outbox(Wire::Json, 10), name("heartbeat"));
        let entry = Entry {
            seq: None,
            ..entry(0)
        };
        let packet = entry.encode(Wire::Json, &heartbeat, None, false);
        let delivery = Delivery {
            slot: 0,
            name: &heartbeat,
            entry: &entry,
            conflates: true,
            prev: None,
        };
        assert_eq!(outbox.push_update(&packet, &delivery), PushOutcome::Queued);
        assert_eq!(
            outbox.push_update(&packet, &delivery),
            PushOutcome::Conflated
        );
        for text in drain(&mut outbox) {
            assert!(!text.contains("prev"), "{text}");
        }
    }

    #[test]
    fn update_that_must_not_be_skipped_overflows() {
        let (mut outbox, block) = (outbox(Wire::Json, 200), name("new-block"));
        let results: Vec<_> = (1..10)
            .map(|seq| push(&mut outbox, &block, seq, false))
            .collect();
        assert_eq!(results.last(), Some(&PushOutcome::Overflow));
        assert!(outbox.bytes() <= 200);
    }

    #[test]
    fn overflowed_outbox_stays_overflowed() {
        let (mut outbox, block) = (outbox(Wire::Json, 200), name("new-block"));
        let mut seq = 1;
        while push(&mut outbox, &block, seq, false) == PushOutcome::Queued {
            seq += 1;
        }
        // The client reads again before its session is ended.
        assert_eq!(drain(&mut outbox).len() as u64, seq - 1);
        assert_eq!(
            push(&mut outbox, &block, seq + 1, false),
            PushOutcome::Overflow
        );
        assert!(outbox.is_empty());
    }

    #[test]
    fn close_finishes_a_partly_sent_packet() {
        let mut outbox = outbox(Wire::Json, 1_000);
        for text in ["one", "two", "three"] {
            assert!(outbox.push(Packet::text(text)));
        }
        let mut scratch = Vec::new();
        assert_eq!(
            outbox.next(&mut scratch),
            b"\x81\x03one\x81\x03two\x81\x05three"
        );
        assert_eq!(outbox.advance(2), 0);
        outbox.close(false, vec![Packet::raw("bye")]);
        assert!(outbox.push(Packet::raw("too late")));
        assert_eq!(outbox.bytes(), 6);
        assert_eq!(outbox.next(&mut scratch), b"onebye");
        assert_eq!(outbox.advance(6), 2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn last_chunk_follows_close_packets_only() {
        for (close_packets, expected) in [
            (
                vec![Packet::raw("bye")],
                "3\r\nhi!\r\n3\r\nbye\r\n0\r\n\r\n",
            ),
            (vec![], "3\r\nhi!\r\n"),
        ] {
            let mut outbox = outbox(Wire::Sse, 1_000);
            outbox.send_chunks();
            outbox.append(Packet::raw("hi!"));
            outbox.close(true, close_packets);
            let sent = drain(&mut outbox).concat();
            assert_eq!(sent, expected);
        }
    }

    #[test]
    fn close_finishes_a_partly_sent_chunk() {
        let mut outbox = outbox(Wire::Sse, 1_000);
        outbox.send_chunks();
        outbox.append(Packet::raw("first"));
        outbox.append(Packet::raw("second"));
        outbox.advance(4);
        outbox.close(false, vec![Packet::raw("bye")]);
        let mut scratch = Vec::new();
        assert_eq!(outbox.next(&mut scratch), b"irst\r\n3\r\nbye\r\n0\r\n\r\n");
    }

    #[test]
    fn event_stream_ids_hold_all_positions() {
        let (mut outbox, eth, block) = (
            outbox(Wire::Sse, 10_000),
            name("price:ETH"),
            name("new-block"),
        );
        push(&mut outbox, &eth, 7, true);
        push(&mut outbox, &block, 3, false);
        let text = drain(&mut outbox).concat();
        assert!(text.contains("\nid: price:ETH@7\n\n"), "{text}");
        assert!(
            text.ends_with("\nid: price:ETH@7,new-block@3\n\n"),
            "{text}"
        );
    }

    #[test]
    fn burst_counts_only_after_a_blocked_write() {
        let total = BacklogTotal::new(40_000);
        let (mut outbox, block) = (
            Outbox::new(Wire::Json, 500_000, total.clone()),
            name("new-block"),
        );
        let mut seq = 0;
        while outbox.bytes() < 100_000 {
            seq += 1;
            assert_eq!(push(&mut outbox, &block, seq, false), PushOutcome::Queued);
        }
        assert_eq!(total.bytes(), 0);
        // The kernel accepts a part.
        let (sent, stopped) = outbox.write_to(|bytes| Ok(bytes.len() / 2));
        assert!(stopped.is_some());
        outbox.set_blocked(true);
        assert_eq!(total.bytes(), outbox.bytes());
        assert!(sent.bytes > 0 && total.is_over());
        assert_eq!(
            push(&mut outbox, &block, seq + 1, false),
            PushOutcome::Overflow
        );
        outbox.set_blocked(false);
        assert_eq!(total.bytes(), 0);
        outbox.set_blocked(true);
        drop(outbox);
        assert_eq!(total.bytes(), 0);
    }

    #[test]
    fn polled_bytes_count_until_the_response_is_finished() {
        let total = BacklogTotal::new(1_000_000);
        let mut outbox = Outbox::new(Wire::SocketIo, 500_000, total.clone());
        for _ in 0..20 {
            assert!(outbox.push(Packet::text(&"x".repeat(1_000))));
        }
        // The poller may still come.
        outbox.mark_unpolled();
        assert_eq!(total.bytes(), 0);
        outbox.mark_unpolled();
        assert_eq!(total.bytes(), outbox.bytes());
        assert_eq!(outbox.take(8_000).len(), 8);
        assert_eq!(total.bytes(), outbox.bytes(), "queued and in a response");
        outbox.response_finished();
        assert_eq!(outbox.take(usize::MAX).len(), 12);
        assert_eq!(total.bytes(), 12_000);
        outbox.response_finished();
        assert_eq!((total.bytes(), outbox.bytes()), (0, 0));
        // A poller came, so the next one gets a full interval again.
        assert!(outbox.push(Packet::text(&"x".repeat(5_000))));
        outbox.mark_unpolled();
        assert_eq!(total.bytes(), 0);
    }
}
