//! Updates: committed events that clients receive.

use std::sync::Arc;

use super::{Channel, Event, EventName};

/// An update to be stored. The store assigns its seq.
#[derive(Debug, Clone)]
pub struct NewUpdate {
    /// Where it will be published.
    pub channel: Channel,
    /// Its data.
    pub event: Event,
}

/// A committed update: position `seq` of `channel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Where it is published.
    pub channel: Channel,
    /// 1, 2, 3, … within the channel and the database's epoch.
    pub seq: u64,
    /// The name of the event, which may be one of a newer version.
    pub event: EventName,
    /// The event's data: the text of one JSON object, exactly as stored.
    pub data: Arc<str>,
}
