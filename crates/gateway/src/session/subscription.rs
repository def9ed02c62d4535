//! A session's subscription to one channel.

use chaincast_protocol::Channel;

use super::pace::Pace;
use crate::admission::WatchPermit;

/// See the module's description.
pub struct Subscription {
    pub channel: Channel,
    /// The channel's index in the hub.
    pub slot: usize,
    pub pace: Pace,
    pub state: Attachment,
    /// The client's quota permit, when the channel is watched.
    pub permit: Option<Box<WatchPermit>>,
}

/// The state of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    Live(SubscriberKey),
    /// History is being replayed by the replay with this id; a different id means that the subscription was replaced.
    Replaying(u64),
}

/// Identifies a subscriber within its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriberKey {
    pub lane: usize,
    pub key: usize,
}

impl Subscription {
    /// The client unsubscribed: its watch, if any, need not be kept for it.
    pub fn release_watch(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.unsubscribe();
        }
    }
}
