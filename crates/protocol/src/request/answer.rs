//! Answers to requests.

use super::RequestId;
use crate::{
    Refusal,
    control::{Ack, Pong, to_json},
};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The request was processed; if it names several channels, each has its own result.
    Ack(Ack),
    /// The answer to `ping`.
    Pong {
        /// Server time, in ms.
        timestamp: i64,
    },
    /// The request was refused.
    Refused(Refusal),
}

impl Answer {
    /// The event whose data it is: `ack`, `pong` or `error`.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Ack(_) => Ack::EVENT,
            Self::Pong { .. } => Pong::EVENT,
            Self::Refused(_) => Refusal::EVENT,
        }
    }

    /// The JSON text of the event's data.
    pub fn data(&self) -> String {
        match self {
            Self::Ack(ack) => to_json(ack),
            Self::Pong { timestamp } => to_json(&Pong {
                timestamp: *timestamp,
            }),
            Self::Refused(refusal) => to_json(refusal),
        }
    }

    /// As a native WebSocket message in JSON.
    pub fn text(&self, id: Option<&RequestId>) -> String {
        let (event, data) = (self.event(), self.data());
        match id {
            Some(id) => format!(
                r#"{{"event":"{event}","id":{},"data":{data}}}"#,
                id.as_json()
            ),
            None => format!(r#"{{"event":"{event}","data":{data}}}"#),
        }
    }
}
