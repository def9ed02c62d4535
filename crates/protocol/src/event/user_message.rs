//! The event of a message to one user, on `user:SUBJECT`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{MessageKey, MessageType, Payload};

/// A message to this user. A snapshot is one that was unacknowledged when the client subscribed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserMessage {
    /// Id of this delivery: clients acknowledge it, and use it to detect repetitions.
    pub id: i64,
    /// The sender's subject.
    pub from: Arc<str>,
    /// What the message is to the application.
    #[serde(rename = "type")]
    pub message_type: MessageType,
    /// The content, as sent.
    pub payload: Payload,
    /// The sender's, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<MessageKey>,
    /// Server time, in ms.
    pub timestamp: i64,
}
