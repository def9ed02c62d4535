//! Acknowledgements of requests.

use std::sync::Arc;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned},
};
use serde_json::value::RawValue;

use crate::{
    MemberInfo, Refusal,
    request::{Interval, Mode},
};

/// The data of `ack`; the request decides which one it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Ack {
    /// Of `subscribe` with `channel`.
    Subscribed(Subscribed),
    /// Of `publish`.
    Published(Published),
    /// Of `presence`.
    Presence(Members),
    /// Of `unsubscribe` with `channel`, and of `signal`.
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

    /// The first that fits; those with more required keys come first.
    fn parse(json: &str) -> Option<Self> {
        fn read<T: DeserializeOwned>(json: &str, ack: fn(T) -> Ack) -> Option<Ack> {
            serde_json::from_str(json).ok().map(ack)
        }
        read(json, Self::Subscribed)
            .or_else(|| read(json, Self::Published))
            .or_else(|| read(json, Self::Presence))
            .or_else(|| read(json, Self::Unsubscribed))
            .or_else(|| read(json, Self::Subscriptions))
            .or_else(|| read(json, Self::Channels))
            .or_else(|| read(json, Self::Acknowledged))
            .or_else(|| read(json, Self::Failed))
            .or_else(|| read(json, Self::Authenticated))
    }
}

// Not derived: the derived one would parse the info of members into values that do not keep its text.
impl<'de> Deserialize<'de> for Ack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(json.get()).ok_or_else(|| de::Error::custom("not the data of an ack"))
    }
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

/// The message is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Published {
    /// In canonical form.
    pub channel: String,
    /// Always true.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub success: bool,
    /// The position of the message in the channel.
    pub seq: u64,
}

/// Who is in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Members {
    /// In canonical form.
    pub channel: String,
    /// Always true.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub success: bool,
    /// At most 1,000 of them.
    pub members: Vec<Member>,
    /// The number of all members.
    pub count: u64,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Member {
    /// The subject.
    pub sub: Arc<str>,
    /// What it shows to the others.
    pub info: MemberInfo,
    /// The number of its sessions in the room.
    pub sessions: u64,
    /// When its first session entered, in ms since the Unix epoch.
    pub since: i64,
}

/// The subscription ended, if there was one; or the signal was sent.
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
