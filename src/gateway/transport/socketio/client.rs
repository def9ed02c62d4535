//! What a Socket.IO client sends, packet by packet, whichever way it came: namespaces, tokens, events.
//!
//! A client may use its Engine.IO connection for nothing but the namespace `/realtime`. Whatever breaks one of
//! the two protocols ends the session; whatever is merely a bad request is answered.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Map, Value, json};

use super::reply::reply;
use crate::gateway::{
    CloseReason, Refusal,
    auth::MAX_TOKEN_BYTES,
    encode::{NAMESPACE, Packet},
    protocol::Request,
    request::refusal_of,
    session::{Session, random_id},
    socketio::{
        engine,
        packet::{self, Kind},
    },
};

/// The channel that a client gets without asking, as the reference clients expect.
const JOINED: &str = "new-block";
/// Refused attempts to join a namespace before the session ends: each may cost a signature's verification.
const MAX_REFUSED: u8 = 16;

/// The receiving side of one connection. Packets are to be given to it one after the other.
pub struct Client {
    session: Arc<Session>,
    /// From the HTTP handshake, for clients that give none when they join.
    token: Option<Box<str>>,
    /// Whether the client is in the namespace now.
    inside: bool,
    /// Whether it ever was.
    arrived: Arc<AtomicBool>,
    refused: u8,
    /// A binary packet whose attachments have not all arrived.
    awaited: Option<Awaited>,
}

struct Awaited {
    attachments: usize,
    /// For events: whether and under which number an acknowledgement is wanted.
    event: Option<Option<u64>>,
}

/// What a client may say when it joins.
struct Handshake {
    token: Option<String>,
    auto_subscribe: bool,
}

impl Handshake {
    /// Reads `auth` of the reference client; the error is for its developer.
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
    pub fn new(session: Arc<Session>, token: Option<&str>) -> Self {
        Self {
            session,
            token: token
                .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_BYTES)
                .map(Into::into),
            inside: false,
            arrived: Arc::default(),
            refused: 0,
            awaited: None,
        }
    }

    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Becomes true when the client joins the namespace for the first time.
    pub fn arrived(&self) -> &Arc<AtomicBool> {
        &self.arrived
    }

    /// Takes the text of one Engine.IO packet.
    pub async fn text(&mut self, text: &str) {
        match engine::Packet::parse(text) {
            Ok(packet) => self.packet(packet).await,
            Err(error) => self.end(error.what()),
        }
    }

    /// Takes one Engine.IO packet.
    pub async fn packet(&mut self, packet: engine::Packet<'_>) {
        self.session.heard();
        match packet {
            engine::Packet::Close => self.session.end(CloseReason::Left(1005)),
            engine::Packet::Ping(text) => self.say(&engine::pong(text)),
            engine::Packet::Message(text) => self.message(text).await,
            engine::Packet::Binary(_) => self.attachment().await,
            // A pong did its work by arriving; an upgrade outside of one means nothing.
            engine::Packet::Pong(_) | engine::Packet::Upgrade | engine::Packet::Noop => {}
        }
    }

    async fn message(&mut self, text: &str) {
        if self.awaited.is_some() {
            return self.end("a packet came in between a binary packet's attachments");
        }
        let packet = match packet::Packet::parse(text) {
            Ok(packet) => packet,
            Err(error) => return self.end(error.what()),
        };
        match packet.kind {
            Kind::Connect(handshake) => self.connect(packet.namespace, handshake).await,
            Kind::Disconnect if packet.namespace == NAMESPACE => self.leave(),
            // Not in that namespace in the first place.
            Kind::Disconnect => {}
            _ if packet.namespace != NAMESPACE || !self.inside => {
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
                self.awaited = Some(Awaited { attachments, event });
            }
            Kind::Ack { attachments: 0 } => {}
            Kind::Ack { attachments } => {
                let event = None;
                self.awaited = Some(Awaited { attachments, event });
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
            // The channel's bare name instead of an object.
            .map(|name| format!(r#"{{"channel":{name}}}"#));
        let request = Request::parse(&event, channel.as_deref().or(data));
        self.session.request(request, reply(ack)).await;
    }

    /// Counts an attachment; with the last one its packet is whole, and refused.
    async fn attachment(&mut self) {
        let Some(awaited) = &mut self.awaited else {
            return self.end("an attachment without a packet");
        };
        awaited.attachments -= 1;
        if awaited.attachments > 0 {
            return;
        }
        if let Some(Awaited {
            event: Some(ack), ..
        }) = self.awaited.take()
        {
            let refusal = Refusal::bad_request("events with binary data are not understood here");
            self.session.request(Err(refusal), reply(ack)).await;
        }
    }

    async fn connect(&mut self, namespace: &str, handshake: Option<&str>) {
        if namespace != NAMESPACE {
            return self.refuse(namespace, None);
        }
        if self.inside {
            return self.end("the namespace was joined twice");
        }
        // The first time belongs to the handshake; to come and go is as much work as any request.
        let again = self.arrived.load(Ordering::Relaxed);
        if again && let Err(refusal) = self.session.admit() {
            return self.refuse(namespace, Some(&refusal));
        }
        let handshake = match Handshake::parse(handshake) {
            Ok(handshake) => handshake,
            Err(message) => {
                let refusal = Refusal::bad_request(message);
                return self.refuse(namespace, Some(&refusal));
            }
        };
        let token = handshake.token.as_deref().or(self.token.as_deref());
        let authenticator = self.session.hub().authenticator();
        match authenticator.identify(token).await {
            Ok(identity) => self.session.identify(identity),
            Err(error) => {
                let refusal = refusal_of(&error);
                return self.refuse(namespace, Some(&refusal));
            }
        }
        self.inside = true;
        self.arrived.store(true, Ordering::Relaxed);
        // Who leaves and joins again may be somebody else, and is not to be taken for the one who left.
        let id = match again {
            true => random_id(),
            false => self.session.id().into(),
        };
        if again {
            tracing::debug!(session = self.session.id(), client_id = %id, "the namespace was joined again");
        }
        self.say(&packet::connected(NAMESPACE, &id));
        self.session.greet_as(&id);
        if handshake.auto_subscribe {
            self.session.join(JOINED).await;
        }
    }

    /// Out of the namespace, but not off the connection: the client may join again.
    fn leave(&mut self) {
        if std::mem::take(&mut self.inside) {
            self.session.hub().unsubscribe_all(&self.session);
            self.session.identify(None);
        }
    }

    /// `None`: there is no such namespace, in exactly the words that clients of the reference expect.
    fn refuse(&mut self, namespace: &str, refusal: Option<&Refusal>) {
        let error = match refusal {
            Some(refusal) => connect_error(refusal),
            None => json!({ "message": "Invalid namespace" }),
        };
        self.say(&packet::connect_error(namespace, &error));
        self.session
            .refused_to_join(refusal.map(|refusal| refusal.code));
        self.refused += 1;
        if self.refused >= MAX_REFUSED {
            self.session.end(CloseReason::Abuse);
        }
    }

    fn say(&self, text: &str) {
        self.session.queue(Packet::text(text));
    }

    fn end(&self, what: &'static str) {
        self.session.end(CloseReason::Protocol(what));
    }
}

/// What `connect_error` says: the message, and in `data` the rest of a refusal, for programs.
fn connect_error(refusal: &Refusal) -> Value {
    let mut data = json!(refusal);
    let message = data.as_object_mut().and_then(|data| data.remove("message"));
    json!({"message": message, "data": data})
}
