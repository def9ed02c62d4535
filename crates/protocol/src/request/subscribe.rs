//! `subscribe` and its options.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::names::{Names, NamesData};
use crate::{ErrorCode, MemberInfo, MemberInfoError, Payload, Refusal};

/// `subscribe` and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The channels, in any case.
    pub names: Names,
    /// Where to resume; `None` to begin with a snapshot.
    pub since: Option<Since>,
    /// The epoch of `since`; `None` for the current one.
    pub epoch: Option<String>,
    /// Whether to send the current state first.
    pub snapshot: bool,
    /// `None` for the channel's default.
    pub mode: Option<Mode>,
    /// At most one update in this time; others than [`Interval::NONE`] need [`Mode::Latest`].
    pub interval: Interval,
    /// Whether to get joins and leaves of rooms.
    pub presence: bool,
    /// What the members of rooms see of this client.
    pub info: Option<MemberInfo>,
}

/// Where to resume: the last seq received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "since must be the last seq received (a number), or a map from channel to seq"
)]
pub enum Since {
    /// The seq of the only channel.
    One(u64),
    /// Seqs by channel name, case-insensitive.
    Each(BTreeMap<String, u64>),
}

/// Whether updates may be skipped for newer ones when the client is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A slow client gets the newest update instead of all of them.
    Latest,
    /// Every update, or the session ends.
    All,
}

/// At most one update per channel in this many ms: 0 (no limit), 100, 250, 1000 or 5000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Interval(u32);

impl Interval {
    /// No limit.
    pub const NONE: Self = Self(0);
    /// Every interval.
    pub const ALL: [Self; 5] = [Self::NONE, Self(100), Self(250), Self(1_000), Self(5_000)];

    /// The interval of this many ms; `None` if it is not in [`Self::ALL`].
    pub fn new(ms: u64) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|interval| u64::from(interval.0) == ms)
    }

    /// Its length in ms; 0 for no limit.
    pub fn ms(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for Interval {
    type Error = IntervalError;

    fn try_from(ms: u64) -> Result<Self, IntervalError> {
        Self::new(ms).ok_or(IntervalError(ms))
    }
}

/// The number of ms is not an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interval {0} is not one of 0, 100, 250, 1000 and 5000")]
pub struct IntervalError(u64);

/// The channels to subscribe to, either `channel` or `channels`, and the options of their subscriptions.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Subscribe", extend("allOf" = [
    // A single seq is that of one channel.
    { "not": {
        "required": ["channels", "since"],
        "properties": { "channels": { "minItems": 2 }, "since": { "type": "integer" } },
    } },
    { "not": {
        "required": ["interval", "mode"],
        "properties": { "interval": { "minimum": 1 }, "mode": { "const": "all" } },
    } },
])))]
pub(crate) struct SubscribeData {
    #[serde(flatten)]
    names: NamesData,
    /// The last seq received: every update after it follows instead of a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Since>,
    /// The epoch of `since`; the current one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    /// Whether to send the current state first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    snapshot: Option<bool>,
    /// By default `latest` for prices, `all` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    /// 0 by default; others need `latest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Interval>"))]
    interval: Option<u64>,
    /// Of rooms: whether to get `member-joined` and `member-left`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = false)))]
    presence: Option<bool>,
    /// Of rooms: what the other members see of this client; `{}` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<MemberInfo>"))]
    info: Option<Payload>,
}

impl Subscribe {
    /// Subscribes to one channel with the defaults.
    pub fn to(name: impl Into<String>) -> Self {
        Self {
            names: Names::One(name.into()),
            since: None,
            epoch: None,
            snapshot: true,
            mode: None,
            interval: Interval::NONE,
            presence: false,
            info: None,
        }
    }

    pub(super) fn check(data: SubscribeData) -> Result<Self, Refusal> {
        let names = data.names.check("subscribe")?;
        if let (Some(Since::One(_)), [_, _, ..]) = (&data.since, names.as_slice()) {
            return Err(Refusal::bad_request(
                "subscribe: since is a number, but the request names several channels; use {\"channel\": seq, …}",
            ));
        }
        let interval = data.interval.unwrap_or(0);
        let interval = Interval::try_from(interval)
            .map_err(|error| Refusal::bad_request(format!("subscribe: {error}")))?;
        if data.mode == Some(Mode::All) && interval != Interval::NONE {
            return Err(Refusal::bad_request(
                "subscribe: interval needs mode \"latest\"",
            ));
        }
        let info = data.info.map(MemberInfo::try_from).transpose();
        let info = info.map_err(|error| {
            let code = match error {
                MemberInfoError::TooLong(_) => ErrorCode::PayloadTooLarge,
                MemberInfoError::NotObject | MemberInfoError::Json(_) => ErrorCode::BadRequest,
            };
            Refusal::new(code, format!("subscribe: {error}"))
        })?;
        Ok(Self {
            names,
            since: data.since,
            epoch: data.epoch,
            snapshot: data.snapshot.unwrap_or(true),
            mode: data.mode,
            interval,
            presence: data.presence.unwrap_or(false),
            info,
        })
    }
}

impl From<&Subscribe> for SubscribeData {
    fn from(subscribe: &Subscribe) -> Self {
        Self {
            names: NamesData::from(&subscribe.names),
            since: subscribe.since.clone(),
            epoch: subscribe.epoch.clone(),
            snapshot: (!subscribe.snapshot).then_some(false),
            mode: subscribe.mode,
            interval: Some(subscribe.interval)
                .filter(|interval| *interval != Interval::NONE)
                .map(|interval| u64::from(interval.ms())),
            presence: subscribe.presence.then_some(true),
            info: subscribe.info.clone().map(Payload::from),
        }
    }
}
