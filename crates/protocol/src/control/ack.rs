//! Acknowledgements of requests.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Refusal,
    request::{Interval, Mode},
};

/// The data of `ack`; the request decides which one it is.
// Parsing takes the first that fits, so those with more required keys come first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Ack {
    /// Of `subscribe` with `channel`.
    Subscribed(Subscribed),
    /// Of `unsubscribe` with `channel`.
    Unsubscribed(Unsubscribed),
    /// Of `subscriptions`.
    Subscriptions(Subscriptions),
    /// Of `subscribe` and `unsubscribe` with `channels`.
    Channels(ChannelResults),
    /// Of `acknowledge`.
    Acknowledged(Acknowledged),
    /// Of a request that failed. Only Socket.IO has it; other transports send `error`.
    Failed(Failed),
    /// Of `auth`.
    Authenticated(Authenticated),
}

impl Ack {
    /// The event whose data it is.
    pub const EVENT: &str = "ack";
}

/// The snapshot or the missed updates follow, then live updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscribed {
    /// In canonical form.
    pub channel: String,
    /// Always true.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub success: bool,
    /// The channel's newest.
    pub seq: u64,
    /// Whether every update after `since` follows.
    pub recovered: bool,
}

/// The subscription ended, if there was one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unsubscribed {
    /// In canonical form.
    pub channel: String,
    /// Always true.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub success: bool,
}

/// One result per channel, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelResults {
    /// The results, one for each channel that the request names.
    pub channels: Vec<ChannelResult>,
    /// Whether every channel succeeded.
    pub success: bool,
}

impl ChannelResults {
    /// `success` is true if it is true for every channel.
    pub fn new(channels: Vec<ChannelResult>) -> Self {
        Self {
            success: channels.iter().all(|channel| channel.success),
            channels,
        }
    }
}

/// The result for one channel of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChannelResult {
    /// In canonical form; as requested, if it failed.
    pub channel: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
    /// Of a subscription: whether every update after `since` follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// Of a subscription: the channel's newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Whether the channel was subscribed or unsubscribed.
    pub success: bool,
}

impl ChannelResult {
    /// Of a channel that was subscribed.
    pub fn subscribed(subscribed: Subscribed) -> Self {
        Self {
            channel: subscribed.channel,
            error: None,
            recovered: Some(subscribed.recovered),
            seq: Some(subscribed.seq),
            success: true,
        }
    }

    /// Of a channel that was unsubscribed.
    pub fn unsubscribed(channel: String) -> Self {
        Self {
            channel,
            error: None,
            recovered: None,
            seq: None,
            success: true,
        }
    }

    /// Of a channel that was refused.
    pub fn failed(channel: String, refusal: Refusal) -> Self {
        Self {
            channel,
            error: Some(refusal),
            recovered: None,
            seq: None,
            success: false,
        }
    }
}

/// The session's subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscriptions {
    /// One for each subscribed channel.
    pub channels: Vec<Subscription>,
    /// Always true.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub success: bool,
}

/// One subscription of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscription {
    /// In canonical form.
    pub channel: String,
    /// As requested; 0 by default.
    pub interval: Interval,
    /// As requested, or the default of the channel.
    pub mode: Mode,
    /// The channel's newest.
    pub seq: u64,
}

/// The JWT was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Authenticated {
    /// Always true.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub success: bool,
    /// Channels whose subscriptions ended because the new JWT does not allow them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unsubscribed: Vec<String>,
    /// The authenticated user.
    #[serde(deserialize_with = "required")]
    pub user: Option<super::User>,
}

/// The deliveries were acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Acknowledged {
    /// How many were not acknowledged before.
    pub acknowledged: u64,
    /// Always true.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub success: bool,
}

/// The request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failed {
    /// Why it failed.
    pub error: Refusal,
    /// Always false.
    #[cfg_attr(feature = "schema", schemars(extend("const" = false)))]
    pub success: bool,
}

/// The key must be there, also when it is null: serde would take a missing one for null.
fn required<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}
