//! One client connection over any transport, with all received messages in one form.

mod event_stream;
mod polling;
mod socketio;
mod websocket;

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{TIMEOUT, assert_answer_described, assert_merged_described};

pub use event_stream::EventStream;
use polling::Polling;
use socketio::SocketIo;
pub use socketio::rejected_join;
use websocket::WebSocket;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    SocketIo,
    Polling,
    EventStream,
}

/// A received message.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    Connected(Value),
    /// The response to a request, or to the query of an event stream.
    Ack(Value),
    Message(Message),
    /// Anything else, such as an `error`.
    Other(Value),
    /// The end of the connection, with its reason, and the close code where the transport has one.
    Closed(u16, String),
}

/// A message of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub event: String,
    pub channel: String,
    pub seq: Option<u64>,
    pub prev: Option<u64>,
    pub snapshot: bool,
    pub data: Value,
    /// Event streams: the positions in the message's `id:`.
    pub positions: Option<BTreeMap<String, u64>>,
}

/// The query that an event stream is opened with.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub channels: Vec<String>,
    pub mode: Option<&'static str>,
    pub interval: u32,
    pub last_event_id: Option<String>,
    pub epoch: Option<String>,
    pub token: Option<String>,
}

pub enum Connection {
    WebSocket(Box<WebSocket>),
    SocketIo(Box<SocketIo>),
    Polling(Polling),
    EventStream(EventStream),
}

impl Connection {
    /// Connects; `None` when the server accepts no connection now. `base` is, for example, `http://127.0.0.1:3000`.
    pub async fn open(transport: Transport, base: &str, query: &Query) -> Option<Self> {
        let opening = async {
            Some(match transport {
                Transport::WebSocket => Self::WebSocket(Box::new(WebSocket::open(base).await?)),
                Transport::SocketIo => Self::SocketIo(Box::new(SocketIo::open(base).await?)),
                Transport::Polling => Self::Polling(Polling::open(base).await?),
                Transport::EventStream => Self::EventStream(EventStream::open(base, query).await?),
            })
        };
        match tokio::time::timeout(TIMEOUT, opening).await {
            Ok(connection) => connection,
            Err(_) => panic!("{transport:?} was not open within {TIMEOUT:?}"),
        }
    }

    /// Sends a request; its response is received as a [`Received::Ack`]. A lost connection is reported by
    /// [`Self::receive`].
    pub async fn send_request(&mut self, event: &str, data: &Value) {
        match self {
            Self::WebSocket(connection) => connection.send_request(event, data).await,
            Self::SocketIo(connection) => connection.send_request(event, data).await,
            Self::Polling(connection) => connection.send_request(event, data).await,
            Self::EventStream(_) => panic!("an event stream accepts no requests"),
        }
    }

    /// Sends a request of a Socket.IO client that wants no response.
    pub async fn emit(&mut self, event: &str, data: &Value) {
        match self {
            Self::SocketIo(connection) => connection.emit(event, data).await,
            Self::Polling(connection) => connection.emit(event, data).await,
            Self::WebSocket(_) | Self::EventStream(_) => panic!("not a Socket.IO client"),
        }
    }

    /// Receives up to the next response.
    pub async fn receive_response(&mut self) -> Value {
        loop {
            let received = tokio::time::timeout(TIMEOUT, self.receive()).await;
            match received.expect("a response in time") {
                Received::Ack(answer) => return answer,
                Received::Closed(code, reason) => panic!("closed with {code} {reason}"),
                _ => {}
            }
        }
    }

    /// Waits without a time limit.
    pub async fn receive(&mut self) -> Received {
        match self {
            Self::WebSocket(connection) => connection.receive().await,
            Self::SocketIo(connection) => connection.receive().await,
            Self::Polling(connection) => connection.receive().await,
            Self::EventStream(connection) => connection.receive().await,
        }
    }
}

/// Parses an event with `data`, where channel and position are merged into the data.
fn from_merged(event: &str, data: Value) -> Received {
    assert_merged_described(event, &data);
    match event {
        "connected" => Received::Connected(data),
        "ack" => Received::Ack(data),
        _ if data.get("channel").is_some() && event != "error" => message(event, &data, &data),
        _ => Received::Other(json!({ "event": event, "data": data })),
    }
}

fn message(event: &str, position: &Value, data: &Value) -> Received {
    Received::Message(Message {
        event: event.to_owned(),
        channel: position["channel"].as_str().unwrap().to_owned(),
        seq: position["seq"].as_u64(),
        prev: position["prev"].as_u64(),
        snapshot: position["snapshot"] == true,
        data: data.clone(),
        positions: None,
    })
}

/// Parses a Socket.IO packet of the namespace, without its Engine.IO framing; `None` for packets without a message.
fn packet(text: &str) -> Option<Received> {
    let (kind, rest) = text.split_once("/realtime,")?;
    let body = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    match kind {
        "42" => {
            let [event, data]: [Value; 2] = serde_json::from_str(body).unwrap();
            Some(from_merged(event.as_str().unwrap(), data))
        }
        "43" => {
            let [answer]: [Value; 1] = serde_json::from_str(body).unwrap();
            assert_answer_described(&answer);
            Some(Received::Ack(answer))
        }
        "40" => None,
        _ => Some(Received::Other(text.into())),
    }
}

const JOIN: &str = r#"40/realtime,{"autoSubscribe":false}"#;

/// Without an id, the server sends no response.
fn request(id: Option<u64>, event: &str, data: &Value) -> String {
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    format!("42/realtime,{id}{}", json!([event, data]))
}

type Queue = VecDeque<Received>;
