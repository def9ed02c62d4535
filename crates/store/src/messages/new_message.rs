//! A message to be stored.

use std::sync::Arc;

use chaincast_protocol::{
    Announcement, Channel, Event, EventName, MessageKey, MessageType, Payload, RoomMessage,
    UserMessage,
};

/// A message of a subject to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Where it goes.
    pub channel: Channel,
    /// The sender's subject.
    pub from: Arc<str>,
    /// What the message is to the application.
    pub message_type: MessageType,
    /// The content.
    pub payload: Payload,
    /// Identifies the message among those of its sender to the channel.
    pub key: Option<MessageKey>,
}

impl NewMessage {
    /// The subject to whom it is delivered until a device acknowledges it; `None` for other channels than `user:SUBJECT`.
    pub(super) fn recipient(&self) -> Option<&str> {
        match self.published_as() {
            Some(EventName::UserMessage) => self.channel.subject(),
            _ => None,
        }
    }

    fn published_as(&self) -> Option<&'static EventName> {
        self.channel.kind().published_as.as_ref()
    }

    /// What subscribers get; `None` if clients cannot publish to the channel. `id` is that of the delivery, if it has one.
    pub(super) fn event(&self, id: i64, timestamp: i64) -> Option<Event> {
        let (from, message_type) = (self.from.clone(), self.message_type.clone());
        let (payload, key) = (self.payload.clone(), self.key.clone());
        Some(match self.published_as()? {
            EventName::RoomMessage => Event::RoomMessage(RoomMessage {
                from,
                message_type,
                payload,
                key,
                timestamp,
                redacted: false,
            }),
            EventName::UserMessage => Event::UserMessage(UserMessage {
                id,
                from,
                message_type,
                payload,
                key,
                timestamp,
            }),
            EventName::Announcement => Event::Announcement(Announcement {
                message_type,
                payload,
                key,
                timestamp,
            }),
            _ => return None,
        })
    }
}
