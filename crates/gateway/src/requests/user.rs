//! Requests about the client's user: `auth` and `acknowledge`.

use std::sync::Arc;

use chaincast_protocol::{
    ErrorCode, Refusal,
    control::{Ack, Acknowledged, Authenticated, User},
    request::Answer,
};

use super::{parts::Parts, unsubscribe::leave};
use crate::{
    auth::{Authenticator, Identity},
    channel_log::ChannelLog,
    session::Session,
};

/// Replaces the JWT of a session.
pub(super) async fn authenticate(
    authenticator: &Authenticator,
    parts: &Parts,
    session: &Arc<Session>,
    token: &str,
) -> Answer {
    let identity = match authenticator.renew(token).await {
        Ok(Some(identity)) => identity,
        // As at the handshake, an empty token counts as none. It changes nothing; the answer holds the current user.
        Ok(None) => {
            return Answer::Ack(Ack::Authenticated(Authenticated {
                success: true,
                unsubscribed: Vec::new(),
                user: session.identity().map(|identity| user(&identity)),
            }));
        }
        Err(error) => return Answer::Refused(Refusal::from(&error)),
    };
    if session
        .identity()
        .is_some_and(|now| now.sub != identity.sub)
    {
        return Answer::Refused(Refusal::new(
            ErrorCode::Forbidden,
            "this session belongs to another subject; open a new connection",
        ));
    }
    let user = user(&identity);
    let allowed = identity.clone();
    parts.hub.identify(session, Some(identity));
    // Subscriptions that the new token does not allow end.
    let unsubscribed = leave(&parts.hub, &parts.metrics, session, |subscription| {
        let channel = &subscription.channel;
        !parts.deployment.can_subscribe(Some(&allowed), channel)
    });
    Answer::Ack(Ack::Authenticated(Authenticated {
        success: true,
        unsubscribed,
        user: Some(user),
    }))
}

/// Acknowledges at most `most` deliveries of the client's user: no later snapshot includes them.
pub(super) async fn acknowledge(
    log: &dyn ChannelLog,
    session: &Session,
    ids: &[i64],
    most: usize,
) -> Answer {
    let Some(identity) = session.identity() else {
        return Answer::Refused(Refusal::new(
            ErrorCode::Unauthorized,
            "acknowledge needs a user: authenticate with auth first",
        ));
    };
    if ids.len() > most {
        return Answer::Refused(Refusal::bad_request(format!(
            "{} ids in one request; the limit is {most}",
            ids.len()
        )));
    }
    match log.acknowledge(&identity.sub, ids).await {
        Ok(acknowledged) => Answer::Ack(Ack::Acknowledged(Acknowledged {
            acknowledged,
            success: true,
        })),
        Err(error) => {
            tracing::error!(%error, session = session.id(), "acknowledgement failed");
            Answer::Refused(Refusal::new(
                ErrorCode::Internal,
                "the acknowledgement cannot be stored now; try again",
            ))
        }
    }
}

/// The identity as in `connected` and in the answer to `auth`.
pub(super) fn user(identity: &Identity) -> User {
    User {
        channels: identity.channels.clone(),
        expires_at: identity.expires_at_ms,
        role: identity.role.clone(),
        sub: identity.sub.clone(),
    }
}
