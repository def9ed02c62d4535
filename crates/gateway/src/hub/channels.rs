//! All channels of a hub, under one lock.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, hash_map},
    time::Instant,
};

use chaincast_protocol::Channel;
use rustc_hash::FxHashMap;
use slab::Slab;

use super::{
    channel::ChannelState,
    fanout::Fanout,
    ring::{RingLimits, fair_share},
    withheld::WithheldUpdate,
};
use crate::{
    entry::Entry,
    lock_order::Held,
    session::{Attachment, Session},
};

/// Which idle channels are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Those of every kind.
    All,
    /// Those of kinds that are not kept without subscribers.
    NotKept,
}

/// State that publishing and attaching need, under one lock so that they cannot interleave.
#[derive(Default)]
pub(crate) struct Channels {
    pub slots: Slab<ChannelState>,
    by_channel: FxHashMap<Channel, usize>,
    /// Due times of interval lanes with a pending entry: time, slot, lane.
    due: BinaryHeap<Reverse<(Instant, usize, usize)>>,
    /// Maximum bytes of updates per channel while all channels together are at their limit.
    share: Option<usize>,
}

impl Channels {
    /// The slot of a channel, created if missing.
    pub(crate) fn slot(&mut self, channel: &Channel, now: Instant) -> usize {
        match self.by_channel.entry(channel.clone()) {
            hash_map::Entry::Occupied(known) => *known.get(),
            hash_map::Entry::Vacant(new) => {
                let state = ChannelState::new(channel.clone(), now);
                *new.insert(self.slots.insert(state))
            }
        }
    }

    /// Channels with subscribers whose updates are stored only while they are watched.
    pub(crate) fn watched(&self) -> Vec<Channel> {
        let slots = self.slots.iter().map(|(_, state)| state);
        slots
            .filter(|state| state.subscription_count > 0 && state.channel.is_watched())
            .map(|state| state.channel.clone())
            .collect()
    }

    pub(crate) fn find(&self, channel: &Channel) -> Option<usize> {
        self.by_channel.get(channel).copied()
    }

    /// Publishes an entry to a channel, which keeps the newest `updates`; returns whether a lane got a pending entry.
    pub(crate) fn publish(
        &mut self,
        slot: usize,
        entry: Entry,
        updates: usize,
        now: Instant,
        fanout: &mut Fanout,
    ) -> bool {
        let ring = RingLimits {
            updates,
            bytes: self.share.unwrap_or(usize::MAX),
        };
        let wakes = self.slots[slot].publish(slot, entry, ring, now, fanout);
        let rearmed = !wakes.is_empty();
        for (due, lane) in wakes {
            self.due.push(Reverse((due, slot, lane)));
        }
        rearmed
    }

    /// Withholds an update that is not committed yet from a session; `false` if the session does not receive it anyway.
    pub(crate) fn withhold(
        &mut self,
        channel: &Channel,
        update: WithheldUpdate,
        held: Held<'_>,
    ) -> bool {
        let Some(slot) = self.find(channel) else {
            return false;
        };
        let state = &mut self.slots[slot];
        let is_awaited = {
            let subscriptions = update.session.subscriptions(held);
            let own = subscriptions.iter().find(|one| one.slot == slot);
            match own.map(|one| one.state) {
                // With a key that was used before, it may be an update that was published long ago.
                Some(Attachment::Live(_)) => state.position.is_none_or(|at| at < update.seq),
                Some(Attachment::Replaying(_)) => true,
                None => false,
            }
        };
        if is_awaited {
            state.withhold(update);
        }
        is_awaited
    }

    /// Sends the pending entries whose interval has passed; returns the next due time.
    pub(crate) fn fire_due(&mut self, now: Instant, fanout: &mut Fanout) -> Option<Instant> {
        while let Some(Reverse((due, slot, lane))) = self.due.peek().copied() {
            if due > now {
                return Some(due);
            }
            self.due.pop();
            if let Some(state) = self.slots.get_mut(slot) {
                state.fire(slot, lane, now, fanout);
            }
        }
        None
    }

    /// Drops the selected channels without subscribers and without an update since `before`.
    pub(crate) fn forget_idle(&mut self, before: Instant, which: Idle) {
        let by_channel = &mut self.by_channel;
        self.slots.retain(|_, state| {
            let is_selected = which == Idle::All || !state.is_kept_without_subscribers();
            let is_dropped = is_selected && state.is_idle_since(before);
            if is_dropped {
                by_channel.remove(&state.channel);
            }
            !is_dropped
        });
    }

    /// Drops old updates until all channels together hold at most about `bytes`. The largest channels are cut to one
    /// size, which stays their limit until the next call.
    pub(crate) fn keep_within(&mut self, bytes: usize) {
        let held = || self.slots.iter().map(|(_, state)| state.ring_bytes());
        self.share = match held().sum::<usize>() > bytes {
            true => fair_share(held().collect(), bytes),
            false => None,
        };
        if let Some(share) = self.share {
            for (_, state) in &mut self.slots {
                state.trim(share);
            }
        }
    }

    /// Removes a session from a channel.
    pub(crate) fn leave(&mut self, session: &Session, slot: usize, state: Attachment) {
        let Some(channel) = self.slots.get_mut(slot) else {
            return;
        };
        if let Attachment::Live(subscriber) = state {
            channel.detach(subscriber);
        }
        channel.subscription_count = channel.subscription_count.saturating_sub(1);
        if channel.has_withheld() {
            for update in channel.take_withheld(session) {
                for packet in update.packets(&channel.name) {
                    session.offer_packet(packet);
                }
            }
        }
        // The client may resubscribe soon.
        channel.touch(Instant::now());
        session.forget_channel(slot, &channel.name);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const UPDATES: usize = 1_000;

    /// The slots of a price and of two candles; only the last has a subscriber.
    fn create_slots(channels: &mut Channels, now: Instant) -> [usize; 3] {
        let names = ["price:ETH", "candle:ETH:1m", "candle:ETH:5m"];
        let slots = names.map(|name| channels.slot(&name.parse().unwrap(), now));
        channels.slots[slots[2]].subscription_count = 1;
        slots
    }

    fn publish(channels: &mut Channels, slots: [usize; 3], seq: u64, now: Instant) {
        let entry = Entry {
            seq: Some(seq),
            event: "event".into(),
            data: "x".repeat(1_000).into(),
        };
        for slot in slots {
            channels.publish(slot, entry.clone(), UPDATES, now, &mut Fanout::new(1));
        }
    }

    #[test]
    fn forget_idle_drops_candles_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut channels = Channels::default();
        let slots = create_slots(&mut channels, at(0));
        for seq in 1..=100 {
            publish(&mut channels, slots, seq, at(seq));
        }
        let known = |channels: &Channels| slots.map(|slot| channels.slots.contains(slot));
        channels.forget_idle(at(60), Idle::NotKept);
        assert_eq!(known(&channels), [true, false, true]);
        assert_eq!(channels.find(&"candle:ETH:1m".parse().unwrap()), None);
        channels.forget_idle(at(99), Idle::All);
        assert_eq!(known(&channels), [true, false, true]);
        channels.forget_idle(at(101), Idle::All);
        assert_eq!(known(&channels), [false, false, true]);
    }

    #[test]
    fn keep_within_bounds_all_channels_together() {
        const LIMIT: usize = 90_000;
        let now = Instant::now();
        let mut channels = Channels::default();
        let slots = create_slots(&mut channels, now);
        let held = |channels: &Channels| -> usize {
            slots
                .iter()
                .map(|slot| channels.slots[*slot].ring_bytes())
                .sum()
        };
        for seq in 1..=100 {
            publish(&mut channels, slots, seq, now);
        }
        assert!(held(&channels) > LIMIT);
        channels.keep_within(LIMIT);
        for seq in 101..=200 {
            publish(&mut channels, slots, seq, now);
            assert!((1..=LIMIT).contains(&held(&channels)));
        }
        for slot in slots {
            let state = &channels.slots[slot];
            assert!(
                state.covers(190) && !state.covers(100),
                "the newest are kept"
            );
            assert_eq!(state.after(190).count(), 10);
        }
        channels.keep_within(LIMIT);
        publish(&mut channels, slots, 201, now);
        assert!(
            held(&channels) > LIMIT - 3_000,
            "there was room for one more"
        );
    }
}
