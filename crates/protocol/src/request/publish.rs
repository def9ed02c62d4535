//! Requests that send something to a channel.

use serde::{Deserialize, Serialize};

use crate::{MessageKey, MessageType, Payload};

/// Publishes a message: it is stored, then delivered to every subscriber of the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// As sent by the client.
    pub channel: String,
    /// What the message is to the application.
    pub message_type: MessageType,
    /// The content.
    pub payload: Payload,
    /// By which the message is stored once.
    pub key: Option<MessageKey>,
    /// Whether the session that sends it gets it too.
    pub echo: bool,
}

/// Sends something that is not stored to everybody in a room but the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// As sent by the client.
    pub channel: String,
    /// What the message is to the application.
    pub message_type: MessageType,
    /// The content.
    pub payload: Payload,
}

/// Publishes a message to a room, to `user:SUB` or to `announcements`. It is stored, then delivered to every subscriber.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Publish"))]
pub(crate) struct PublishData {
    /// In any case.
    channel: String,
    /// What the message is to the application.
    #[serde(rename = "type")]
    message_type: MessageType,
    /// Null by default.
    #[serde(default)]
    payload: Payload,
    /// The same key of the same subject within 24 hours (`messages.key_retention_secs`) stores the message once: the answer
    /// has the `seq` of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<MessageKey>,
    /// Whether this session gets the message too. If not, it knows the `seq` from the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    echo: Option<bool>,
}

/// Sends a signal, such as "is typing", to everybody in a room but the sender. It is not stored and can be lost.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Signal"))]
pub(crate) struct SignalData {
    /// In any case.
    channel: String,
    /// What the message is to the application.
    #[serde(rename = "type")]
    message_type: MessageType,
    /// Null by default.
    #[serde(default)]
    payload: Payload,
}

/// Asks who is in a room.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Presence"))]
pub(crate) struct PresenceData {
    /// In any case.
    pub(super) channel: String,
}

impl From<PublishData> for Publish {
    fn from(data: PublishData) -> Self {
        Self {
            channel: data.channel,
            message_type: data.message_type,
            payload: data.payload,
            key: data.key,
            echo: data.echo.unwrap_or(true),
        }
    }
}

impl From<&Publish> for PublishData {
    fn from(publish: &Publish) -> Self {
        Self {
            channel: publish.channel.clone(),
            message_type: publish.message_type.clone(),
            payload: publish.payload.clone(),
            key: publish.key.clone(),
            echo: (!publish.echo).then_some(false),
        }
    }
}

impl From<SignalData> for Signal {
    fn from(data: SignalData) -> Self {
        Self {
            channel: data.channel,
            message_type: data.message_type,
            payload: data.payload,
        }
    }
}

impl From<&Signal> for SignalData {
    fn from(signal: &Signal) -> Self {
        Self {
            channel: signal.channel.clone(),
            message_type: signal.message_type.clone(),
            payload: signal.payload.clone(),
        }
    }
}
