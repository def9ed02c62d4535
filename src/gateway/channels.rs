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

    /// Hands an entry to a channel; returns whether a lane waits that did not wait before.
    pub fn publish(
        &mut self,
        slot: usize,
        entry: Entry,
        ring: usize,
        now: Instant,
        turn: &mut Turn,
    ) -> bool {
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

    /// Forgets the channels that nobody listens to and that had no update since `before`.
    pub fn forget_idle(&mut self, before: Instant) {
        let by_channel = &mut self.by_channel;
        self.slots.retain(|_, state| {
            let idle = state.is_idle_since(before);
            if idle {
                by_channel.remove(&state.channel);
            }
            !idle
        });
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
