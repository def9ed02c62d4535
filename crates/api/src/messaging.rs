//! What the resources of messages share: the channels, the limits and the writer.

use std::{sync::Arc, time::Instant};

use super::error::{Problem, shortened};
use chaincast_protocol::{Channel, Payload};
use chaincast_rooms::{
    MessageQuota, MessageWriter, MessagesConfig, PublishError, RoomConfig, Rooms, Sender,
};

/// What the application provides to publish and moderate messages.
pub struct Messaging {
    /// Stores and redacts messages.
    pub writer: MessageWriter,
    /// The rooms of the deployment.
    pub rooms: Rooms,
    /// Limits the messages to each room.
    pub quota: MessageQuota,
    /// Limits of messages that are not to rooms.
    pub config: MessagesConfig,
    /// Tells every gateway that it can reach to look for subjects whose sessions must end, such as this one.
    pub disconnected: Box<dyn Fn(Arc<str>) + Send + Sync>,
}

impl Messaging {
    /// The channel with this name, if messages can be published to it.
    pub(super) fn resolve(&self, name: &str) -> Result<Channel, Problem> {
        let channel: Channel = match name.parse() {
            Ok(channel) => channel,
            Err(error) => return Err(Problem::unknown_channel(format!("{error}"))),
        };
        if channel.kind().published_as.is_none() {
            return Err(Problem::forbidden(format!(
                "{} takes no messages",
                shortened(name)
            )));
        }
        match &channel {
            Channel::Room(room) if self.rooms.find(room).is_none() => {
                Err(Problem::unknown_channel(format!(
                    "this server has no room {room}; no pattern in gateway.rooms matches it"
                )))
            }
            _ => Ok(channel),
        }
    }

    /// The rules of a room; `None` for other channels.
    pub(super) fn room(&self, channel: &Channel) -> Option<&RoomConfig> {
        match channel {
            Channel::Room(name) => self.rooms.find(name),
            _ => None,
        }
    }

    /// Checks the size of a payload.
    pub(super) fn check_size(&self, channel: &Channel, payload: &Payload) -> Result<(), Problem> {
        let most = match self.room(channel) {
            Some(room) => room.message_bytes,
            None => self.config.message_bytes,
        };
        let size = payload.as_json().len();
        match size <= most {
            true => Ok(()),
            false => Err(Problem::payload_too_large(format!(
                "the payload has {size} bytes; {channel} takes at most {most}"
            ))),
        }
    }

    /// Counts a message towards the limits of its channel.
    pub(super) fn admit(
        &self,
        sender: &Sender,
        channel: &Channel,
        now: Instant,
    ) -> Result<(), Problem> {
        let admitted = self.quota.admit(sender, channel, self.room(channel), now);
        admitted.map_err(|exceeded| {
            Problem::rate_limited(exceeded.retry_after_ms, format!("{channel}: {exceeded}"))
        })
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::QueueFull { retry_after_ms } => Self::rate_limited(
                retry_after_ms,
                "too many messages wait to be stored; try again",
            ),
            PublishError::Failed(error) if error.is_outage() => {
                tracing::warn!(%error, "cannot store a message: the database is not available");
                Self::unavailable()
            }
            PublishError::Failed(error) => {
                tracing::error!(%error, "cannot store a message");
                Self::internal()
            }
            PublishError::Unknown(error) => {
                tracing::warn!(%error, "the outcome of a message is unknown");
                Self::unknown_outcome(
                    "it is unknown whether the request was carried out; repeat it, a message with its key",
                )
            }
            PublishError::Closed => Self::unknown_outcome("the server is shutting down; try again"),
        }
    }
}
