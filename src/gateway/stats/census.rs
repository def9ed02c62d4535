//! The channels with the most subscribers, found without holding up the fan-out.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::Arc,
};

use super::filter::Filter;
use crate::gateway::{channel::ChannelState, encode::ChannelName, hub::Hub};

/// Channels copied before the lock on all of them is given back.
const AT_ONCE: usize = 1_024;

/// What the hub knows of one channel.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    pub name: Arc<ChannelName>,
    /// Subscriptions, those still catching up included.
    pub subscribers: usize,
    /// Of these, attached by pace: all, latest, one an interval.
    pub attached: [usize; 3],
    /// Seq of the newest update, where the channel has seqs and it is known.
    pub seq: Option<u64>,
    pub published: u64,
    pub delivered: u64,
}

impl Counted {
    fn of(state: &ChannelState) -> Self {
        Self {
            name: state.name.clone(),
            subscribers: state.watchers,
            attached: state.attached(),
            seq: state.position,
            published: state.published,
            delivered: state.delivered,
        }
    }
}

/// More subscribers first, then by name.
impl Ord for Counted {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |counted: &Self| Reverse(counted.subscribers);
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.name.plain.cmp(&other.name.plain))
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Census {
    /// Subscriptions to all channels.
    pub subscriptions: usize,
    /// Channels with a subscriber that the filter takes.
    pub matching: usize,
    /// The first of these, in order.
    pub channels: Vec<Counted>,
}

impl Hub {
    /// Counts the channels with at least one subscriber; keeps the first `limit` that `filter` takes. Channels that
    /// come and go meanwhile may be missed: the hub is locked for a part of them at a time.
    pub fn census(&self, filter: &Filter, limit: usize) -> Census {
        let mut census = Census::default();
        // The last of those kept is on top, to make room for a better one.
        let mut kept = BinaryHeap::with_capacity(limit + 1);
        let (mut from, mut copied) = (0, Vec::with_capacity(AT_ONCE));
        loop {
            let channels = self.channels().lock();
            let all = channels.slots.capacity();
            let part = from..all.min(from + AT_ONCE);
            let states = part.filter_map(|slot| channels.slots.get(slot));
            copied.extend(states.filter(|state| state.watchers > 0).map(Counted::of));
            drop(channels);
            for counted in copied.drain(..) {
                census.subscriptions += counted.subscribers;
                if filter.takes(&counted.name.plain) {
                    census.matching += 1;
                    kept.push(counted);
                    if kept.len() > limit {
                        kept.pop();
                    }
                }
            }
            from += AT_ONCE;
            if from >= all {
                census.channels = kept.into_sorted_vec();
                return census;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, subscribers: usize) -> Counted {
        Counted {
            name: Arc::new(ChannelName::new(&name.parse().unwrap())),
            subscribers,
            attached: [subscribers, 0, 0],
            seq: None,
            published: 0,
            delivered: 0,
        }
    }

    #[test]
    fn more_subscribers_come_first_then_the_name_decides() {
        let mut all = [
            counted("price:BTC", 1),
            counted("price:ETH", 9),
            counted("price:AAVE", 1),
        ];
        all.sort();
        let names: Vec<&str> = all.iter().map(|one| one.name.plain.as_str()).collect();
        assert_eq!(names, ["price:ETH", "price:AAVE", "price:BTC"]);
    }
}
