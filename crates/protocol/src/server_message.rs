//! Messages of the server, as clients of a native WebSocket parse them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::request::RequestId;

/// Any message of the server in JSON. `event` decides the type of `data`: see [`Event::parse`](crate::Event::parse) and
/// [`control`](crate::control).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerMessage<'a> {
    /// The event's name.
    pub event: String,
    /// The id of the answered request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// The canonical name of the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The position of the update in its channel: 1, 2, 3, … without gaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// In `latest` mode: the seq of the previous message in this stream; 0 at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev: Option<u64>,
    /// Whether it is the state as of `seq`, for a new subscription. Omitted if false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snapshot: bool,
    /// `null` if the message has none: every event of this version has data.
    #[serde(borrow, default = "no_data")]
    #[cfg_attr(feature = "schema", schemars(required, with = "serde_json::Value"))]
    pub data: &'a RawValue,
}

fn no_data<'a>() -> &'a RawValue {
    RawValue::NULL
}
