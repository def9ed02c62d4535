//! Messages that are never stored.

use std::sync::Arc;

use chaincast_protocol::{Channel, EventName};

/// A message for whoever is connected now, on every process. It may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveMessage {
    /// For the subscribers of a channel.
    Signal(Signal),
    /// The sessions of this subject end. The store has it too, so that a loss delays it only.
    Disconnect(Arc<str>),
}

/// A message of a channel without a seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Whose subscribers receive it.
    pub channel: Channel,
    /// The event that clients listen for.
    pub event: EventName,
    /// The text of one JSON object.
    pub data: Arc<str>,
    /// The session of this process that sent it, which does not receive it. Other processes do not learn it.
    pub sender: Option<Arc<str>>,
}
