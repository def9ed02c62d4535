//! Handles the requests of a session for every transport: limits first, then the work, then the answer.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    auth::AuthError,
    channel::Pace,
    session::{Reply, Session, Subscription, user},
};
use chaincast_protocol::{
    Channel, CloseReason, ErrorCode, Refusal,
    control::{
        self, Ack, Acknowledged, Authenticated, ChannelResult, ChannelResults, Subscriptions,
        Unsubscribed,
    },
    encode, now_ms,
    request::{Answer, Mode, Names, Request, Subscribe},
    truncated_name,
};

/// Marks a session as busy with a request until dropped, also when the request is canceled.
struct Busy<'a>(&'a Session);

impl<'a> Busy<'a> {
    fn begin(session: &'a Session) -> Self {
        session.record_activity();
        session.busy.store(true, Ordering::Relaxed);
        Self(session)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
        self.0.record_activity();
    }
}

impl Session {
    /// Counts one request (or a parse error), and queues its answer and the snapshot or replay that follows.
    ///
    /// Call it for one request at a time per session. The returned future may wait for the store.
    pub async fn request(self: &Arc<Self>, request: Result<Request, Refusal>, reply: Reply) {
        self.hub.metrics().received(&request);
        let _busy = Busy::begin(self);
        let answer = match self.admit() {
            Err(refusal) => Some(Answer::Refused(refusal)),
            Ok(()) => match request {
                Err(refusal) => Some(Answer::Refused(refusal)),
                Ok(Request::Subscribe(subscribe)) => {
                    self.subscribe(subscribe, reply).await;
                    return;
                }
                Ok(Request::Unsubscribe(names)) => Some(self.unsubscribe(&names)),
                Ok(Request::Ping) => Some(Answer::Pong {
                    timestamp: now_ms(),
                }),
                Ok(Request::Auth { token }) => Some(self.authenticate(&token).await),
                Ok(Request::Subscriptions) => Some(self.list()),
                Ok(Request::Acknowledge(ids)) => Some(self.acknowledge(&ids).await),
            },
        };
        if let Some(answer) = answer {
            self.answer(&answer, reply);
        }
    }

    /// Subscribes without a request and without an answer, for transports that join a channel by themselves. Queues an
    /// `error` event when the channel cannot be joined.
    pub async fn join(self: &Arc<Self>, channel: &Channel) {
        let (wire, name) = (self.wire(), channel.to_string());
        let subscribe = Subscribe::to(name.as_str());
        let reply = move |answer: &Answer| match answer {
            Answer::Refused(refusal) => vec![encode::channel_error(wire, &name, refusal)],
            _ => Vec::new(),
        };
        self.subscribe(subscribe, Box::new(reply)).await;
    }

    pub(super) fn answer(self: &Arc<Self>, answer: &Answer, reply: Reply) {
        if let Answer::Refused(refusal) = answer {
            self.record_refusal(refusal.code);
        }
        for packet in reply(answer) {
            self.queue(packet);
        }
    }

    /// Counts and logs a refused request.
    pub(super) fn record_refusal(&self, code: ErrorCode) {
        self.hub.metrics().request_refused(code);
        self.hub.session_log().request_refused(self, code);
    }

    /// Counts a request. Refuses it beyond the rate limit; too many refusals end the session.
    pub(super) fn admit(self: &Arc<Self>) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut client = self.client.lock();
        let Err(retry_after_ms) = client.rate.admit(now) else {
            return Ok(());
        };
        let abused = client.abuse.admit(now).is_err();
        drop(client);
        self.hub.metrics().rate_limited();
        if abused {
            self.end(CloseReason::Abuse);
        }
        Err(Refusal::rate_limited(retry_after_ms))
    }

    fn unsubscribe(self: &Arc<Self>, names: &Names) -> Answer {
        if let Err(refusal) = self.check_count(names) {
            return Answer::Refused(refusal);
        }
        let mut left = Vec::new();
        for name in names.as_slice() {
            left.push(match self.hub.resolve(name) {
                Ok(channel) => {
                    self.leave(|subscription| {
                        let selected = subscription.channel == channel;
                        if let (true, Some(permit)) = (selected, &mut subscription.permit) {
                            permit.unsubscribe();
                        }
                        selected
                    });
                    ChannelResult::unsubscribed(channel.to_string())
                }
                Err(refusal) => ChannelResult::failed(truncated_name(name), refusal),
            });
        }
        match (names, left.pop()) {
            (Names::One(_), Some(ChannelResult { error: Some(e), .. })) => Answer::Refused(e),
            (Names::One(_), Some(ChannelResult { channel, .. })) => {
                Answer::Ack(Ack::Unsubscribed(Unsubscribed {
                    channel,
                    success: true,
                }))
            }
            (_, last) => {
                left.extend(last);
                Answer::Ack(Ack::Channels(ChannelResults::new(left)))
            }
        }
    }

    /// Ends the subscriptions that `which` selects; returns their channels.
    fn leave(self: &Arc<Self>, mut which: impl FnMut(&mut Subscription) -> bool) -> Vec<String> {
        let mut ended = Vec::new();
        let mut channels = self.hub.channels().lock();
        self.subscriptions.lock().retain_mut(|subscription| {
            let selected = which(subscription);
            if selected {
                channels.leave(self, subscription.slot, subscription.state);
                self.hub.metrics().unsubscribed(&subscription.channel);
                ended.push(subscription.channel.to_string());
            }
            !selected
        });
        drop(channels);
        ended
    }

    async fn authenticate(self: &Arc<Self>, token: &str) -> Answer {
        let identity = match self.hub.authenticator().renew(token).await {
            Ok(Some(identity)) => identity,
            // As at the handshake, an empty token counts as none. It changes nothing; the answer holds the current user.
            Ok(None) => {
                return Answer::Ack(Ack::Authenticated(Authenticated {
                    success: true,
                    unsubscribed: Vec::new(),
                    user: self.identity().map(|identity| user(&identity)),
                }));
            }
            Err(error) => return Answer::Refused(auth_refusal(&error)),
        };
        if self.identity().is_some_and(|now| now.sub != identity.sub) {
            return Answer::Refused(Refusal::new(
                ErrorCode::Forbidden,
                "this session belongs to another subject; open a new connection",
            ));
        }
        let user = user(&identity);
        let allowed = identity.clone();
        self.identify(Some(identity));
        // Subscriptions that the new token does not allow end.
        let unsubscribed = self.leave(|subscription| !allowed.can_subscribe(&subscription.channel));
        Answer::Ack(Ack::Authenticated(Authenticated {
            success: true,
            unsubscribed,
            user: Some(user),
        }))
    }

    /// Acknowledges deliveries of the client's user: no later snapshot includes them.
    async fn acknowledge(&self, ids: &[i64]) -> Answer {
        let Some(identity) = self.identity() else {
            return Answer::Refused(Refusal::new(
                ErrorCode::Unauthorized,
                "acknowledge needs a user: authenticate with auth first",
            ));
        };
        let most = self.hub.config().limits.acknowledged_ids;
        if ids.len() > most {
            return Answer::Refused(Refusal::bad_request(format!(
                "{} ids in one request; the limit is {most}",
                ids.len()
            )));
        }
        match self.hub.channel_log().acknowledge(&identity.sub, ids).await {
            Ok(acknowledged) => Answer::Ack(Ack::Acknowledged(Acknowledged {
                acknowledged,
                success: true,
            })),
            Err(error) => {
                tracing::error!(%error, session = self.id(), "acknowledgement failed");
                Answer::Refused(Refusal::new(
                    ErrorCode::Internal,
                    "the acknowledgement cannot be stored now; try again",
                ))
            }
        }
    }

    fn list(&self) -> Answer {
        let channels = self.hub.channels().lock();
        let subscriptions = self.subscriptions.lock();
        let listed = subscriptions
            .iter()
            .map(|subscription| control::Subscription {
                channel: subscription.channel.to_string(),
                mode: match subscription.pace {
                    Pace::All => Mode::All,
                    Pace::Latest | Pace::Every(_) => Mode::Latest,
                },
                interval: subscription.pace.interval(),
                seq: channels
                    .slots
                    .get(subscription.slot)
                    .and_then(|state| state.position)
                    .unwrap_or(0),
            })
            .collect();
        Answer::Ack(Ack::Subscriptions(Subscriptions {
            channels: listed,
            success: true,
        }))
    }

    pub(super) fn check_count(&self, names: &Names) -> Result<(), Refusal> {
        let (count, most) = (
            names.as_slice().len(),
            self.hub.config().limits.channels_per_request,
        );
        if count > most {
            return Err(Refusal::bad_request(format!(
                "{count} channels in one request; the limit is {most}"
            )));
        }
        Ok(())
    }
}

/// The error for a client whose JWT was refused.
pub fn auth_refusal(error: &AuthError) -> Refusal {
    let code = match error {
        AuthError::Expired => ErrorCode::TokenExpired,
        AuthError::Unavailable => ErrorCode::Internal,
        _ => ErrorCode::Unauthorized,
    };
    Refusal::new(code, error.to_string())
}
