//! One connection of a client, over any transport, with what it hears brought to one shape.

mod event_stream;
mod polling;
mod socketio;
mod websocket;

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::PATIENCE;

pub use event_stream::EventStream;
use polling::Polling;
use socketio::SocketIo;
use websocket::WebSocket;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    WebSocket,
    SocketIo,
    Polling,
    EventStream,
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Connected(Value),
    /// The answer to a request, or of an event stream to its query.
    Ack(Value),
    Message(Message),
    /// Anything else, such as an `error`.
    Other(Value),
    /// The end, with the close code where the transport has one, and its reason.
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
    /// Event streams: the `id:` that came with it.
    pub places: Option<BTreeMap<String, u64>>,
}

/// What an event stream is opened with.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub channels: Vec<String>,
    pub mode: Option<&'static str>,
    pub interval: u32,
    pub last_event_id: Option<String>,
    pub epoch: Option<String>,
    pub token: Option<String>,
}

pub enum Line {
    WebSocket(Box<WebSocket>),
    SocketIo(Box<SocketIo>),
    Polling(Polling),
    EventStream(EventStream),
}

impl Line {
    /// Connects; `None` when the server takes nobody now. `base` is such as `http://127.0.0.1:3000`.
    pub async fn open(over: Over, base: &str, query: &Query) -> Option<Self> {
        let opening = async {
            Some(match over {
                Over::WebSocket => Self::WebSocket(Box::new(WebSocket::open(base).await?)),
                Over::SocketIo => Self::SocketIo(Box::new(SocketIo::open(base).await?)),
                Over::Polling => Self::Polling(Polling::open(base).await?),
                Over::EventStream => Self::EventStream(EventStream::open(base, query).await?),
            })
        };
        match tokio::time::timeout(PATIENCE, opening).await {
            Ok(line) => line,
            Err(_) => panic!("{over:?} was not open within {PATIENCE:?}"),
        }
    }

    /// Makes a request; its answer is heard as an [`Heard::Ack`]. A line that is gone says so when it is heard.
    pub async fn ask(&mut self, event: &str, data: &Value) {
        match self {
            Self::WebSocket(line) => line.ask(event, data).await,
            Self::SocketIo(line) => line.ask(event, data).await,
            Self::Polling(line) => line.ask(event, data).await,
            Self::EventStream(_) => panic!("an event stream takes no requests"),
        }
    }

    /// Hears up to the next answer.
    pub async fn answer(&mut self) -> Value {
        loop {
            let heard = tokio::time::timeout(PATIENCE, self.hear()).await;
            match heard.expect("an answer in time") {
                Heard::Ack(answer) => return answer,
                Heard::Closed(code, reason) => panic!("closed with {code} {reason}"),
                _ => {}
            }
        }
    }

    /// Waits for as long as it takes.
    pub async fn hear(&mut self) -> Heard {
        match self {
            Self::WebSocket(line) => line.hear().await,
            Self::SocketIo(line) => line.hear().await,
            Self::Polling(line) => line.hear().await,
            Self::EventStream(line) => line.hear().await,
        }
    }
}

/// What an event with `data` is, where channel and position are merged into the data.
fn merged(event: &str, data: Value) -> Heard {
    match event {
        "connected" => Heard::Connected(data),
        "ack" => Heard::Ack(data),
        _ if data.get("channel").is_some() && event != "error" => message(event, &data, &data),
        _ => Heard::Other(json!({ "event": event, "data": data })),
    }
}

fn message(event: &str, place: &Value, data: &Value) -> Heard {
    Heard::Message(Message {
        event: event.to_owned(),
        channel: place["channel"].as_str().unwrap().to_owned(),
        seq: place["seq"].as_u64(),
        prev: place["prev"].as_u64(),
        snapshot: place["snapshot"] == true,
        data: data.clone(),
        places: None,
    })
}

/// Socket.IO packets of the namespace, without their Engine.IO framing: `None` for those that are no news.
fn packet(text: &str) -> Option<Heard> {
    let (kind, rest) = text.split_once("/realtime,")?;
    let body = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    match kind {
        "42" => {
            let [event, data]: [Value; 2] = serde_json::from_str(body).unwrap();
            Some(merged(event.as_str().unwrap(), data))
        }
        "43" => {
            let [answer]: [Value; 1] = serde_json::from_str(body).unwrap();
            Some(Heard::Ack(answer))
        }
        "40" => None,
        _ => Some(Heard::Other(text.into())),
    }
}

const JOIN: &str = r#"40/realtime,{"autoSubscribe":false}"#;

fn request(id: u64, event: &str, data: &Value) -> String {
    format!("42/realtime,{id}{}", json!([event, data]))
}

type Heap = VecDeque<Heard>;
