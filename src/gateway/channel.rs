//! One channel in the hub: where it stands, its newest updates, and who listens in which way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    encode::{ChannelName, Message, Packet, Wire},
    outbox::{Delivery, Pushed},
    prefetch::prefetch,
    protocol::Interval,
    ring::{Ring, RingLimits},
    session::Session,
};
use crate::model::{Channel, Update};

/// How many subscribers ahead memory is asked for: about as many as are served while it arrives.
const AHEAD: usize = 4;

/// Bytes of a message beside its names and data, at most.
const MESSAGE_OVERHEAD: usize = 128;

/// One message of a channel. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absent for what is never stored, such as the heartbeat.
    pub seq: Option<u64>,
    pub event: Arc<str>,
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
    /// Every one; a client that is too slow for that is closed.
    All,
    /// Every one while the client keeps up, else the newest.
    Latest,
    /// The newest, at most once an interval.
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

/// The place of a subscriber in its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    lane: usize,
    key: usize,
}

struct Subscriber {
    session: Arc<Session>,
    /// Seq up to which this session has, or was told, everything.
    after: u64,
}

/// The subscribers of one channel that get the same bytes at the same time.
struct Lane {
    wire: Wire,
    pace: Pace,
    subscribers: Slab<Subscriber>,
    /// `Every` only: seq of the message sent last, when the next may follow, and what waits until then.
    sent: u64,
    due: Instant,
    waiting: Option<Entry>,
}

/// What a new subscriber is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// The store has to be asked.
    Unknown,
    Nothing,
    Newest(Entry),
}

/// Sessions that a turn of the hub has something to do for.
pub struct Turn {
    /// Have something to be written, by the flusher that does it.
    pub dirty: Vec<Vec<Arc<Session>>>,
    /// Flushers, one a bit, that write more for sessions that were waiting for them already.
    pub joined: u64,
    /// Overflowed, and must end.
    pub slow: Vec<Arc<Session>>,
    pub conflated: u64,
}

/// See the module's description.
pub struct ChannelState {
    pub channel: Channel,
    pub name: Arc<ChannelName>,
    /// Seq of the newest update that was handed to the hub, once it is known.
    pub position: Option<u64>,
    pub snapshot: Snapshot,
    /// Held while the store is asked, so that it is asked once.
    pub warming: Arc<tokio::sync::Mutex<()>>,
    /// Subscriptions, those still catching up included.
    pub watchers: usize,
    /// Updates taken, and messages queued live for subscribers, since the channel is in memory.
    pub published: u64,
    pub delivered: u64,
    ring: Ring,
    lanes: Vec<Lane>,
    touched: Instant,
}

impl ChannelState {
    pub fn new(channel: Channel, now: Instant) -> Self {
        // Channels without an update of their own kind have no snapshot; the heartbeat has no position either.
        let (position, snapshot) = match channel {
            Channel::Heartbeat => (Some(0), Snapshot::Nothing),
            Channel::NewBlock(_)
            | Channel::Price(_)
            | Channel::Candle(..)
            | Channel::Tx(_)
            | Channel::Contract(..) => (None, Snapshot::Unknown),
            _ => (None, Snapshot::Nothing),
        };
        Self {
            name: Arc::new(ChannelName::new(&channel)),
            channel,
            position,
            snapshot,
            warming: Arc::default(),
            watchers: 0,
            published: 0,
            delivered: 0,
            ring: Ring::default(),
            lanes: Vec::new(),
            touched: now,
        }
    }

    /// The position, when sessions can be attached: it and the snapshot are known.
    pub fn warm(&self) -> Option<u64> {
        match self.snapshot {
            Snapshot::Unknown => None,
            _ => self.position,
        }
    }

    /// Takes what the store knows. Nobody is attached yet, so the position may jump ahead of the hub's feed,
    /// whose older updates are then ignored.
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

    /// What is known from before a watch that began at `since` is of another watch, which ended: its updates are gone
    /// from the store, and others may have been missed.
    pub fn began(&mut self, since: u64) {
        if self.position.is_some_and(|position| position < since) {
            self.position = Some(since);
            self.ring.clear();
            if let Channel::Tx(_) = self.channel {
                self.snapshot = Snapshot::Unknown;
            }
        }
    }

    /// Keeps the channel in memory for a while.
    pub fn touch(&mut self, now: Instant) {
        self.touched = now;
    }

    /// Whether nobody listens and nothing happened since `before`.
    pub fn is_idle_since(&self, before: Instant) -> bool {
        self.watchers == 0 && self.touched < before
    }

    /// Whether it is in memory although nobody listens. Candles are not: each token has six channels of them, and few
    /// are looked at.
    pub fn is_kept_unheard(&self) -> bool {
        !matches!(self.channel, Channel::Candle(..))
    }

    /// Bytes of the updates in memory, about.
    pub fn held(&self) -> usize {
        self.ring.bytes()
    }

    /// Lets go of the oldest updates until the others take at most so much.
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

    /// Whether memory holds every update after `since`, and all of them take at most about `room` bytes.
    pub fn fits(&self, since: u64, room: usize) -> bool {
        let size = |entry: &Entry| self.size_of(&entry.event, &entry.data);
        self.covers(since) && self.after(since).map(size).sum::<usize>() <= room
    }

    /// Bytes of a message of this channel, at most, whatever the wire format.
    pub fn size_of(&self, event: &str, data: &str) -> usize {
        data.len() + event.len() + 2 * self.name.json.len() + MESSAGE_OVERHEAD
    }

    /// Attached subscriptions that get all, the latest, and one an interval.
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

    /// Adds a listener that has everything up to `after`.
    pub fn attach(&mut self, session: Arc<Session>, pace: Pace, after: u64, now: Instant) -> Seat {
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
                waiting: None,
            });
            self.lanes.len() - 1
        });
        let key = self.lanes[lane]
            .subscribers
            .insert(Subscriber { session, after });
        Seat { lane, key }
    }

    /// Everyone who is attached, and how often each wants to hear.
    pub fn listeners(&self) -> Vec<(Arc<Session>, Pace)> {
        self.lanes
            .iter()
            .flat_map(|lane| {
                let subscribers = lane.subscribers.iter();
                subscribers.map(|(_, subscriber)| (subscriber.session.clone(), lane.pace))
            })
            .collect()
    }

    pub fn detach(&mut self, seat: Seat) {
        if let Some(lane) = self.lanes.get_mut(seat.lane) {
            lane.subscribers.try_remove(seat.key);
            if lane.subscribers.is_empty() {
                lane.subscribers = Slab::new();
            }
        }
    }

    /// Takes the next update and queues it for everyone who gets it now. Returns the times at which lanes with
    /// an interval have to be looked at again.
    pub fn publish(
        &mut self,
        slot: usize,
        entry: Entry,
        ring: RingLimits,
        now: Instant,
        turn: &mut Turn,
    ) -> Vec<(Instant, usize)> {
        // Candles go on whether anybody looks at them or not: these are kept for those who come back.
        if self.watchers > 0 || self.is_kept_unheard() {
            self.touched = now;
        }
        let mut wakes = Vec::new();
        if let Some(seq) = entry.seq {
            match self.position {
                Some(position) if seq <= position => return wakes,
                // Retention was faster than the feed: what is in memory no longer joins on.
                Some(position) if seq > position + 1 => self.ring.clear(),
                _ => {}
            }
            self.position = Some(seq);
            self.remember(&entry, ring);
        }
        self.published += 1;
        let mut encodings = Encodings::default();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if lane.subscribers.is_empty() {
                lane.waiting = None;
                continue;
            }
            let prev = match lane.pace {
                Pace::All => None,
                // Not the seq that was sent last: a hole that the feed could not fill must show as one.
                Pace::Latest => entry.seq.map(|seq| seq.saturating_sub(1)),
                Pace::Every(interval) => {
                    if now < lane.due {
                        if lane.waiting.replace(entry.clone()).is_none() {
                            wakes.push((lane.due, index));
                        }
                        continue;
                    }
                    // What still waited, because the clock is late, is older than this.
                    lane.waiting = None;
                    lane.due = now + Duration::from_millis(u64::from(interval.ms()));
                    Some(lane.sent)
                }
            };
            lane.send(slot, &self.name, &entry, prev, &mut encodings, turn);
            self.delivered += lane.subscribers.len() as u64;
        }
        wakes
    }

    /// Sends what waited in a lane for its interval to pass.
    pub fn fire(&mut self, slot: usize, lane: usize, now: Instant, turn: &mut Turn) {
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        // What waits came after a message that the late clock was overtaken by: its own time is still ahead.
        if now < lane.due {
            return;
        }
        if let Some(entry) = lane.waiting.take() {
            lane.due = now + Duration::from_millis(u64::from(lane.pace.interval().ms()));
            let prev = Some(lane.sent);
            let mut encodings = Encodings::default();
            lane.send(slot, &self.name, &entry, prev, &mut encodings, turn);
            self.delivered += lane.subscribers.len() as u64;
        }
    }

    fn remember(&mut self, entry: &Entry, ring: RingLimits) {
        match self.channel {
            Channel::NewBlock(_) if *entry.event == *"new-block" => {
                self.snapshot = Snapshot::Newest(entry.clone());
            }
            Channel::Price(_) | Channel::Candle(..) | Channel::Tx(_) => {
                self.snapshot = Snapshot::Newest(entry.clone());
            }
            // What it may take back is not known here: until the next event there is nothing to show.
            Channel::Contract(..) => {
                self.snapshot = match &*entry.event {
                    "contract-event" => Snapshot::Newest(entry.clone()),
                    _ => Snapshot::Nothing,
                };
            }
            _ => {}
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
        turn: &mut Turn,
    ) {
        let seq = entry.seq.unwrap_or(u64::MAX);
        // Entries without a position have no place in a stream.
        let prev = prev.filter(|_| entry.seq.is_some());
        let shared = encodings.get(self.wire, name, entry, prev);
        let mut soon = self.subscribers.iter().skip(AHEAD);
        for (_, subscriber) in &self.subscribers {
            if let Some((_, subscriber)) = soon.next() {
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
            // One that joined after the lane's last message has a later message before this one.
            if prev.is_some_and(|prev| prev < subscriber.after) {
                delivery.prev = Some(subscriber.after);
                let own = encodings.get(self.wire, name, entry, delivery.prev);
                turn.offer(&subscriber.session, &own, &delivery);
            } else {
                turn.offer(&subscriber.session, &shared, &delivery);
            }
        }
        if let Some(seq) = entry.seq {
            self.sent = seq;
        }
    }
}

impl Turn {
    pub fn new(flushers: usize) -> Self {
        Self {
            dirty: vec![Vec::new(); flushers],
            joined: 0,
            slow: Vec::new(),
            conflated: 0,
        }
    }

    fn offer(&mut self, session: &Arc<Session>, packet: &Packet, delivery: &Delivery<'_>) {
        let (pushed, woken) = session.offer(packet, delivery);
        match pushed {
            Pushed::Queued => self.joined |= u64::from(!woken) << session.shard,
            Pushed::Conflated => self.conflated += 1,
            Pushed::Overflow => self.slow.push(session.clone()),
        }
        if woken {
            self.dirty[session.shard].push(session.clone());
        }
    }
}

/// The encodings of one entry that were needed so far: few, so a list serves.
#[derive(Default)]
struct Encodings(Vec<(Wire, Option<u64>, Packet)>);

impl Encodings {
    fn get(&mut self, wire: Wire, name: &ChannelName, entry: &Entry, prev: Option<u64>) -> Packet {
        let known = self.0.iter().find(|(w, p, _)| (*w, *p) == (wire, prev));
        if let Some((_, _, packet)) = known {
            return packet.clone();
        }
        let packet = match wire.deflate() {
            // One encoding and one compression, whatever the number of receivers.
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
            event: &self.event,
            channel,
            seq: self.seq,
            prev,
            snapshot,
            data: &self.data,
        };
        message.encode(wire)
    }
}
