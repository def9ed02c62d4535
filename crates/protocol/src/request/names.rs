//! The channels that a request names.

use serde::{Deserialize, Serialize};

use crate::Refusal;

/// Channel names as sent by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Its failure is that of the request.
    One(String),
    /// Answered channel by channel.
    Many(Vec<String>),
}

impl Names {
    /// The names in the order of the request.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// The channels of a request: either `channel` or `channels`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(
    rename = "ChannelNames",
    extend("oneOf" = [{ "required": ["channel"] }, { "required": ["channels"] }]),
))]
pub(crate) struct NamesData {
    /// One channel, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("examples" = crate::schema::channel_names())))]
    channel: Option<String>,
    /// Several channels, answered channel by channel; at most 100 (`limits.channels_per_request`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    channels: Option<Vec<String>>,
}

impl NamesData {
    pub(super) fn check(self, event: &str) -> Result<Names, Refusal> {
        match (self.channel, self.channels) {
            (Some(one), None) => Ok(Names::One(one)),
            (None, Some(many)) if !many.is_empty() => Ok(Names::Many(many)),
            (None, Some(_)) => Err(Refusal::bad_request(format!(
                "{event}: channels is empty; name at least one"
            ))),
            (Some(_), Some(_)) => Err(Refusal::bad_request(format!(
                "{event}: give channel or channels, not both"
            ))),
            (None, None) => Err(Refusal::bad_request(format!(
                "{event}: data needs channel, such as {{\"channel\":\"price:ETH\"}}, or channels"
            ))),
        }
    }
}

impl From<&Names> for NamesData {
    fn from(names: &Names) -> Self {
        let (channel, channels) = match names {
            Names::One(name) => (Some(name.clone()), None),
            Names::Many(names) => (None, Some(names.clone())),
        };
        Self { channel, channels }
    }
}
