//! Handles the packets of a Socket.IO client, by polling or WebSocket: namespaces, JWTs, events.
//!
//! The only namespace is `/realtime`. A violation of either protocol ends the session; an invalid request is answered
//! with an error.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Map, Value};

use super::reply::reply;
use crate::{
    auth::MAX_TOKEN_BYTES,
    requests::Requests,
    session::{Session, random_id},
};
use chaincast_protocol::{
    Channel, CloseReason, Refusal,
    control::ConnectError,
    encode::{NAMESPACE, Packet},
    request::Request,
    socketio::{
        engine,
        packet::{self, Kind},
    },
};

/// The channels that a client is subscribed to on joining: blocks, as the reference clients expect, and announcements.
const AUTO_BLOCKS: Channel = Channel::NewBlock(None);
const AUTO_ANNOUNCEMENTS: Channel = Channel::Announcements;
/// Rejected joins before the session ends: each may cost a signature verification.
const MAX_REJECTED_JOINS: u8 = 16;

/// The receiving side of one connection. Packets must be passed one at a time.
pub(super) struct Client {
    session: Arc<Session>,
    requests: Requests,
    /// JWT from the HTTP handshake, for clients that send none when they join.
    token: Option<Box<str>>,
    /// Whether the client is in the namespace.
    in_namespace: bool,
    /// Whether it has ever joined.
    has_joined: Arc<AtomicBool>,
    rejected_joins: u8,
    /// A binary packet with missing attachments.
    partial: Option<PartialPacket>,
}

struct PartialPacket {
    attachments: usize,
    /// For events: the id of the requested acknowledgement, if any.
    event: Option<Option<u64>>,
}

/// The payload of a join.
struct JoinOptions {
    token: Option<String>,
    auto_subscribe: bool,
}

impl JoinOptions {
    /// Parses `auth` of the reference client; the error is for its developer.
    fn parse(json: Option<&str>) -> Result<Self, &'static str> {
        let auth: Option<Map<String, Value>> = serde_json::from_str(json.unwrap_or("null"))
            .map_err(|_| "auth must be an object with token and autoSubscribe")?;
        let mut auth = auth.unwrap_or_default();
        let token = match auth.remove("token") {
            None | Some(Value::Null) => None,
            Some(Value::String(token)) => Some(token).filter(|token| !token.is_empty()),
            Some(_) => return Err("auth.token must be a string"),
        };
        let auto_subscribe = match auth.remove("autoSubscribe") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(wanted)) => wanted,
            Some(_) => return Err("auth.autoSubscribe must be true or false"),
        };
        Ok(Self {
            token,
            auto_subscribe,
        })
    }
}

impl Client {
    /// A client that has not joined yet.
    pub(super) fn new(session: Arc<Session>, requests: Requests, token: Option<&str>) -> Self {
        Self {
            session,
            requests,
            token: token
                .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_BYTES)
                .map(Into::into),
            in_namespace: false,
            has_joined: Arc::default(),
            rejected_joins: 0,
            partial: None,
        }
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Becomes true when the client first joins the namespace.
    pub(super) fn has_joined(&self) -> &Arc<AtomicBool> {
        &self.has_joined
    }

    /// Handles the text of one Engine.IO packet.
    pub(super) async fn handle_text(&mut self, text: &str) {
        match engine::Packet::parse(text) {
            Ok(packet) => self.handle_packet(packet).await,
            Err(error) => self.end(error.description()),
        }
    }

    /// Handles one Engine.IO packet.
    pub(super) async fn handle_packet(&mut self, packet: engine::Packet<'_>) {
        self.session.record_activity();
        match packet {
            engine::Packet::Close => self.session.end(CloseReason::Left(1005)),
            engine::Packet::Ping(text) => self.send(&engine::pong(text)),
            engine::Packet::Message(text) => self.message(text).await,
            engine::Packet::Binary(_) => self.attachment().await,
            // A pong only counts as activity; `upgrade` is ignored here.
            engine::Packet::Pong(_) | engine::Packet::Upgrade | engine::Packet::Noop => {}
        }
    }

    async fn message(&mut self, text: &str) {
        if self.partial.is_some() {
            return self.end("a packet between the attachments of a binary packet");
        }
        let packet = match packet::Packet::parse(text) {
            Ok(packet) => packet,
            Err(error) => return self.end(error.description()),
        };
        match packet.kind {
            Kind::Connect(payload) => self.connect(packet.namespace, payload).await,
            Kind::Disconnect if packet.namespace == NAMESPACE => self.leave(),
            // The client is not in that namespace.
            Kind::Disconnect => {}
            _ if packet.namespace != NAMESPACE || !self.in_namespace => {
                self.end("a packet for a namespace that was not joined");
            }
            Kind::Event {
                ack,
                json,
                attachments: 0,
            } => self.event(ack, json).await,
            Kind::Event {
                ack, attachments, ..
            } => {
                let event = Some(ack);
                self.partial = Some(PartialPacket { attachments, event });
            }
            Kind::Ack { attachments: 0 } => {}
            Kind::Ack { attachments } => {
                let event = None;
                self.partial = Some(PartialPacket { attachments, event });
            }
        }
    }

    async fn event(&mut self, ack: Option<u64>, json: &str) {
        let Some((event, data)) = packet::event_arguments(json) else {
            return self.end("an event that is not an array beginning with its name");
        };
        let data = data.filter(|data| *data != "null");
        let channel = data
            .filter(|data| data.starts_with('"') && matches!(&*event, "subscribe" | "unsubscribe"))
            // A bare channel name instead of an object.
            .map(|name| format!(r#"{{"channel":{name}}}"#));
        let request = Request::parse(&event, channel.as_deref().or(data));
        self.handle(request, ack).await;
    }

    /// Counts an attachment; the last one completes its packet, which is then rejected.
    async fn attachment(&mut self) {
        let Some(partial) = &mut self.partial else {
            return self.end("an attachment without a packet");
        };
        partial.attachments -= 1;
        if partial.attachments > 0 {
            return;
        }
        if let Some(PartialPacket {
            event: Some(ack), ..
        }) = self.partial.take()
        {
            let refusal = Refusal::bad_request("events with binary data are not supported");
            self.handle(Err(refusal), ack).await;
        }
    }

    async fn handle(&self, request: Result<Request, Refusal>, ack: Option<u64>) {
        let (session, reply) = (&self.session, reply(ack));
        self.requests.handle(session, request, reply).await;
    }

    async fn connect(&mut self, namespace: &str, payload: Option<&str>) {
        if namespace != NAMESPACE {
            return self.reject_join(namespace, None);
        }
        if self.in_namespace {
            return self.end("the namespace was joined twice");
        }
        // The first join belongs to the handshake; each further one counts as a request.
        let again = self.has_joined.load(Ordering::Relaxed);
        if again && let Err(refusal) = self.requests.admit(&self.session) {
            return self.reject_join(namespace, Some(&refusal));
        }
        let options = match JoinOptions::parse(payload) {
            Ok(options) => options,
            Err(message) => {
                let refusal = Refusal::bad_request(message);
                return self.reject_join(namespace, Some(&refusal));
            }
        };
        let token = options.token.as_deref().or(self.token.as_deref());
        if let Err(error) = self.requests.identify(&self.session, token).await {
            let refusal = Refusal::from(&error);
            return self.reject_join(namespace, Some(&refusal));
        }
        self.in_namespace = true;
        self.has_joined.store(true, Ordering::Relaxed);
        // After a rejoin the client may be another user: it gets a new id.
        let id = match again {
            true => random_id(),
            false => self.session.id().into(),
        };
        if again {
            tracing::debug!(session = self.session.id(), client_id = %id, "client rejoined the namespace");
        }
        self.send(&packet::connected(NAMESPACE, &id));
        self.requests.greet_as(&self.session, &id);
        if options.auto_subscribe {
            self.requests.join(&self.session, &AUTO_BLOCKS).await;
            // Otherwise it is no error: clients whose JWT names other channels did not request them.
            if self.requests.may_join(&self.session, &AUTO_ANNOUNCEMENTS) {
                self.requests.join(&self.session, &AUTO_ANNOUNCEMENTS).await;
            }
        }
    }

    /// Leaves the namespace; the connection stays open and the client may rejoin.
    fn leave(&mut self) {
        if std::mem::take(&mut self.in_namespace) {
            self.requests.leave(&self.session);
        }
    }

    /// Rejects a join. `None`: unknown namespace, with the exact message of the reference server.
    fn reject_join(&mut self, namespace: &str, refusal: Option<&Refusal>) {
        let error = match refusal {
            Some(refusal) => ConnectError::from(refusal),
            None => ConnectError::unknown_namespace(),
        };
        self.send(&packet::connect_error(namespace, &error));
        let code = refusal.map(|refusal| refusal.code);
        self.requests.record_join_refusal(&self.session, code);
        self.rejected_joins += 1;
        if self.rejected_joins >= MAX_REJECTED_JOINS {
            self.session.end(CloseReason::Abuse);
        }
    }

    fn send(&self, text: &str) {
        self.session.queue(Packet::text(text));
    }

    fn end(&self, what: &'static str) {
        self.session.end(CloseReason::Protocol(what));
    }
}
