//! One channel in the hub: its position, its newest updates, and its subscribers grouped into lanes.

use std::{sync::Arc, time::Instant};

use chaincast_protocol::{
    Channel, EventName, RoomRedacted, Update, channel::SnapshotChange, encode::ChannelName,
};

use super::{
    encodings::Encodings,
    fanout::Fanout,
    lane::{ChannelRef, Lane, LaneOutcome},
    ring::{Ring, RingLimits},
    withheld::WithheldUpdate,
};
use crate::{
    entry::Entry,
    lock_order::Held,
    session::{Attachment, Pace, Session, SubscriberKey},
};

/// Upper bound of a message's size without its names and data, in bytes.
const MESSAGE_OVERHEAD: usize = 128;

/// The snapshot for new subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Snapshot {
    /// Not read from the store yet.
    Unknown,
    Nothing,
    Newest(Entry),
}

/// See the module's description.
pub(crate) struct ChannelState {
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
    /// Updates to come, and to be replayed, that sessions get an answer for instead.
    withheld: Vec<WithheldUpdate>,
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
    pub(crate) fn new(channel: Channel, now: Instant) -> Self {
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
            withheld: Vec::new(),
            touched: now,
        }
    }

    /// The position, if it and the snapshot are known, so that sessions can be attached.
    pub(crate) fn warm(&self) -> Option<u64> {
        match self.snapshot {
            Snapshot::Unknown => None,
            _ => self.position,
        }
    }

    /// Sets the position and the snapshot read from the store. No session is attached yet, so the position may jump
    /// ahead of the commit stream, whose older updates are then ignored.
    pub(crate) fn warm_up(&mut self, newest: u64, snapshot: Option<Update>) {
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
    pub(crate) fn watch_began(&mut self, since: u64) {
        if self.position.is_some_and(|position| position < since) {
            self.position = Some(since);
            self.ring.clear();
            self.snapshot = Snapshot::initial(&self.channel);
        }
    }

    /// Keeps the channel in memory for a while.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.touched = now;
    }

    /// Whether the channel has no subscribers and had no activity since `before`.
    pub(crate) fn is_idle_since(&self, before: Instant) -> bool {
        self.subscription_count == 0 && self.touched < before
    }

    /// Whether the channel stays in memory without subscribers while it is updated.
    pub(crate) fn is_kept_without_subscribers(&self) -> bool {
        self.channel.kind().kept_without_subscribers
    }

    /// Approximate size of the updates in memory, in bytes.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Drops the oldest updates until the others take at most `bytes`.
    pub(crate) fn trim(&mut self, bytes: usize) {
        self.ring.trim(RingLimits {
            updates: usize::MAX,
            bytes,
        });
    }

    /// Whether memory holds every update after `since`.
    pub(crate) fn covers(&self, since: u64) -> bool {
        match (self.position, self.ring.oldest()) {
            (Some(position), _) if since >= position => true,
            (_, Some(oldest)) => oldest <= since + 1,
            _ => false,
        }
    }

    /// The updates after `since` that memory holds, oldest first.
    pub(crate) fn after(&self, since: u64) -> impl Iterator<Item = &Entry> {
        self.ring.after(since)
    }

    /// Whether memory holds every update after `since`, and they take at most about `room` bytes together.
    pub(crate) fn fits(&self, since: u64, room: usize) -> bool {
        let size = |entry: &Entry| self.size_of(entry.event.as_str(), &entry.data);
        self.covers(since) && self.after(since).map(size).sum::<usize>() <= room
    }

    /// Upper bound of the size of a message of this channel in any wire format, in bytes.
    pub(crate) fn size_of(&self, event: &str, data: &str) -> usize {
        data.len() + event.len() + 2 * self.name.json.len() + MESSAGE_OVERHEAD
    }

    /// Attached subscriptions by pace: all, latest, interval.
    pub(crate) fn attached(&self) -> [usize; 3] {
        let mut attached = [0; 3];
        for lane in &self.lanes {
            let pace = match lane.pace() {
                Pace::All => 0,
                Pace::Latest => 1,
                Pace::Every(_) => 2,
            };
            attached[pace] += lane.len();
        }
        attached
    }

    /// Adds a subscriber that has everything up to `after`.
    pub(crate) fn attach(
        &mut self,
        session: Arc<Session>,
        pace: Pace,
        after: u64,
        now: Instant,
    ) -> SubscriberKey {
        let wire = session.wire();
        let found = self.lanes.iter().position(|lane| lane.is_for(wire, pace));
        let lane = found.unwrap_or_else(|| {
            self.lanes.push(Lane::new(wire, pace, after, now));
            self.lanes.len() - 1
        });
        let key = self.lanes[lane].add(session, after);
        SubscriberKey { lane, key }
    }

    /// All attached sessions and their paces.
    pub(crate) fn listeners(&self) -> Vec<(Arc<Session>, Pace)> {
        self.lanes
            .iter()
            .flat_map(|lane| {
                lane.sessions()
                    .map(|session| (session.clone(), lane.pace()))
            })
            .collect()
    }

    pub(crate) fn detach(&mut self, subscriber: SubscriberKey) {
        if let Some(lane) = self.lanes.get_mut(subscriber.lane) {
            lane.remove(subscriber.key);
        }
    }

    /// Withholds an update that is not committed yet.
    pub(crate) fn withhold(&mut self, update: WithheldUpdate) {
        self.withheld.push(update);
    }

    pub(crate) fn has_withheld(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// An update is no longer withheld from a session.
    pub(crate) fn release_withheld(&mut self, session: &Session, seq: u64) {
        self.withheld
            .retain(|update| !(update.is_of(session) && update.seq == seq));
    }

    /// Removes the withheld updates of a session.
    pub(crate) fn take_withheld(&mut self, session: &Session) -> Vec<WithheldUpdate> {
        self.withheld
            .extract_if(.., |update| update.is_of(session))
            .collect()
    }

    /// Answers the sessions from which updates up to `seq` are withheld, now that `seq` is about to be published. Sessions
    /// whose history is being replayed are answered there.
    pub(crate) fn answer_withheld(
        &mut self,
        slot: usize,
        seq: u64,
        held: Held<'_>,
        fanout: &mut Fanout,
    ) {
        let due = self.withheld.extract_if(.., |update| update.seq <= seq);
        let mut kept = Vec::new();
        for update in due.collect::<Vec<_>>() {
            let attachment = {
                let subscriptions = update.session.subscriptions(held);
                let mut own = subscriptions.iter().filter(|one| one.slot == slot);
                own.next().map(|one| one.state)
            };
            match attachment {
                Some(Attachment::Replaying(_)) => {
                    kept.push(update);
                    continue;
                }
                Some(Attachment::Live(SubscriberKey { lane, key })) => {
                    if let Some(lane) = self.lanes.get_mut(lane) {
                        lane.skip(key, update.seq);
                    }
                }
                None => {}
            }
            fanout.queue(&update.session, update.packets(&self.name));
        }
        self.withheld.append(&mut kept);
    }

    /// Queues a live message for all attached sessions but the one with the id `sender`.
    pub(crate) fn publish_live(
        &mut self,
        entry: &Entry,
        sender: Option<&str>,
        fanout: &mut Fanout,
    ) {
        let mut encodings = Encodings::default();
        for lane in &self.lanes {
            let queued = lane.publish_live(&self.name, entry, sender, &mut encodings, fanout);
            self.delivered += queued as u64;
        }
    }

    /// Takes the next update and queues it for the subscribers that receive it now. Returns the due times of interval
    /// lanes that hold a pending entry from now on.
    pub(crate) fn publish(
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
        let name = &self.name;
        let channel = ChannelRef { slot, name };
        let mut encodings = Encodings::default();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            match lane.publish(channel, &entry, now, &mut encodings, fanout) {
                LaneOutcome::Queued(subscribers) => self.delivered += subscribers as u64,
                LaneOutcome::Pending(due) => wakes.extend(due.map(|due| (due, index))),
            }
        }
        wakes
    }

    /// Sends the pending entry of a lane whose interval has passed.
    pub(crate) fn fire(&mut self, slot: usize, lane: usize, now: Instant, fanout: &mut Fanout) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            let name = &self.name;
            let subscribers = lane.fire(ChannelRef { slot, name }, now, fanout);
            self.delivered += subscribers as u64;
        }
    }

    fn record(&mut self, entry: &Entry, ring: RingLimits) {
        if entry.event == EventName::RoomRedacted {
            self.forget_redacted(&entry.data);
        }
        match self.channel.kind().snapshot.change(&entry.event) {
            SnapshotChange::Replace => self.snapshot = Snapshot::Newest(entry.clone()),
            SnapshotChange::Clear => self.snapshot = Snapshot::Nothing,
            SnapshotChange::Keep => {}
        }
        self.ring.push(entry.clone(), ring);
    }

    /// Drops the updates up to a redacted one: the store has what is left of it, and continues before the ring.
    fn forget_redacted(&mut self, data: &str) {
        match serde_json::from_str::<RoomRedacted>(data) {
            Ok(redacted) => self.ring.forget_through(redacted.redacted_seq),
            Err(_) => self.ring.clear(),
        }
    }
}
