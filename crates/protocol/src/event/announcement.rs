//! The event of `announcements`.

use serde::{Deserialize, Serialize};

use crate::{MessageKey, MessageType, Payload};

/// A notice to everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Announcement {
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
