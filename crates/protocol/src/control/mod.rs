//! The messages of a session that belong to no channel. Fields are in the order in which they are sent.

mod ack;
mod connect_error;
mod connected;

use serde::{Deserialize, Serialize};

pub use self::{
    ack::{
        Ack, Acknowledged, Authenticated, ChannelResult, ChannelResults, Failed, Member, Members,
        Published, Subscribed, Subscription, Subscriptions, Unsubscribed,
    },
    connect_error::{ConnectError, ConnectErrorData},
    connected::{Connected, User},
};
use crate::Refusal;

/// The answer to `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pong {
    /// Server time, in ms.
    pub timestamp: i64,
}

/// The client's JWT expires soon: send a new one with `auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TokenExpiring {
    /// When the session ends, in ms since the Unix epoch.
    pub expires_at: i64,
    /// Time left until then.
    pub expires_in_ms: i64,
}

/// The last event of an event stream; a WebSocket gets a close frame instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Closed {
    /// The close code of a WebSocket.
    pub code: u16,
    /// For people; `{"retryAfterMs":N}` with code 1001.
    pub reason: String,
    /// Whether the client should reconnect without a change.
    pub reconnect: bool,
}

/// The reason in a close frame with code 1001, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RetryAfter {
    /// Delay before a client should reconnect, in ms.
    pub retry_after_ms: u64,
}

/// An `error` that names its channel. Only Socket.IO has it: a channel could not be joined or left, and the client
/// requested no acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefusedChannel {
    /// As requested, cut to 160 bytes.
    pub channel: String,
    /// Why; its fields are beside `channel`.
    #[serde(flatten)]
    pub refusal: Refusal,
}

/// The JSON text of a type of the protocol. Strings, numbers and lists always serialize; if one does not, the text is
/// `null` and the fault is logged.
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot serialize a message");
        "null".to_owned()
    })
}

impl Pong {
    /// The event whose data it is.
    pub const EVENT: &str = "pong";
}

impl TokenExpiring {
    /// The event whose data it is.
    pub const EVENT: &str = "token-expiring";
}

impl Closed {
    /// The event whose data it is.
    pub const EVENT: &str = "closed";
}
