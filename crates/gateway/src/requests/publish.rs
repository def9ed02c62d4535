//! `publish`: checks rights and limits, and stores the message, which the hub then delivers as every other update.
//!
//! With `echo: false` the session gets its answer in the place of the message. The hub has to know of it before the message
//! can arrive, so it learns the seq before the commit ([`Withholding`]).

use std::sync::Arc;

use chaincast_protocol::{
    Channel, ErrorCode, Refusal,
    control::{Ack, Published},
    request::{Answer, Publish},
};
use chaincast_rooms::{NewMessage, Numbered, Outgoing, PublishError, Sender};
use parking_lot::Mutex;

use super::{messaging::Messaging, parts::Parts};
use crate::{
    hub::{Hub, PendingAnswer, WithheldUpdate},
    session::{Reply, Session},
};

/// Stores the message and answers.
pub(super) async fn publish(
    parts: &Parts,
    messaging: &Messaging,
    session: &Arc<Session>,
    request: Publish,
    reply: Reply,
) {
    let echo = request.echo;
    let message = match check(parts, messaging, session, request) {
        Ok(message) => message,
        Err(refusal) => {
            return parts
                .answers
                .send(session, &Answer::Refused(refusal), reply);
        }
    };
    let channel = message.channel.to_string();
    if echo {
        let stored = messaging.sink.publish(message.into()).await;
        let answer = answer(session, channel, stored.map(|stored| stored.seq));
        return parts.answers.send(session, &answer, reply);
    }
    let pending = Arc::new(PendingAnswer::new(reply));
    let withholding = Withholding {
        hub: parts.hub.clone(),
        channel: message.channel.clone(),
        session: session.clone(),
        answer: pending.clone(),
        withheld: Arc::default(),
    };
    let message = Outgoing {
        message,
        numbered: Some(Box::new(withholding.clone())),
    };
    let stored = messaging.sink.publish(message).await;
    if let Ok(stored) = &stored
        && stored.is_repeated
    {
        // Its seq is not new, but the update may still be on its way.
        withholding.numbered(stored.seq);
    }
    if stored.is_err() || !withholding.is_withheld() {
        let answer = answer(session, channel, stored.map(|stored| stored.seq));
        parts.answers.send_pending(session, &answer, &pending);
    }
}

/// The message, if the client may send it now.
fn check(
    parts: &Parts,
    messaging: &Messaging,
    session: &Session,
    request: Publish,
) -> Result<NewMessage, Refusal> {
    let channel = parts.deployment.resolve(&request.channel)?;
    let room = parts.deployment.room(&channel);
    let identity = messaging.sender(session, &channel, room)?;
    messaging.check_size(&channel, room, &request.payload)?;
    let from: Arc<str> = identity.sub.as_str().into();
    messaging.admit(&Sender::Client(from.clone()), &channel, room)?;
    Ok(NewMessage {
        channel,
        from,
        message_type: request.message_type,
        payload: request.payload,
        key: request.key,
    })
}

fn answer(session: &Session, channel: String, stored: Result<u64, PublishError>) -> Answer {
    match stored {
        Ok(seq) => Answer::Ack(Ack::Published(Published {
            channel,
            success: true,
            seq,
        })),
        Err(error) => Answer::Refused(refusal(session, &error)),
    }
}

/// The refusal of a message that was not stored.
fn refusal(session: &Session, error: &PublishError) -> Refusal {
    match error {
        PublishError::QueueFull { retry_after_ms } => Refusal {
            retry_after_ms: Some(*retry_after_ms),
            ..Refusal::new(
                ErrorCode::RateLimited,
                "too many messages wait to be stored; try again",
            )
        },
        PublishError::Unknown(_) => {
            tracing::warn!(%error, session = session.id(), "the outcome of a message is unknown");
            Refusal::new(
                ErrorCode::Internal,
                "it is unknown whether the message was stored; give messages a key to be able to send them again",
            )
        }
        PublishError::Closed => Refusal::new(
            ErrorCode::Internal,
            "the server is shutting down; send the message again after reconnecting",
        ),
        PublishError::Failed(_) => {
            tracing::error!(%error, session = session.id(), "a message was not stored");
            Refusal::new(
                ErrorCode::Internal,
                "the message cannot be stored now; try again",
            )
        }
    }
}

/// Withholds a message from its sender as soon as its seq is known.
#[derive(Clone)]
struct Withholding {
    hub: Hub,
    channel: Channel,
    session: Arc<Session>,
    answer: Arc<PendingAnswer>,
    /// The seq, while the hub withholds the message and will answer in its place.
    withheld: Arc<Mutex<Option<u64>>>,
}

impl Withholding {
    /// Whether the hub answers the request in the place of the message.
    fn is_withheld(&self) -> bool {
        self.withheld.lock().is_some()
    }
}

impl Numbered for Withholding {
    fn numbered(&self, seq: u64) {
        let update = WithheldUpdate {
            seq,
            session: self.session.clone(),
            answer: self.answer.clone(),
        };
        let is_withheld = self.hub.withhold(&self.channel, update);
        *self.withheld.lock() = is_withheld.then_some(seq);
    }

    fn failed(&self) {
        if let Some(seq) = self.withheld.lock().take() {
            self.hub.release_withheld(&self.channel, &self.session, seq);
        }
    }
}
