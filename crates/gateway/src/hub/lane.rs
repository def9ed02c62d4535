//! A lane: the subscribers of one channel with the same wire format and pace. They get the same bytes at the same time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chaincast_protocol::encode::{ChannelName, Wire};
use slab::Slab;

use super::{encodings::Encodings, fanout::Fanout};
use crate::{
    entry::Entry,
    session::{Delivery, Pace, Session},
};

/// Prefetch distance in subscribers: about as many as are served while the memory arrives.
const PREFETCH_DISTANCE: usize = 4;

struct Subscriber {
    session: Arc<Session>,
    /// Seq up to which this session has every update, or a snapshot that covers it.
    after: u64,
}

/// The channel of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelRef<'a> {
    /// Its index in the hub.
    pub slot: usize,
    pub name: &'a Arc<ChannelName>,
}

/// What a lane did with an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneOutcome {
    /// It was queued for this many subscribers.
    Queued(usize),
    /// It is pending until the interval ends. With a time: nothing was pending before, so a timer must be set to it.
    Pending(Option<Instant>),
}

/// See the module's description.
pub(super) struct Lane {
    wire: Wire,
    pace: Pace,
    subscribers: Slab<Subscriber>,
    /// `Every` only: seq of the last message, when the next one may be sent, and the entry pending until then.
    sent: u64,
    due: Instant,
    pending: Option<Entry>,
}

impl Lane {
    /// A lane without subscribers. Nothing up to `after` is sent to it.
    pub(super) fn new(wire: Wire, pace: Pace, after: u64, now: Instant) -> Self {
        Self {
            wire,
            pace,
            subscribers: Slab::new(),
            sent: after,
            due: now,
            pending: None,
        }
    }

    pub(super) fn is_for(&self, wire: Wire, pace: Pace) -> bool {
        (self.wire, self.pace) == (wire, pace)
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    pub(super) fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.subscribers
            .iter()
            .map(|(_, subscriber)| &subscriber.session)
    }

    /// Adds a subscriber that has everything up to `after`; returns its key.
    pub(super) fn add(&mut self, session: Arc<Session>, after: u64) -> usize {
        self.subscribers.insert(Subscriber { session, after })
    }

    pub(super) fn remove(&mut self, key: usize) {
        self.subscribers.try_remove(key);
        if self.subscribers.is_empty() {
            self.subscribers = Slab::new();
        }
    }

    /// A subscriber does not receive the update `seq`, nor an earlier one.
    pub(super) fn skip(&mut self, key: usize, seq: u64) {
        if let Some(subscriber) = self.subscribers.get_mut(key) {
            subscriber.after = subscriber.after.max(seq);
        }
    }

    /// Queues a live message for the subscribers but the session with the id `sender`; returns the number of subscribers.
    pub(super) fn publish_live(
        &self,
        name: &Arc<ChannelName>,
        entry: &Entry,
        sender: Option<&str>,
        encodings: &mut Encodings,
        fanout: &mut Fanout,
    ) -> usize {
        if self.subscribers.is_empty() {
            return 0;
        }
        let packet = encodings.get(self.wire, name, entry, None);
        for session in self.sessions() {
            if sender != Some(session.id()) {
                fanout.offer_live(session, &packet, name);
            }
        }
        self.subscribers.len()
    }

    /// Queues an update for the subscribers, unless their interval has not ended yet.
    pub(super) fn publish(
        &mut self,
        channel: ChannelRef<'_>,
        entry: &Entry,
        now: Instant,
        encodings: &mut Encodings,
        fanout: &mut Fanout,
    ) -> LaneOutcome {
        if self.subscribers.is_empty() {
            self.pending = None;
            return LaneOutcome::Queued(0);
        }
        let prev = match self.pace {
            Pace::All => None,
            // Not the last seq sent: a gap in the commit stream must be visible to the client.
            Pace::Latest => entry.seq.map(|seq| seq.saturating_sub(1)),
            Pace::Every(_) if now < self.due => {
                let replaced = self.pending.replace(entry.clone());
                return LaneOutcome::Pending(replaced.is_none().then_some(self.due));
            }
            Pace::Every(_) => {
                // An entry still pending because the timer is late is older than this one.
                self.pending = None;
                Some(self.begin_interval(now))
            }
        };
        self.send(channel, entry, prev, encodings, fanout);
        LaneOutcome::Queued(self.subscribers.len())
    }

    /// Queues the pending update if its interval has ended; returns the number of subscribers.
    pub(super) fn fire(
        &mut self,
        channel: ChannelRef<'_>,
        now: Instant,
        fanout: &mut Fanout,
    ) -> usize {
        // The late timer was overtaken by a message, and the pending entry came after it: it is not due yet.
        if now < self.due {
            return 0;
        }
        let Some(entry) = self.pending.take() else {
            return 0;
        };
        let prev = Some(self.begin_interval(now));
        self.send(channel, &entry, prev, &mut Encodings::default(), fanout);
        self.subscribers.len()
    }

    /// Begins the interval after a message; returns the seq of the message before.
    fn begin_interval(&mut self, now: Instant) -> u64 {
        self.due = now + Duration::from_millis(u64::from(self.pace.interval().ms()));
        self.sent
    }

    fn send(
        &mut self,
        channel: ChannelRef<'_>,
        entry: &Entry,
        prev: Option<u64>,
        encodings: &mut Encodings,
        fanout: &mut Fanout,
    ) {
        let ChannelRef { slot, name } = channel;
        let seq = entry.seq.unwrap_or(u64::MAX);
        // Entries without a seq have no position in a stream.
        let prev = prev.filter(|_| entry.seq.is_some());
        let shared = encodings.get(self.wire, name, entry, prev);
        let mut upcoming = self.subscribers.iter().skip(PREFETCH_DISTANCE);
        for (_, subscriber) in &self.subscribers {
            if let Some((_, subscriber)) = upcoming.next() {
                subscriber.session.prefetch();
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
