//! One channel in the hub: its position, its newest updates, and its subscribers grouped into lanes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    outbox::{Delivery, PushOutcome},
    prefetch::prefetch,
    ring::{Ring, RingLimits},
    session::Session,
};
use chaincast_protocol::{Channel, EventName, Update, channel::SnapshotChange};
use chaincast_protocol::{
    encode::{ChannelName, Message, Packet, Wire},
    request::Interval,
};

/// Prefetch distance in subscribers: about as many as are served while the memory arrives.
const PREFETCH_DISTANCE: usize = 4;

/// Upper bound of a message's size without its names and data, in bytes.
const MESSAGE_OVERHEAD: usize = 128;

/// One message of a channel. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absent for messages that are never stored, such as the heartbeat.
    pub seq: Option<u64>,
    pub event: EventName,
    /// The text of one JSON object.
    pub data: Arc<str>,
}

impl From<Update> for Entry {
    fn from(update: Update) -> Self {
        Self {
            seq: Some(update.seq),
            event: update.event,
            data: update.data,
        }
    }
}

/// Which updates a subscription gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// Every update; a client that is too slow is closed.
    All,
    /// Every update while the client keeps up, else the newest.
    Latest,
    /// The newest, at most once per interval.
    Every(Interval),
}

impl Pace {
    pub fn interval(self) -> Interval {
        match self {
            Self::Every(interval) => interval,
            _ => Interval::NONE,
        }
    }
}

/// Identifies a subscriber within its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriberKey {
    lane: usize,
    key: usize,
}

struct Subscriber {
    session: Arc<Session>,
    /// Seq up to which this session has every update, or a snapshot that covers it.
    after: u64,
}

/// The subscribers of one channel that receive the same bytes at the same time.
struct Lane {
    wire: Wire,
    pace: Pace,
    subscribers: Slab<Subscriber>,
    /// `Every` only: seq of the last message, when the next one may be sent, and the entry pending until then.
    sent: u64,
    due: Instant,
    pending: Option<Entry>,
}

/// The snapshot for new subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// Not read from the store yet.
    Unknown,
    Nothing,
    Newest(Entry),
}

/// The outcome of one fan-out: the sessions to flush or to end.
pub struct Fanout {
    /// Sessions that became dirty, by flusher.
    pub dirty: Vec<Vec<Arc<Session>>>,
    /// One bit per flusher: packets were queued for a session that was dirty already.
    pub already_dirty: u64,
    /// Sessions whose outbox overflowed; they must end.
    pub slow: Vec<Arc<Session>>,
    pub conflated: u64,
}

/// See the module's description.
pub struct ChannelState {
    pub channel: Channel,
    pub name: Arc<ChannelName>,
    /// Seq of the newest update published to the hub, once known.
    pub position: Option<u64>,
    pub snapshot: Snapshot,
    /// Held while the store is read, so that concurrent subscribers cause one read.
    pub warming: Arc<tokio::sync::Mutex<()>>,
    /// Subscriptions, including those that are still catching up.
    pub subscription_count: usize,
    /// Updates published, and messages queued live for subscribers, since the channel is in memory.
    pub published: u64,
    pub delivered: u64,
    ring: Ring,
    lanes: Vec<Lane>,
    touched: Instant,
}

impl Snapshot {
    /// The snapshot of a channel before anything of it was read from the store.
    fn initial(channel: &Channel) -> Self {
        match channel.kind().snapshot.is_kept() {
            true => Self::Unknown,
            false => Self::Nothing,
        }
    }
}

impl ChannelState {
    pub fn new(channel: Channel, now: Instant) -> Self {
        Self {
            name: Arc::new(ChannelName::new(&channel)),
            position: (!channel.has_position()).then_some(0),
            snapshot: Snapshot::initial(&channel),
            channel,
            warming: Arc::default(),
            subscription_count: 0,
            published: 0,
            delivered: 0,
            ring: Ring::default(),
            lanes: Vec::new(),
            touched: now,
        }
    }

    /// The position, if it and the snapshot are known, so that sessions can be attached.
    pub fn warm(&self) -> Option<u64> {
        match self.snapshot {
            Snapshot::Unknown => None,
            _ => self.position,
        }
    }

    /// Sets the position and the snapshot read from the store. No session is attached yet, so the position may jump
    /// ahead of the commit stream, whose older updates are then ignored.
    pub fn warm_up(&mut self, newest: u64, snapshot: Option<Update>) {
        if self.warm().is_some() {
            return;
        }
        if self.position.is_none_or(|position| position < newest) {
            self.position = Some(newest);
            self.ring.clear();
        }
        if self.snapshot == Snapshot::Unknown {
            self.snapshot =
                snapshot.map_or(Snapshot::Nothing, |update| Snapshot::Newest(update.into()));
        }
    }

    /// A watch began at `since`. State from before belongs to an earlier watch, which ended: the store no longer has its
    /// updates, and others may be missing.
    pub fn watch_began(&mut self, since: u64) {
        if self.position.is_some_and(|position| position < since) {
            self.position = Some(since);
            self.ring.clear();
            self.snapshot = Snapshot::initial(&self.channel);
        }
    }

    /// Keeps the channel in memory for a while.
    pub fn touch(&mut self, now: Instant) {
        self.touched = now;
    }

    /// Whether the channel has no subscribers and had no activity since `before`.
    pub fn is_idle_since(&self, before: Instant) -> bool {
        self.subscription_count == 0 && self.touched < before
    }

    /// Whether the channel stays in memory without subscribers while it is updated.
    pub fn is_kept_without_subscribers(&self) -> bool {
        self.channel.kind().kept_without_subscribers
    }

    /// Approximate size of the updates in memory, in bytes.
    pub fn ring_bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Drops the oldest updates until the others take at most `bytes`.
    pub fn trim(&mut self, bytes: usize) {
        self.ring.trim(RingLimits {
            updates: usize::MAX,
            bytes,
        });
    }

    /// Whether memory holds every update after `since`.
    pub fn covers(&self, since: u64) -> bool {
        match (self.position, self.ring.oldest()) {
            (Some(position), _) if since >= position => true,
            (_, Some(oldest)) => oldest <= since + 1,
            _ => false,
        }
    }

    /// The updates after `since` that memory holds, oldest first.
    pub fn after(&self, since: u64) -> impl Iterator<Item = &Entry> {
        self.ring.after(since)
    }

    /// Whether memory holds every update after `since`, and they take at most about `room` bytes together.
    pub fn fits(&self, since: u64, room: usize) -> bool {
        let size = |entry: &Entry| self.size_of(entry.event.as_str(), &entry.data);
        self.covers(since) && self.after(since).map(size).sum::<usize>() <= room
    }

    /// Upper bound of the size of a message of this channel in any wire format, in bytes.
    pub fn size_of(&self, event: &str, data: &str) -> usize {
        data.len() + event.len() + 2 * self.name.json.len() + MESSAGE_OVERHEAD
    }

    /// Attached subscriptions by pace: all, latest, interval.
    pub fn attached(&self) -> [usize; 3] {
        let mut attached = [0; 3];
        for lane in &self.lanes {
            let pace = match lane.pace {
                Pace::All => 0,
                Pace::Latest => 1,
                Pace::Every(_) => 2,
            };
            attached[pace] += lane.subscribers.len();
        }
        attached
    }

    /// Adds a subscriber that has everything up to `after`.
    pub fn attach(
        &mut self,
        session: Arc<Session>,
        pace: Pace,
        after: u64,
        now: Instant,
    ) -> SubscriberKey {
        let wire = session.wire();
        let found = self
            .lanes
            .iter()
            .position(|lane| (lane.wire, lane.pace) == (wire, pace));
        let lane = found.unwrap_or_else(|| {
            self.lanes.push(Lane {
                wire,
                pace,
                subscribers: Slab::new(),
                sent: after,
                due: now,
                pending: None,
            });
            self.lanes.len() - 1
        });
        let key = self.lanes[lane]
            .subscribers
            .insert(Subscriber { session, after });
        SubscriberKey { lane, key }
    }

    /// All attached sessions and their paces.
    pub fn listeners(&self) -> Vec<(Arc<Session>, Pace)> {
        self.lanes
            .iter()
            .flat_map(|lane| {
                let subscribers = lane.subscribers.iter();
                subscribers.map(|(_, subscriber)| (subscriber.session.clone(), lane.pace))
            })
            .collect()
    }

    pub fn detach(&mut self, subscriber: SubscriberKey) {
        if let Some(lane) = self.lanes.get_mut(subscriber.lane) {
            lane.subscribers.try_remove(subscriber.key);
            if lane.subscribers.is_empty() {
                lane.subscribers = Slab::new();
            }
        }
    }

    /// Takes the next update and queues it for the subscribers that receive it now. Returns the due times of interval
    /// lanes that hold a pending entry from now on.
    pub fn publish(
        &mut self,
        slot: usize,
        entry: Entry,
        ring: RingLimits,
        now: Instant,
        fanout: &mut Fanout,
    ) -> Vec<(Instant, usize)> {
        // Of other kinds, updates arrive even without subscribers and alone do not keep a channel in memory.
        if self.subscription_count > 0 || self.is_kept_without_subscribers() {
            self.touched = now;
        }
        let mut wakes = Vec::new();
        if let Some(seq) = entry.seq {
            match self.position {
                Some(position) if seq <= position => return wakes,
                // Retention overtook the commit stream: the updates in memory are no longer contiguous.
                Some(position) if seq > position + 1 => self.ring.clear(),
                _ => {}
            }
            self.position = Some(seq);
            self.record(&entry, ring);
        }
        self.published += 1;
        let mut encodings = Encodings::default();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if lane.subscribers.is_empty() {
                lane.pending = None;
                continue;
            }
            let prev = match lane.pace {
                Pace::All => None,
                // Not the last seq sent: a gap in the commit stream must be visible to the client.
                Pace::Latest => entry.seq.map(|seq| seq.saturating_sub(1)),
                Pace::Every(interval) => {
                    if now < lane.due {
                        if lane.pending.replace(entry.clone()).is_none() {
                            wakes.push((lane.due, index));
                        }
                        continue;
                    }
                    // An entry still pending because the timer is late is older than this one.
                    lane.pending = None;
                    lane.due = now + Duration::from_millis(u64::from(interval.ms()));
                    Some(lane.sent)
                }
            };
            lane.send(slot, &self.name, &entry, prev, &mut encodings, fanout);
            self.delivered += lane.subscribers.len() as u64;
        }
        wakes
    }

    /// Sends the pending entry of a lane whose interval has passed.
    pub fn fire(&mut self, slot: usize, lane: usize, now: Instant, fanout: &mut Fanout) {
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        // The late timer was overtaken by a message, and the pending entry came after it: it is not due yet.
        if now < lane.due {
            return;
        }
        if let Some(entry) = lane.pending.take() {
            lane.due = now + Duration::from_millis(u64::from(lane.pace.interval().ms()));
            let prev = Some(lane.sent);
            let mut encodings = Encodings::default();
            lane.send(slot, &self.name, &entry, prev, &mut encodings, fanout);
            self.delivered += lane.subscribers.len() as u64;
        }
    }

    fn record(&mut self, entry: &Entry, ring: RingLimits) {
        match self.channel.kind().snapshot.change(&entry.event) {
            SnapshotChange::Replace => self.snapshot = Snapshot::Newest(entry.clone()),
            SnapshotChange::Clear => self.snapshot = Snapshot::Nothing,
            SnapshotChange::Keep => {}
        }
        self.ring.push(entry.clone(), ring);
    }
}

impl Lane {
    fn send(
        &mut self,
        slot: usize,
        name: &Arc<ChannelName>,
        entry: &Entry,
        prev: Option<u64>,
        encodings: &mut Encodings,
        fanout: &mut Fanout,
    ) {
        let seq = entry.seq.unwrap_or(u64::MAX);
        // Entries without a seq have no position in a stream.
        let prev = prev.filter(|_| entry.seq.is_some());
        let shared = encodings.get(self.wire, name, entry, prev);
        let mut upcoming = self.subscribers.iter().skip(PREFETCH_DISTANCE);
        for (_, subscriber) in &self.subscribers {
            if let Some((_, subscriber)) = upcoming.next() {
                prefetch(&subscriber.session);
            }
            if subscriber.after >= seq {
                continue;
            }
            let mut delivery = Delivery {
                slot,
                name,
                entry,
                conflates: self.pace != Pace::All,
                prev,
            };
            // A subscriber that joined after the lane's last message has a later predecessor.
            if prev.is_some_and(|prev| prev < subscriber.after) {
                delivery.prev = Some(subscriber.after);
                let own = encodings.get(self.wire, name, entry, delivery.prev);
                fanout.offer(&subscriber.session, &own, &delivery);
            } else {
                fanout.offer(&subscriber.session, &shared, &delivery);
            }
        }
        if let Some(seq) = entry.seq {
            self.sent = seq;
        }
    }
}

impl Fanout {
    pub fn new(flushers: usize) -> Self {
        Self {
            dirty: vec![Vec::new(); flushers],
            already_dirty: 0,
            slow: Vec::new(),
            conflated: 0,
        }
    }

    fn offer(&mut self, session: &Arc<Session>, packet: &Packet, delivery: &Delivery<'_>) {
        let (outcome, became_dirty) = session.offer(packet, delivery);
        match outcome {
            PushOutcome::Queued => self.already_dirty |= u64::from(!became_dirty) << session.shard,
            PushOutcome::Conflated => self.conflated += 1,
            PushOutcome::Overflow => self.slow.push(session.clone()),
        }
        if became_dirty {
            self.dirty[session.shard].push(session.clone());
        }
    }
}

/// The encodings of one entry created so far: few, so a list is enough.
#[derive(Default)]
struct Encodings(Vec<(Wire, Option<u64>, Packet)>);

impl Encodings {
    fn get(&mut self, wire: Wire, name: &ChannelName, entry: &Entry, prev: Option<u64>) -> Packet {
        let known = self.0.iter().find(|(w, p, _)| (*w, *p) == (wire, prev));
        if let Some((_, _, packet)) = known {
            return packet.clone();
        }
        let packet = match wire.deflate() {
            // One encoding and one compression for all receivers.
            Some(deflate) => self.get(wire.plain(), name, entry, prev).deflated(deflate),
            None => entry.encode(wire, name, prev, false),
        };
        self.0.push((wire, prev, packet.clone()));
        packet
    }
}

impl Entry {
    pub fn encode(
        &self,
        wire: Wire,
        channel: &ChannelName,
        prev: Option<u64>,
        snapshot: bool,
    ) -> Packet {
        let message = Message {
            event: self.event.as_str(),
            channel,
            seq: self.seq,
            prev,
            snapshot,
            data: &self.data,
        };
        message.encode(wire)
    }
}
