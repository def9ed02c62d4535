//! An update on its way to one session.

use std::sync::Arc;

use chaincast_protocol::encode::ChannelName;

use crate::entry::Entry;

/// The outcome of queuing an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushOutcome {
    Queued,
    /// Kept as the newest of its channel until there is room.
    Conflated,
    /// No room, and the update must not be skipped.
    Overflow,
}

/// See the module's description.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The channel's index in the hub.
    pub slot: usize,
    pub name: &'a Arc<ChannelName>,
    pub entry: &'a Entry,
    /// Whether a later update may replace it.
    pub conflates: bool,
    /// Seq of the message before this one in this session's stream, when the mode is `latest` and there are seqs.
    pub prev: Option<u64>,
}
