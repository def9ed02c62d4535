//! What waits to be sent to one session: a bounded queue, and beside it the newest update of each channel that
//! may be conflated.
//!
//! A frame that has begun to be written is always finished. The session gives it the socket.

use std::{cell::RefCell, collections::VecDeque, io::ErrorKind, ops::Range, sync::Arc};

use super::{
    backlog::Total,
    channel::Entry,
    encode::{ChannelName, Message, Packet, Transport, Wire},
};

/// Most bytes given to the kernel in one write.
const WRITE_BYTES: usize = 65_536;

thread_local! {
    /// Where small packets are joined to one write.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE_BYTES));
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Queued,
    /// Kept as the newest of its channel, to be sent when there is room.
    Conflated,
    /// There is no room, and it may not be left out.
    Overflow,
}

/// Bytes to be written at once.
#[derive(Debug)]
pub enum Gathered<'a> {
    Nothing,
    One(&'a [u8]),
    /// Where they stand in the buffer that was given.
    Joined(Range<usize>),
}

/// What writing got done.
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
    /// The channel's place in the hub.
    pub slot: usize,
    pub name: &'a Arc<ChannelName>,
    pub entry: &'a Entry,
    /// Whether a later one may take its place.
    pub conflates: bool,
    /// Seq of the message before this one in this session's stream, when the mode is `latest` and there are seqs.
    pub prev: Option<u64>,
}

/// The newest update of a channel whose stream ran into the bound.
#[derive(Debug)]
struct Held {
    slot: usize,
    name: Arc<ChannelName>,
    entry: Entry,
    /// The last seq that was really queued, where there are seqs.
    prev: Option<u64>,
}

/// What an event stream has beside its queue.
#[derive(Debug, Default)]
pub struct Marks {
    /// Where each channel stands: the `id:` lines.
    places: Vec<(Arc<ChannelName>, u64)>,
    /// Whether each packet is a chunk of HTTP/1.1.
    chunked: bool,
}

impl Marks {
    fn set(&mut self, name: &Arc<ChannelName>, seq: u64) {
        match self.places.iter_mut().find(|(known, _)| known == name) {
            Some((_, at)) => *at = seq,
            None => self.places.push((name.clone(), seq)),
        }
    }

    fn line(&self) -> String {
        let all: Vec<String> = self
            .places
            .iter()
            .map(|(name, seq)| format!("{}@{seq}", name.plain))
            .collect();
        format!("id: {}\n\n", all.join(","))
    }

    /// The message with the line that says where the stream stands after it.
    fn stamp(&mut self, message: &Packet, name: &Arc<ChannelName>, seq: Option<u64>) -> Packet {
        let mut whole = message.framed().to_vec();
        match seq {
            Some(seq) => {
                self.set(name, seq);
                whole.extend_from_slice(self.line().as_bytes());
            }
            None => whole.push(b'\n'),
        }
        Packet::raw(whole)
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Outbox {
    /// The packet to be sent first; `rest` follows it. Apart, because mostly it is the only one, and then the
    /// fan-out touches no memory but the session's own.
    first: Option<Packet>,
    rest: VecDeque<Packet>,
    /// Bytes of the first packet that were already sent.
    sent: usize,
    /// Bytes of all packets that were not sent.
    bytes: usize,
    /// Bytes that were taken and are on their way within an answer to the client.
    answering: usize,
    /// Most `bytes` before updates are conflated or refused.
    bound: usize,
    total: Arc<Total>,
    held: Vec<Held>,
    wire: Wire,
    /// Whether the hub already knows that there is something to write.
    pub dirty: bool,
    /// The client does not take what waits. Of a session with a socket: the kernel takes no more, and only the task that
    /// waits for the socket writes again. Of one that is pulled: nobody comes for it.
    blocked: bool,
    /// Something waited when [`Self::note_absent_puller`] was called last.
    waited: bool,
    /// A replay waits for room.
    pub awaited: bool,
    /// An update that may not be left out found no room: what came after it would hide the hole.
    overflowed: bool,
    /// The session has ended: nothing is taken any more.
    closed: bool,
    /// Packets and bytes that were sent.
    given: (u64, u64),
    marks: Option<Box<Marks>>,
}

impl Outbox {
    /// Empty; `total` counts what waits beside that of others.
    pub fn new(wire: Wire, bound: usize, total: Arc<Total>) -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
            sent: 0,
            bytes: 0,
            answering: 0,
            bound,
            total,
            held: Vec::new(),
            wire,
            dirty: false,
            blocked: false,
            waited: false,
            awaited: false,
            overflowed: false,
            closed: false,
            given: (0, 0),
            marks: (wire.transport() == Transport::Sse).then(Box::default),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.held.is_empty()
    }

    /// Bytes waiting, those of an answer on its way included.
    pub fn bytes(&self) -> usize {
        self.bytes + self.answering
    }

    /// Bytes that count towards the bound of all sessions: those that the client does not take. What was queued since the
    /// last write does not count, however much it is: the write shows whether the client keeps up.
    pub fn pressing(&self) -> usize {
        let queued = if self.blocked { self.bytes } else { 0 };
        Total::counted(queued + self.answering)
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Notes whether the client takes what waits, after an attempt to write it.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.change(|outbox| outbox.blocked = blocked);
    }

    /// Packets and bytes that were sent or taken.
    pub fn given(&self) -> (u64, u64) {
        self.given
    }

    /// How many more bytes can be queued without passing half of the bound: what replay may use, so that live
    /// updates keep the other half.
    pub fn replay_room(&self) -> usize {
        (self.bound() / 2).saturating_sub(self.bytes)
    }

    /// Most bytes before updates are conflated or refused, which is less while very much waits for all sessions.
    pub fn bound(&self) -> usize {
        self.total.bound(self.pressing(), self.bound)
    }

    fn set_bytes(&mut self, bytes: usize) {
        self.change(|outbox| outbox.bytes = bytes);
    }

    /// Changes what counts towards the bound of all sessions.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.pressing();
        change(self);
        self.total.changed(before, self.pressing());
    }

    /// Queues an answer, a ping or another packet that belongs to no channel; `false` when there is no room.
    pub fn push(&mut self, packet: Packet) -> bool {
        if self.bytes + packet.len() > self.bound() && self.first.is_some() {
            return false;
        }
        self.append(packet);
        true
    }

    /// Notes an answer that was sent whole, or of which nothing more will be sent.
    pub fn answered(&mut self) {
        self.change(|outbox| outbox.answering = 0);
    }

    /// Of a session that is pulled, to be called about once a second: what waited at the last call already and was not
    /// taken since waits for a client that does not come.
    pub fn note_absent_puller(&mut self) {
        if self.waited && !self.is_empty() {
            self.set_blocked(true);
        }
        self.waited = !self.is_empty();
    }

    /// Drops what waits unless it is worth keeping, queues the last packets and takes no more.
    pub fn close(&mut self, keep: bool, farewell: Vec<Packet>) {
        if !keep {
            self.clear();
        }
        let told = !farewell.is_empty();
        for packet in farewell {
            self.append(packet);
        }
        if told && self.is_chunked() {
            self.queue(Packet::last_chunk());
        }
        self.closed = true;
    }

    /// Makes each packet a chunk of HTTP/1.1 from now on. Only an event stream can.
    pub fn send_chunks(&mut self) {
        if let Some(marks) = &mut self.marks {
            marks.chunked = true;
        }
    }

    fn is_chunked(&self) -> bool {
        self.marks.as_ref().is_some_and(|marks| marks.chunked)
    }

    /// Whether the last packets were queued.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Queues a packet whatever the bound.
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

    /// Queues an update that was encoded for all receivers, or keeps the newest when there is no room.
    pub fn push_update(&mut self, packet: &Packet, delivery: &Delivery<'_>) -> Pushed {
        if self.closed {
            return Pushed::Queued;
        }
        if self.overflowed {
            return Pushed::Overflow;
        }
        if !self.held.is_empty() {
            let held = self.held.iter_mut().find(|held| held.slot == delivery.slot);
            if let Some(held) = held {
                held.entry = delivery.entry.clone();
                return Pushed::Conflated;
            }
        }
        if self.bytes + packet.len() <= self.bound() || self.first.is_none() {
            self.append_update(packet, delivery.name, delivery.entry.seq);
            return Pushed::Queued;
        }
        if !delivery.conflates {
            self.overflowed = true;
            return Pushed::Overflow;
        }
        self.held.push(Held {
            slot: delivery.slot,
            name: delivery.name.clone(),
            entry: delivery.entry.clone(),
            prev: delivery.prev,
        });
        Pushed::Conflated
    }

    /// Queues a message that is true now or never; `false` when it would have to wait behind what is conflated.
    pub fn push_fresh(&mut self, packet: &Packet, name: &Arc<ChannelName>) -> bool {
        let room = self.bytes + packet.len() <= self.bound() || self.first.is_none();
        if !self.held.is_empty() || !room || self.overflowed {
            return false;
        }
        self.append_update(packet, name, None);
        true
    }

    /// Sets where a channel of an event stream stands, without a message.
    pub fn place(&mut self, name: &Arc<ChannelName>, seq: u64) {
        if let Some(marks) = &mut self.marks {
            marks.set(name, seq);
        }
    }

    /// Queues a message of a channel whatever the bound; `seq` is where the stream stands after it.
    pub fn append_update(&mut self, packet: &Packet, name: &Arc<ChannelName>, seq: Option<u64>) {
        let packet = match &mut self.marks {
            Some(marks) => marks.stamp(packet, name, seq),
            None => packet.clone(),
        };
        self.append(packet);
    }

    /// Forgets a channel's conflated update: its subscription ended or begins anew.
    pub fn forget(&mut self, slot: usize, name: &ChannelName) {
        self.held.retain(|held| held.slot != slot);
        if let Some(marks) = &mut self.marks {
            marks.places.retain(|(known, _)| **known != *name);
        }
    }

    /// Moves conflated updates into the queue once there is room again.
    fn release(&mut self) {
        if self.held.is_empty() || self.bytes > self.bound() / 2 {
            return;
        }
        for held in std::mem::take(&mut self.held) {
            let message = Message {
                event: &held.entry.event,
                channel: &held.name,
                seq: held.entry.seq,
                prev: held.prev,
                snapshot: false,
                data: &held.entry.data,
            };
            let packet = message.encode(self.wire);
            self.append_update(&packet, &held.name, held.entry.seq);
        }
    }

    /// The bytes to write next: the rest of the first packet, or of several copied into `scratch`.
    pub fn next<'a>(&'a mut self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        scratch.clear();
        match self.gather(scratch) {
            Gathered::Nothing => &[],
            Gathered::One(bytes) => bytes,
            Gathered::Joined(range) => &scratch[range],
        }
    }

    /// Finds the bytes to write next; those of several packets are appended to `joined`.
    pub fn gather<'a>(&'a mut self, joined: &mut Vec<u8>) -> Gathered<'a> {
        self.release();
        let Some(first) = &self.first else {
            return Gathered::Nothing;
        };
        if self.rest.is_empty() || first.len() - self.sent >= WRITE_BYTES {
            return Gathered::One(&first.framed()[self.sent..]);
        }
        let start = joined.len();
        joined.extend_from_slice(&first.framed()[self.sent..]);
        for packet in &self.rest {
            if joined.len() - start + packet.len() > WRITE_BYTES {
                break;
            }
            joined.extend_from_slice(packet.framed());
        }
        Gathered::Joined(start..joined.len())
    }

    /// Sees to it that the bytes of the first packet are never freed.
    pub fn leak_first(&self) {
        #[allow(clippy::mem_forget, reason = "the kernel may still read the bytes")]
        std::mem::forget(self.first.clone());
    }

    /// Drops the first packet, and the next takes its place.
    fn shift(&mut self) -> Option<Packet> {
        std::mem::replace(&mut self.first, self.rest.pop_front())
    }

    /// Writes until all is sent or `write` fails; the error says why not all was. A short write is one that
    /// would block: the kernel's buffer is full, and asking again would only say so.
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

    /// Notes that the first `count` bytes of [`Self::next`] were sent; returns how many packets that finished.
    pub fn advance(&mut self, mut count: usize) -> usize {
        self.set_bytes(self.bytes - count);
        self.given.1 += count as u64;
        let mut finished = 0;
        while let Some(first) = &self.first {
            let rest = first.len() - self.sent;
            if count < rest {
                self.sent += count;
                return finished;
            }
            count -= rest;
            self.sent = 0;
            self.shift();
            finished += 1;
            self.given.0 += 1;
        }
        finished
    }

    /// Takes whole payloads up to `most` bytes, at least one if any waits, for transports that are pulled. They count as
    /// waiting until [`Self::answered`].
    pub fn take(&mut self, most: usize) -> Vec<bytes::Bytes> {
        let taken = self.take_payloads(most);
        self.waited = false;
        let answering = taken.iter().map(bytes::Bytes::len).sum::<usize>();
        self.change(|outbox| {
            outbox.answering += answering;
            // What an answer left was not asked for so far.
            outbox.blocked &= outbox.first.is_some();
        });
        taken
    }

    fn take_payloads(&mut self, most: usize) -> Vec<bytes::Bytes> {
        let (mut taken, mut total) = (Vec::new(), 0);
        loop {
            self.release();
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
            self.given.0 += 1;
            self.given.1 += length as u64;
            self.shift();
            taken.push(payload);
        }
    }

    /// Drops all that waits, but not the rest of a packet that has begun.
    fn clear(&mut self) {
        self.held.clear();
        self.rest.clear();
        self.first.take_if(|_| self.sent == 0);
        self.set_bytes(self.first.as_ref().map_or(0, Packet::len) - self.sent);
    }

    /// Gives back memory that an idle session does not need.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.rest = VecDeque::new();
            self.held = Vec::new();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.change(|outbox| (outbox.bytes, outbox.answering) = (0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(wire: Wire, bound: usize) -> Outbox {
        Outbox::new(wire, bound, Total::new(usize::MAX))
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

    fn push(outbox: &mut Outbox, name: &Arc<ChannelName>, seq: u64, latest: bool) -> Pushed {
        let entry = entry(seq);
        let prev = latest.then(|| seq - 1);
        let message = Message {
            event: &entry.event,
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
    fn a_full_outbox_keeps_the_newest_and_says_what_was_sent_before_it() {
        let (mut outbox, eth) = (outbox(Wire::Json, 200), name("price:ETH"));
        let mut seq = 1;
        while push(&mut outbox, &eth, seq, true) == Pushed::Queued {
            seq += 1;
        }
        for later in seq + 1..=50 {
            assert_eq!(push(&mut outbox, &eth, later, true), Pushed::Conflated);
        }
        let sent = drain(&mut outbox);
        assert_eq!(sent.len() as u64, seq);
        let last: serde_json::Value = serde_json::from_str(sent.last().unwrap()).unwrap();
        assert_eq!(
            (&last["seq"], &last["prev"]),
            (&50.into(), &(seq - 1).into())
        );
        assert_eq!(push(&mut outbox, &eth, 51, true), Pushed::Queued);
    }

    #[test]
    fn what_has_no_place_in_a_stream_is_conflated_without_one() {
        let (mut outbox, beat) = (outbox(Wire::Json, 10), name("heartbeat"));
        let entry = Entry {
            seq: None,
            ..entry(0)
        };
        let packet = entry.encode(Wire::Json, &beat, None, false);
        let delivery = Delivery {
            slot: 0,
            name: &beat,
            entry: &entry,
            conflates: true,
            prev: None,
        };
        assert_eq!(outbox.push_update(&packet, &delivery), Pushed::Queued);
        assert_eq!(outbox.push_update(&packet, &delivery), Pushed::Conflated);
        for text in drain(&mut outbox) {
            assert!(!text.contains("prev"), "{text}");
        }
    }

    #[test]
    fn what_may_not_be_left_out_overflows() {
        let (mut outbox, block) = (outbox(Wire::Json, 200), name("new-block"));
        let results: Vec<_> = (1..10)
            .map(|seq| push(&mut outbox, &block, seq, false))
            .collect();
        assert_eq!(results.last(), Some(&Pushed::Overflow));
        assert!(outbox.bytes() <= 200);
    }

    #[test]
    fn nothing_of_the_stream_follows_what_overflowed_although_there_is_room_again() {
        let (mut outbox, block) = (outbox(Wire::Json, 200), name("new-block"));
        let mut seq = 1;
        while push(&mut outbox, &block, seq, false) == Pushed::Queued {
            seq += 1;
        }
        // The client reads on before its session is ended.
        assert_eq!(drain(&mut outbox).len() as u64, seq - 1);
        assert_eq!(push(&mut outbox, &block, seq + 1, false), Pushed::Overflow);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_packet_that_has_begun_is_finished() {
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
    fn ends_a_chunked_stream_only_with_a_goodbye() {
        for (farewell, expected) in [
            (
                vec![Packet::raw("bye")],
                "3\r\nhi!\r\n3\r\nbye\r\n0\r\n\r\n",
            ),
            (vec![], "3\r\nhi!\r\n"),
        ] {
            let mut outbox = outbox(Wire::Sse, 1_000);
            outbox.send_chunks();
            outbox.append(Packet::raw("hi!"));
            outbox.close(true, farewell);
            let sent = drain(&mut outbox).concat();
            assert_eq!(sent, expected);
        }
    }

    #[test]
    fn finishes_a_begun_chunk_before_the_last_one() {
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
    fn an_event_stream_says_where_all_its_channels_stand() {
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
    fn a_burst_counts_only_once_a_write_was_blocked() {
        let total = Total::new(40_000);
        let (mut outbox, block) = (
            Outbox::new(Wire::Json, 500_000, total.clone()),
            name("new-block"),
        );
        let mut seq = 0;
        while outbox.bytes() < 100_000 {
            seq += 1;
            assert_eq!(push(&mut outbox, &block, seq, false), Pushed::Queued);
        }
        assert_eq!(total.bytes(), 0);
        // The kernel takes a part.
        let (sent, stopped) = outbox.write_to(|bytes| Ok(bytes.len() / 2));
        assert!(stopped.is_some());
        outbox.set_blocked(true);
        assert_eq!(total.bytes(), outbox.bytes());
        assert!(sent.bytes > 0 && total.is_over());
        assert_eq!(push(&mut outbox, &block, seq + 1, false), Pushed::Overflow);
        outbox.set_blocked(false);
        assert_eq!(total.bytes(), 0);
        outbox.set_blocked(true);
        drop(outbox);
        assert_eq!(total.bytes(), 0);
    }

    #[test]
    fn what_is_pulled_counts_until_it_was_answered() {
        let total = Total::new(1_000_000);
        let mut outbox = Outbox::new(Wire::SocketIo, 500_000, total.clone());
        for _ in 0..20 {
            assert!(outbox.push(Packet::text(&"x".repeat(1_000))));
        }
        // The puller may be on its way.
        outbox.note_absent_puller();
        assert_eq!(total.bytes(), 0);
        outbox.note_absent_puller();
        assert_eq!(total.bytes(), outbox.bytes());
        assert_eq!(outbox.take(8_000).len(), 8);
        assert_eq!(total.bytes(), outbox.bytes(), "queued and answering");
        outbox.answered();
        assert_eq!(outbox.take(usize::MAX).len(), 12);
        assert_eq!(total.bytes(), 12_000);
        outbox.answered();
        assert_eq!((total.bytes(), outbox.bytes()), (0, 0));
        // It came: the next one has its time again.
        assert!(outbox.push(Packet::text(&"x".repeat(5_000))));
        outbox.note_absent_puller();
        assert_eq!(total.bytes(), 0);
    }
}
