//! `signal`: sends something that is not stored to everybody in a room but the sender.

use std::sync::Arc;

use chaincast_bus::{LiveMessage, Signal};
use chaincast_protocol::{
    ErrorCode, EventName, LiveEvent, Refusal, RoomSignal,
    channel::AccessRule,
    control::{Ack, Unsubscribed, to_json},
    now_ms,
    request::{self, Answer},
};

use super::{messaging::Messaging, parts::Parts};
use crate::session::Session;

/// Sends the signal; it may be lost on its way.
pub(super) fn signal(
    parts: &Parts,
    messaging: &Messaging,
    session: &Session,
    request: request::Signal,
) -> Answer {
    match check(parts, messaging, session, request) {
        Ok(signal) => {
            let channel = signal.channel.to_string();
            messaging.live.send(LiveMessage::Signal(signal));
            Answer::Ack(Ack::Unsubscribed(Unsubscribed {
                channel,
                success: true,
            }))
        }
        Err(refusal) => Answer::Refused(refusal),
    }
}

/// The signal, if the client may send it.
fn check(
    parts: &Parts,
    messaging: &Messaging,
    session: &Session,
    request: request::Signal,
) -> Result<Signal, Refusal> {
    let channel = parts.deployment.resolve(&request.channel)?;
    if !matches!(channel.kind().access, AccessRule::Room) {
        let message = format!("{channel} takes no signals: only rooms do");
        return Err(Refusal::new(ErrorCode::Forbidden, message));
    }
    let room = parts.deployment.room(&channel);
    let identity = messaging.sender(session, &channel, room)?;
    messaging.check_size(&channel, room, &request.payload)?;
    let data = LiveEvent::RoomSignal(RoomSignal {
        from: identity.sub.as_str().into(),
        message_type: request.message_type,
        payload: request.payload,
        timestamp: now_ms(),
    });
    Ok(Signal {
        channel,
        event: EventName::RoomSignal,
        data: to_json(&data).into(),
        sender: Some(Arc::from(session.id())),
    })
}
