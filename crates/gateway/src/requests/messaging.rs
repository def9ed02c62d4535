//! What `publish` and `signal` share: who may send to a channel, how much, and how often.

use std::{sync::Arc, time::Instant};

use chaincast_bus::LiveMessages;
use chaincast_protocol::{Channel, ErrorCode, Payload, Refusal};
use chaincast_rooms::{MessageQuota, RoomConfig, Sender};

use crate::{auth::Identity, message_sink::MessageSink, session::Session};

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Messaging {
    pub quota: MessageQuota,
    pub sink: Arc<dyn MessageSink>,
    pub live: LiveMessages,
    /// Maximum size of a payload to a channel that is no room.
    pub message_bytes: usize,
}

impl Messaging {
    /// The client of a session, if it may send to this channel.
    pub(super) fn sender(
        &self,
        session: &Session,
        channel: &Channel,
        room: Option<&RoomConfig>,
    ) -> Result<Arc<Identity>, Refusal> {
        if channel.kind().published_as.is_none() {
            let message = format!("{channel} takes no messages of clients");
            return Err(Refusal::new(ErrorCode::Forbidden, message));
        }
        let Some(identity) = session.identity() else {
            let message =
                format!("sending to {channel} needs a user: authenticate with auth first");
            return Err(Refusal::new(ErrorCode::Unauthorized, message));
        };
        match identity.can_publish(channel, room.map(|room| room.publish)) {
            true => Ok(identity),
            false => {
                let message = format!("the token does not allow sending to {channel}");
                Err(Refusal::new(ErrorCode::Forbidden, message))
            }
        }
    }

    /// Checks the size of a payload.
    pub(super) fn check_size(
        &self,
        channel: &Channel,
        room: Option<&RoomConfig>,
        payload: &Payload,
    ) -> Result<(), Refusal> {
        let most = match room {
            Some(room) => room.message_bytes,
            None => self.message_bytes,
        };
        let size = payload.as_json().len();
        match size <= most {
            true => Ok(()),
            false => Err(Refusal::new(
                ErrorCode::PayloadTooLarge,
                format!("the payload has {size} bytes; {channel} takes at most {most}"),
            )),
        }
    }

    /// Counts a message towards the limits of its subject and its room.
    pub(super) fn admit(
        &self,
        sender: &Sender,
        channel: &Channel,
        room: Option<&RoomConfig>,
    ) -> Result<(), Refusal> {
        let admitted = self.quota.admit(sender, channel, room, Instant::now());
        admitted.map_err(|exceeded| Refusal {
            retry_after_ms: Some(exceeded.retry_after_ms),
            ..Refusal::new(ErrorCode::RateLimited, exceeded.to_string())
        })
    }
}
