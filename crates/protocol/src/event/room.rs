//! Events of `room:NAME` that carry messages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{MessageKey, MessageType, Payload};

/// A member of the room, or a backend, published a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomMessage {
    /// The sender's subject.
    pub from: Arc<str>,
    /// What the message is to the application.
    #[serde(rename = "type")]
    pub message_type: MessageType,
    /// Null if the message was redacted.
    pub payload: Payload,
    /// The sender's, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<MessageKey>,
    /// Server time, in ms.
    pub timestamp: i64,
    /// Whether a moderator removed the payload and the key. Omitted if false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
}

impl RoomMessage {
    /// What is left of the message when a moderator has redacted it.
    pub fn redact(self) -> Self {
        Self {
            payload: Payload::null(),
            key: None,
            redacted: true,
            ..self
        }
    }
}

/// A moderator redacted a message of the room: remove its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoomRedacted {
    // Not `seq`: that is the position of this event, which Socket.IO and event streams merge into the data.
    /// The seq of the redacted message.
    pub redacted_seq: u64,
    /// The moderator's subject.
    pub by: Arc<str>,
    /// Server time, in ms.
    pub timestamp: i64,
}

/// Somebody in the room sent a signal, such as "is typing". It is not stored and can be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomSignal {
    /// The sender's subject.
    pub from: Arc<str>,
    /// What the message is to the application.
    #[serde(rename = "type")]
    pub message_type: MessageType,
    /// The content, as sent.
    pub payload: Payload,
    /// Server time, in ms.
    pub timestamp: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacted_message_keeps_no_text_of_the_payload() {
        let message: RoomMessage = serde_json::from_str(
            r#"{"from":"a","type":"chat","payload":{"text":"secret"},"key":"secret","timestamp":5}"#,
        )
        .unwrap();
        assert_eq!(
            serde_json::to_string(&message.redact()).unwrap(),
            r#"{"from":"a","type":"chat","payload":null,"timestamp":5,"redacted":true}"#
        );
    }
}
