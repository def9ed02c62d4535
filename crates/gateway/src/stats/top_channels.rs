//! Finds the channels with the most subscribers without blocking the fan-out.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::Arc,
};

use super::filter::Filter;
use crate::hub::{ChannelState, Hub};
use chaincast_protocol::encode::ChannelName;

/// Channels copied per acquisition of the lock.
const BATCH: usize = 1_024;

/// Statistics of one channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChannelStats {
    pub name: Arc<ChannelName>,
    /// Subscriptions, including those still catching up.
    pub subscribers: usize,
    /// Attached subscriptions by pace: all, latest, interval.
    pub attached: [usize; 3],
    /// Seq of the newest update, if the channel has seqs and it is known.
    pub seq: Option<u64>,
    pub published: u64,
    pub delivered: u64,
}

impl ChannelStats {
    fn new(state: &ChannelState) -> Self {
        Self {
            name: state.name.clone(),
            subscribers: state.subscription_count,
            attached: state.attached(),
            seq: state.position,
            published: state.published,
            delivered: state.delivered,
        }
    }
}

/// More subscribers first, then by name.
impl Ord for ChannelStats {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |counted: &Self| Reverse(counted.subscribers);
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.name.plain.cmp(&other.name.plain))
    }
}

impl PartialOrd for ChannelStats {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The result of [`top_channels`].
#[derive(Debug, Default)]
pub(crate) struct TopChannels {
    /// Subscriptions to all channels.
    pub subscriptions: usize,
    /// Number of channels with a subscriber that match the filter.
    pub matching: usize,
    /// The first of these, in order.
    pub channels: Vec<ChannelStats>,
}

/// Counts the channels with at least one subscriber and returns the first `limit` that match `filter`. The hub is
/// locked for one batch at a time, so channels created or dropped meanwhile may be missed.
pub(crate) fn top_channels(hub: &Hub, filter: &Filter, limit: usize) -> TopChannels {
    let mut top = TopChannels::default();
    // The last in order is on top of the heap, to be replaced by a better one.
    let mut kept = BinaryHeap::with_capacity(limit + 1);
    let (mut from, mut copied) = (0, Vec::with_capacity(BATCH));
    loop {
        let channels = hub.channels();
        let all = channels.slots.capacity();
        let part = from..all.min(from + BATCH);
        let states = part.filter_map(|slot| channels.slots.get(slot));
        copied.extend(
            states
                .filter(|state| state.subscription_count > 0)
                .map(ChannelStats::new),
        );
        drop(channels);
        for counted in copied.drain(..) {
            top.subscriptions += counted.subscribers;
            if filter.matches(&counted.name.plain) {
                top.matching += 1;
                kept.push(counted);
                if kept.len() > limit {
                    kept.pop();
                }
            }
        }
        from += BATCH;
        if from >= all {
            top.channels = kept.into_sorted_vec();
            return top;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, subscribers: usize) -> ChannelStats {
        ChannelStats {
            name: Arc::new(ChannelName::new(&name.parse().unwrap())),
            subscribers,
            attached: [subscribers, 0, 0],
            seq: None,
            published: 0,
            delivered: 0,
        }
    }

    #[test]
    fn orders_by_subscribers_then_name() {
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
