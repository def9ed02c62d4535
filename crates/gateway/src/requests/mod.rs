//! Handles the requests of sessions for every transport: limits first, then the work, then the answer.

mod answers;
mod greeting;
mod history;
mod join;
mod joiner;
mod list;
mod messaging;
mod options;
mod parts;
mod publish;
mod replay;
mod signal;
mod unsubscribe;
mod user;
mod watches;

pub(crate) use answers::Answers;
pub(crate) use messaging::Messaging;
pub(crate) use parts::Parts;
pub(crate) use replay::Replays;
pub(crate) use watches::Watches;

use std::sync::Arc;

use chaincast_protocol::{
    Channel, ErrorCode, Refusal, encode, now_ms,
    request::{Answer, Request, Subscribe},
};

use self::joiner::Joiner;
use crate::{
    auth::{AuthError, Authenticator, Identity},
    session::{Reply, RequestKind, Session},
};

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Requests(Arc<Inner>);

struct Inner {
    parts: Parts,
    authenticator: Arc<Authenticator>,
    joiner: Joiner,
    messaging: Messaging,
}

impl Requests {
    pub(crate) fn new(
        parts: Parts,
        authenticator: Arc<Authenticator>,
        watches: Watches,
        replays: Replays,
        messaging: Messaging,
    ) -> Self {
        Self(Arc::new(Inner {
            parts: parts.clone(),
            authenticator,
            joiner: Joiner::new(parts, watches, replays),
            messaging,
        }))
    }

    /// Queues `connected`, the first event of every session.
    pub(crate) fn greet(&self, session: &Arc<Session>) {
        self.greet_as(session, session.id());
    }

    /// As [`Self::greet`], with another public id, for a client that rejoins within one connection.
    pub(crate) fn greet_as(&self, session: &Arc<Session>, id: &str) {
        let Parts { log, config, .. } = &self.0.parts;
        session.queue(greeting::connected(session, id, log.epoch(), config));
    }

    /// Counts one request (or a parse error), and queues its answer and the snapshot or replay that follows.
    ///
    /// Call it for one request at a time per session. The returned future may wait for the store.
    pub(crate) async fn handle(
        &self,
        session: &Arc<Session>,
        request: Result<Request, Refusal>,
        reply: Reply,
    ) {
        let Inner {
            parts,
            authenticator,
            joiner,
            messaging,
        } = &*self.0;
        let Parts {
            config,
            deployment,
            hub,
            log,
            metrics,
            answers,
        } = parts;
        metrics.received(&request);
        let _busy = session.begin_request();
        let kind = match &request {
            Ok(Request::Publish(_)) => RequestKind::Message,
            Ok(Request::Signal(_)) => RequestKind::Signal,
            _ => RequestKind::Request,
        };
        let answer = match answers.admit(session, kind).and(request) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(Request::Subscribe(subscribe)) => {
                return joiner.subscribe(session, subscribe, reply).await;
            }
            Ok(Request::Publish(request)) => {
                return publish::publish(parts, messaging, session, request, reply).await;
            }
            Ok(Request::Signal(request)) => signal::signal(parts, messaging, session, request),
            Ok(Request::Unsubscribe(names)) => {
                match options::check_count(names.as_slice().len(), &config.limits) {
                    Ok(()) => unsubscribe::unsubscribe(deployment, hub, metrics, session, &names),
                    Err(refusal) => Answer::Refused(refusal),
                }
            }
            Ok(Request::Ping) => Answer::Pong {
                timestamp: now_ms(),
            },
            Ok(Request::Auth { token }) => {
                user::authenticate(authenticator, parts, session, &token).await
            }
            Ok(Request::Subscriptions) => list::list(hub, session),
            Ok(Request::Acknowledge(ids)) => {
                let most = config.limits.acknowledged_ids;
                user::acknowledge(&**log, session, &ids, most).await
            }
            Ok(Request::Presence { .. }) => {
                let refusal = Refusal::new(ErrorCode::Forbidden, "this server has no presence");
                Answer::Refused(refusal)
            }
        };
        answers.send(session, &answer, reply);
    }

    /// Counts a request that a transport handles itself. Refuses it beyond the rate limit.
    pub(crate) fn admit(&self, session: &Arc<Session>) -> Result<(), Refusal> {
        let answers = &self.0.parts.answers;
        answers.admit(session, RequestKind::Request)
    }

    /// Checks every channel and option of a subscription; returns the first error.
    pub(crate) fn check(
        &self,
        subscribe: &Subscribe,
        identity: Option<&Identity>,
    ) -> Result<(), Refusal> {
        let Parts {
            config, deployment, ..
        } = &self.0.parts;
        options::check(subscribe, identity, deployment, &config.limits)
    }

    /// Whether the client of a session may subscribe to a channel of this deployment.
    pub(crate) fn may_join(&self, session: &Session, channel: &Channel) -> bool {
        let identity = session.identity();
        self.0
            .parts
            .deployment
            .can_subscribe(identity.as_deref(), channel)
    }

    /// Subscribes without a request and without an answer, for transports that join a channel by themselves. Queues an
    /// `error` event when the channel cannot be joined.
    pub(crate) async fn join(&self, session: &Arc<Session>, channel: &Channel) {
        let (wire, name) = (session.wire(), channel.to_string());
        let subscribe = Subscribe::to(name.as_str());
        let reply = move |answer: &Answer| match answer {
            Answer::Refused(refusal) => vec![encode::channel_error(wire, &name, refusal)],
            _ => Vec::new(),
        };
        let joiner = &self.0.joiner;
        joiner.subscribe(session, subscribe, Box::new(reply)).await;
    }

    /// Sets the client's user, from a JWT that arrives within the connection.
    pub(crate) async fn identify(
        &self,
        session: &Session,
        token: Option<&str>,
    ) -> Result<(), AuthError> {
        let identity = self.0.authenticator.identify(token).await?;
        self.0.parts.hub.identify(session, identity);
        Ok(())
    }

    /// The client leaves, but its connection stays: its subscriptions end, and its user is forgotten.
    pub(crate) fn leave(&self, session: &Session) {
        let hub = &self.0.parts.hub;
        hub.unsubscribe_all(session);
        hub.identify(session, None);
    }

    /// Counts and logs a connected client that was refused, such as in a Socket.IO namespace.
    pub(crate) fn record_join_refusal(&self, session: &Session, code: Option<ErrorCode>) {
        self.0.parts.answers.record_join_refusal(session, code);
    }
}
