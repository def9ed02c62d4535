//! All channels of a hub under one lock, and how the hub learns of those that it does not hold.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, hash_map},
    time::Instant,
};

use rustc_hash::FxHashMap;
use slab::Slab;

use super::{
    channel::{ChannelState, Entry, Turn},
    hub::Hub,
    past::PastError,
    ring::{RingLimits, share},
    session::{Attachment, Session},
};
use crate::model::Channel;

/// Everything that publishing and attaching need, under one lock so that they cannot interleave.
#[derive(Default)]
pub struct Channels {
    pub slots: Slab<ChannelState>,
    by_channel: FxHashMap<Channel, usize>,
    /// When which lane of which slot has something waiting.
    due: BinaryHeap<Reverse<(Instant, usize, usize)>>,
    /// Most bytes of updates a channel, while all together have as many as they may.
    share: Option<usize>,
}

impl Channels {
    /// The slot of a channel, made when there is none.
    pub fn slot(&mut self, channel: &Channel, now: Instant) -> usize {
        match self.by_channel.entry(channel.clone()) {
            hash_map::Entry::Occupied(known) => *known.get(),
            hash_map::Entry::Vacant(new) => {
                let state = ChannelState::new(channel.clone(), now);
                *new.insert(self.slots.insert(state))
            }
        }
    }

    /// Channels with subscribers whose updates are stored only while there are some.
    pub fn watched(&self) -> Vec<Channel> {
        let slots = self.slots.iter().map(|(_, state)| state);
        slots
            .filter(|state| state.watchers > 0 && state.channel.is_watched())
            .map(|state| state.channel.clone())
            .collect()
    }

    pub fn find(&self, channel: &Channel) -> Option<usize> {
        self.by_channel.get(channel).copied()
    }

    /// Hands an entry to a channel, which keeps the newest `updates`; returns whether a lane waits that did not wait
    /// before.
    pub fn publish(
        &mut self,
        slot: usize,
        entry: Entry,
        updates: usize,
        now: Instant,
        turn: &mut Turn,
    ) -> bool {
        let ring = RingLimits {
            updates,
            bytes: self.share.unwrap_or(usize::MAX),
        };
        let wakes = self.slots[slot].publish(slot, entry, ring, now, turn);
        let rearmed = !wakes.is_empty();
        for (due, lane) in wakes {
            self.due.push(Reverse((due, slot, lane)));
        }
        rearmed
    }

    /// Sends what waited for the end of an interval; returns when to look again.
    pub fn fire_due(&mut self, now: Instant, turn: &mut Turn) -> Option<Instant> {
        while let Some(Reverse((due, slot, lane))) = self.due.peek().copied() {
            if due > now {
                return Some(due);
            }
            self.due.pop();
            if let Some(state) = self.slots.get_mut(slot) {
                state.fire(slot, lane, now, turn);
            }
        }
        None
    }

    /// Forgets the channels that nobody listens to and that had no update since `before`; with `unheard`, only those
    /// that are not kept for nobody.
    pub fn forget_idle(&mut self, before: Instant, unheard: bool) {
        let by_channel = &mut self.by_channel;
        self.slots.retain(|_, state| {
            let idle = state.is_idle_since(before) && !(unheard && state.is_kept_unheard());
            if idle {
                by_channel.remove(&state.channel);
            }
            !idle
        });
    }

    /// Lets go of old updates until all channels together hold at most about `bytes`. Those that hold most give way, to
    /// one size, which they keep to until the next call.
    pub fn keep_within(&mut self, bytes: usize) {
        let held = || self.slots.iter().map(|(_, state)| state.held());
        self.share = match held().sum::<usize>() > bytes {
            true => share(held().collect(), bytes),
            false => None,
        };
        if let Some(share) = self.share {
            for (_, state) in &mut self.slots {
                state.trim(share);
            }
        }
    }

    /// Takes a session out of a channel.
    pub fn leave(&mut self, session: &Session, slot: usize, state: Attachment) {
        let Some(channel) = self.slots.get_mut(slot) else {
            return;
        };
        if let Attachment::Live(seat) = state {
            channel.detach(seat);
        }
        channel.watchers = channel.watchers.saturating_sub(1);
        // The session may come back soon.
        channel.touch(Instant::now());
        session.outbox.lock().forget(slot, &channel.name);
    }
}

impl Hub {
    /// Makes sure that the hub knows where a channel stands and what its snapshot is.
    pub(super) async fn warm(&self, channel: &Channel) -> Result<(), PastError> {
        let warming = {
            let mut channels = self.channels().lock();
            let slot = channels.slot(channel, Instant::now());
            let state = &mut channels.slots[slot];
            state.touch(Instant::now());
            if state.warm().is_some() {
                return Ok(());
            }
            state.warming.clone()
        };
        let _asking = warming.lock().await;
        if self.is_warm(channel) {
            return Ok(());
        }
        // In this order: a commit between the two is then in the snapshot. The other way round it would be
        // behind the position, so the feed's copy of it would be dropped, and yet not in the snapshot.
        let span = self.past().span(channel).await?;
        let snapshot = self.past().snapshot(channel).await?;
        let shown = snapshot.as_ref().map_or(0, |update| update.seq);
        let mut channels = self.channels().lock();
        let slot = channels.slot(channel, Instant::now());
        channels.slots[slot].warm_up(span.newest.max(shown), snapshot);
        Ok(())
    }

    fn is_warm(&self, channel: &Channel) -> bool {
        let channels = self.channels().lock();
        channels
            .find(channel)
            .is_some_and(|slot| channels.slots[slot].warm().is_some())
    }

    /// Whether memory alone can tell what came after `since`.
    pub(super) fn joins_on(&self, channel: &Channel, since: u64) -> bool {
        let channels = self.channels().lock();
        channels.find(channel).is_some_and(|slot| {
            let state = &channels.slots[slot];
            state.covers(since) && state.position.is_some_and(|at| since <= at)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const UPDATES: usize = 1_000;

    /// The slots of a price and of two candles, of which somebody listens to the last.
    fn three(channels: &mut Channels, now: Instant) -> [usize; 3] {
        let names = ["price:ETH", "candle:ETH:1m", "candle:ETH:5m"];
        let slots = names.map(|name| channels.slot(&name.parse().unwrap(), now));
        channels.slots[slots[2]].watchers = 1;
        slots
    }

    fn publish(channels: &mut Channels, slots: [usize; 3], seq: u64, now: Instant) {
        let entry = Entry {
            seq: Some(seq),
            event: "event".into(),
            data: "x".repeat(1_000).into(),
        };
        for slot in slots {
            channels.publish(slot, entry.clone(), UPDATES, now, &mut Turn::new(1));
        }
    }

    #[test]
    fn candles_that_go_on_without_a_listener_are_forgotten_and_prices_only_for_want_of_room() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut channels = Channels::default();
        let slots = three(&mut channels, at(0));
        for seq in 1..=100 {
            publish(&mut channels, slots, seq, at(seq));
        }
        let known = |channels: &Channels| slots.map(|slot| channels.slots.contains(slot));
        channels.forget_idle(at(60), true);
        assert_eq!(known(&channels), [true, false, true]);
        assert_eq!(channels.find(&"candle:ETH:1m".parse().unwrap()), None);
        channels.forget_idle(at(99), false);
        assert_eq!(known(&channels), [true, false, true]);
        channels.forget_idle(at(101), false);
        assert_eq!(known(&channels), [false, false, true]);
    }

    #[test]
    fn all_channels_together_hold_what_they_may_and_no_more_until_there_is_room() {
        const MOST: usize = 90_000;
        let now = Instant::now();
        let mut channels = Channels::default();
        let slots = three(&mut channels, now);
        let held = |channels: &Channels| -> usize {
            slots.iter().map(|slot| channels.slots[*slot].held()).sum()
        };
        for seq in 1..=100 {
            publish(&mut channels, slots, seq, now);
        }
        assert!(held(&channels) > MOST);
        channels.keep_within(MOST);
        for seq in 101..=200 {
            publish(&mut channels, slots, seq, now);
            assert!((1..=MOST).contains(&held(&channels)));
        }
        for slot in slots {
            let state = &channels.slots[slot];
            assert!(state.covers(190) && !state.covers(100), "the newest stay");
            assert_eq!(state.after(190).count(), 10);
        }
        channels.keep_within(MOST);
        publish(&mut channels, slots, 201, now);
        assert!(
            held(&channels) > MOST - 3_000,
            "there was room for one more"
        );
    }
}
