//! One message of a channel, as the hub keeps it for resuming clients and an outbox keeps it while its client is slow.

use std::sync::Arc;

use chaincast_protocol::{
    EventName, Update,
    encode::{ChannelName, Message, Packet, Wire},
};

/// See the module's description. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absent for messages that are never stored, such as the heartbeat.
    pub seq: Option<u64>,
    pub event: EventName,
    /// The text of one JSON object.
    pub data: Arc<str>,
}

impl From<Update> for Entry {
    fn from(update: Update) -> Self {
        Self {
            seq: Some(update.seq),
            event: update.event,
            data: update.data,
        }
    }
}

impl Entry {
    /// The message that is sent for it; `prev` is the seq of the message before it in the receiver's stream.
    pub fn message<'a>(&'a self, channel: &'a ChannelName, prev: Option<u64>) -> Message<'a> {
        Message {
            event: self.event.as_str(),
            channel,
            seq: self.seq,
            prev,
            snapshot: false,
            data: &self.data,
        }
    }

    /// The message as an update.
    pub fn encode(&self, wire: Wire, channel: &ChannelName, prev: Option<u64>) -> Packet {
        self.message(channel, prev).encode(wire)
    }

    /// The message as the snapshot that begins a stream.
    pub fn encode_snapshot(&self, wire: Wire, channel: &ChannelName, prev: Option<u64>) -> Packet {
        let message = Message {
            snapshot: true,
            ..self.message(channel, prev)
        };
        message.encode(wire)
    }
}
