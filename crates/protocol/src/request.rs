//! Requests of clients and their answers, without I/O and independent of the transport.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ErrorCode, Refusal, msgpack};

/// Maximum length of a request's `id`, in bytes of JSON.
const MAX_ID: usize = 128;

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Subscribe(Subscribe),
    Unsubscribe(Names),
    Ping,
    Auth {
        token: String,
    },
    Subscriptions,
    /// Ids of deliveries that this user has received.
    Acknowledge(Vec<i64>),
}

/// Channel names as sent by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    One(String),
    /// Answered channel by channel.
    Many(Vec<String>),
}

impl Names {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// `subscribe` and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    pub names: Names,
    pub since: Option<Since>,
    pub epoch: Option<String>,
    pub snapshot: bool,
    pub mode: Option<Mode>,
    pub interval: Interval,
}

/// Where to resume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "since must be the last seq received (a number), or a map from channel to seq"
)]
pub enum Since {
    /// The seq of the only channel.
    One(u64),
    /// Seqs by channel name, case-insensitive.
    Each(BTreeMap<String, u64>),
}

/// Whether updates may be skipped for newer ones when the client is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Latest,
    All,
}

/// At most one update per channel in this many ms: 0 (no limit), 100, 250, 1000 or 5000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Interval(u32);

impl Interval {
    pub const NONE: Self = Self(0);

    pub fn new(ms: u64) -> Option<Self> {
        match ms {
            0 | 100 | 250 | 1_000 | 5_000 => Some(Self(ms as u32)),
            _ => None,
        }
    }

    pub fn ms(self) -> u32 {
        self.0
    }
}

#[derive(Deserialize)]
struct SubscribeData {
    #[serde(flatten)]
    names: NamesData,
    since: Option<Since>,
    epoch: Option<String>,
    snapshot: Option<bool>,
    mode: Option<Mode>,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct NamesData {
    channel: Option<String>,
    channels: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct AuthData {
    token: String,
}

#[derive(Deserialize)]
struct AcknowledgeData {
    ids: Vec<i64>,
}

impl NamesData {
    fn check(self, event: &str) -> Result<Names, Refusal> {
        match (self.channel, self.channels) {
            (Some(one), None) => Ok(Names::One(one)),
            (None, Some(many)) if !many.is_empty() => Ok(Names::Many(many)),
            (None, Some(_)) => Err(Refusal::bad_request(format!(
                "{event}: channels is empty; name at least one"
            ))),
            (Some(_), Some(_)) => Err(Refusal::bad_request(format!(
                "{event}: give channel or channels, not both"
            ))),
            (None, None) => Err(Refusal::bad_request(format!(
                "{event}: data needs channel, such as {{\"channel\":\"price:ETH\"}}, or channels"
            ))),
        }
    }
}

impl Request {
    /// Parses an event's name and the JSON text of its data.
    pub fn parse(event: &str, data: Option<&str>) -> Result<Self, Refusal> {
        match event {
            "subscribe" => Subscribe::check(read(event, data)?).map(Self::Subscribe),
            "unsubscribe" => {
                let names: NamesData = read(event, data)?;
                names.check(event).map(Self::Unsubscribe)
            }
            "ping" => Ok(Self::Ping),
            "auth" => {
                let AuthData { token } = read(event, data)?;
                Ok(Self::Auth { token })
            }
            "subscriptions" => Ok(Self::Subscriptions),
            "acknowledge" => {
                let AcknowledgeData { ids } = read(event, data)?;
                Ok(Self::Acknowledge(ids))
            }
            other => Err(Refusal::new(
                ErrorCode::UnknownEvent,
                format!(
                    "unknown event {:?}: use subscribe, unsubscribe, ping, auth, subscriptions or acknowledge",
                    other.chars().take(64).collect::<String>()
                ),
            )),
        }
    }
}

impl Subscribe {
    /// Subscribes to one channel with the defaults.
    pub fn to(name: impl Into<String>) -> Self {
        Self {
            names: Names::One(name.into()),
            since: None,
            epoch: None,
            snapshot: true,
            mode: None,
            interval: Interval::NONE,
        }
    }

    fn check(data: SubscribeData) -> Result<Self, Refusal> {
        let names = data.names.check("subscribe")?;
        if let (Some(Since::One(_)), [_, _, ..]) = (&data.since, names.as_slice()) {
            return Err(Refusal::bad_request(
                "subscribe: since is a number, but the request names several channels; use {\"channel\": seq, …}",
            ));
        }
        let interval = data.interval.unwrap_or(0);
        let Some(interval) = Interval::new(interval) else {
            return Err(Refusal::bad_request(format!(
                "subscribe: interval {interval} is not one of 0, 100, 250, 1000 and 5000"
            )));
        };
        if data.mode == Some(Mode::All) && interval != Interval::NONE {
            return Err(Refusal::bad_request(
                "subscribe: interval needs mode \"latest\"",
            ));
        }
        Ok(Self {
            names,
            since: data.since,
            epoch: data.epoch,
            snapshot: data.snapshot.unwrap_or(true),
            mode: data.mode,
            interval,
        })
    }
}

fn read<'a, T: Deserialize<'a>>(event: &str, data: Option<&'a str>) -> Result<T, Refusal> {
    let Some(data) = data else {
        return Err(Refusal::bad_request(format!("{event} needs data")));
    };
    // serde would also accept an array of the fields in order.
    if !data.starts_with('{') {
        return Err(Refusal::bad_request(format!(
            "data of {event} must be an object"
        )));
    }
    serde_json::from_str(data)
        .map_err(|error| Refusal::bad_request(format!("data of {event}: {}", shortened(&error))))
}

/// serde's message, cut so that it does not repeat long text of the client.
fn shortened(error: &serde_json::Error) -> String {
    error.to_string().chars().take(200).collect()
}

/// A request's `id`: the text of a JSON number or string, returned unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    event: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// As [`parse_text`] for a MessagePack map. The same rules apply, because it is converted to JSON first.
pub fn parse_msgpack(bytes: &[u8]) -> (Option<RequestId>, Result<Request, Refusal>) {
    match msgpack::to_json(bytes) {
        Ok(text) => parse_text(&text),
        Err(error) => {
            let message =
                format!("not a message: {error}; send one MessagePack map with event and data");
            (None, Err(Refusal::bad_request(message)))
        }
    }
}

/// Parses `{"id":…,"event":…,"data":…}`: the id, if it is valid, and the request or the error.
pub fn parse_text(text: &str) -> (Option<RequestId>, Result<Request, Refusal>) {
    // serde would also accept an array of the fields in order.
    if text.trim_ascii_start().starts_with('[') {
        let refusal = Refusal::bad_request("not a message: send an object with event and data");
        return (None, Err(refusal));
    }
    let envelope: Envelope = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) => {
            let message = format!(
                "not a message: {}; send {{\"event\":…,\"data\":…}}",
                shortened(&error)
            );
            return (None, Err(Refusal::bad_request(message)));
        }
    };
    let id = match envelope.id.map(RawValue::get) {
        None | Some("null") => None,
        Some(id) if is_id(id) => Some(RequestId(id.into())),
        Some(_) => {
            let message = format!("id must be a number or a string of at most {MAX_ID} bytes");
            return (None, Err(Refusal::bad_request(message)));
        }
    };
    let request = match envelope.event {
        Some(event) => {
            let data = envelope.data.map(RawValue::get);
            Request::parse(&event, data.filter(|data| *data != "null"))
        }
        None => Err(Refusal::bad_request("the message has no event")),
    };
    (id, request)
}

fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID && text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The JSON text of the acknowledgement's data.
    Ack(String),
    /// Server time, in ms.
    Pong {
        timestamp: i64,
    },
    Refused(Refusal),
}

impl Answer {
    /// An acknowledgement with the given data, which must serialize as a JSON object.
    pub fn ack(data: &impl Serialize) -> Self {
        match serde_json::to_string(data) {
            Ok(text) => Self::Ack(text),
            Err(error) => {
                tracing::error!(%error, "cannot serialize an answer");
                Self::Refused(Refusal::new(ErrorCode::Internal, "internal error"))
            }
        }
    }

    pub fn event(&self) -> &'static str {
        match self {
            Self::Ack(_) => "ack",
            Self::Pong { .. } => "pong",
            Self::Refused(_) => "error",
        }
    }

    /// The JSON text of the event's data.
    pub fn data(&self) -> String {
        match self {
            Self::Ack(data) => data.clone(),
            Self::Pong { timestamp } => format!(r#"{{"timestamp":{timestamp}}}"#),
            Self::Refused(refusal) => serde_json::json!(refusal).to_string(),
        }
    }

    /// As a native WebSocket message in JSON.
    pub fn text(&self, id: Option<&RequestId>) -> String {
        let (event, data) = (self.event(), self.data());
        match id {
            Some(id) => format!(
                r#"{{"event":"{event}","id":{},"data":{data}}}"#,
                id.as_json()
            ),
            None => format!(r#"{{"event":"{event}","data":{data}}}"#),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        parse_text(text).1.unwrap()
    }

    fn refusal(text: &str) -> (Option<String>, ErrorCode) {
        let (id, request) = parse_text(text);
        (
            id.map(|id| id.as_json().to_owned()),
            request.unwrap_err().code,
        )
    }

    #[test]
    fn parses_all_requests() {
        assert_eq!(
            request(r#"{"id":1,"event":"subscribe","data":{"channel":"price:ETH"}}"#),
            Request::Subscribe(Subscribe::to("price:ETH"))
        );
        let many = request(
            r#"{"id":2,"event":"subscribe","data":{"channels":["price:ETH","new-block"],"since":{"new-block":41},"epoch":"k3f9x2","interval":250}}"#,
        );
        let Request::Subscribe(many) = many else {
            panic!("{many:?}")
        };
        assert_eq!(many.names.as_slice().len(), 2);
        assert_eq!(
            many.since,
            Some(Since::Each([("new-block".to_owned(), 41)].into()))
        );
        assert_eq!(many.interval.ms(), 250);
        assert_eq!(request(r#"{"event":"ping"}"#), Request::Ping);
        assert_eq!(request(r#"{"event":"ping","data":null}"#), Request::Ping);
        let auth = request(r#"{"event":"auth","data":{"token":"eyJ"}}"#);
        assert_eq!(
            auth,
            Request::Auth {
                token: "eyJ".into()
            }
        );
    }

    #[test]
    fn parses_acknowledge() {
        let read = request(r#"{"event":"acknowledge","data":{"ids":[7,8]}}"#);
        assert_eq!(read, Request::Acknowledge(vec![7, 8]));
        for data in [
            "null",
            "{}",
            r#"{"ids":7}"#,
            r#"{"ids":["7"]}"#,
            r#"{"ids":[1.5]}"#,
        ] {
            let text = format!(r#"{{"id":1,"event":"acknowledge","data":{data}}}"#);
            let refused = (Some("1".into()), ErrorCode::BadRequest);
            assert_eq!(refusal(&text), refused, "{data}");
        }
    }

    #[test]
    fn request_id_round_trips() {
        for id in ["7", "\"a\\\"b\"", "-1.5", "\"\""] {
            let (read, _) = parse_text(&format!(r#"{{"id":{id},"event":"ping"}}"#));
            let read = read.unwrap();
            assert_eq!(read.as_json(), id);
            let text = Answer::Pong { timestamp: 5 }.text(Some(&read));
            assert_eq!(
                text,
                format!(r#"{{"event":"pong","id":{id},"data":{{"timestamp":5}}}}"#)
            );
        }
    }

    #[test]
    fn rejects_bad_messages_with_their_id() {
        use ErrorCode::{BadRequest, UnknownEvent};
        assert_eq!(refusal("nonsense"), (None, BadRequest));
        assert_eq!(refusal("[]"), (None, BadRequest));
        assert_eq!(
            refusal(r#"{"id":{"a":1},"event":"ping"}"#),
            (None, BadRequest)
        );
        assert_eq!(refusal(r#"{"id":1}"#), (Some("1".into()), BadRequest));
        assert_eq!(
            refusal(r#"{"id":1,"event":"dance"}"#),
            (Some("1".into()), UnknownEvent)
        );
        for data in [
            "null",
            "{}",
            "7",
            r#"["price:ETH"]"#,
            r#"{"channel":7}"#,
            r#"{"channels":[]}"#,
            r#"{"channel":"a","channels":["b"]}"#,
            r#"{"channels":["a","b"],"since":4}"#,
            r#"{"channel":"a","since":-1}"#,
            r#"{"channel":"a","interval":7}"#,
            r#"{"channel":"a","mode":"some"}"#,
            r#"{"channel":"a","mode":"all","interval":100}"#,
        ] {
            let text = format!(r#"{{"id":1,"event":"subscribe","data":{data}}}"#);
            assert_eq!(refusal(&text), (Some("1".into()), BadRequest), "{data}");
        }
    }

    #[test]
    fn messagepack_requests_equal_json_requests() {
        for text in [
            r#"{"id":1,"event":"subscribe","data":{"channel":"price:ETH"}}"#,
            r#"{"id":"a","event":"subscribe","data":{"channels":["price:ETH","new-block"],"since":{"new-block":41},"interval":250}}"#,
            r#"{"event":"subscribe","data":{"channel":"new-block","since":18446744073709551615,"mode":"all","snapshot":false}}"#,
            r#"{"event":"auth","data":{"token":"eyJ"}}"#,
            r#"{"event":"ping","data":null}"#,
            r#"{"id":[1],"event":"ping"}"#,
            r#"{"id":1,"event":"subscribe","data":{"channel":7}}"#,
            r#"{"id":1,"event":"subscribe","data":{"channel":"a","channel":"b"}}"#,
            r#"{"id":1,"event":"dance"}"#,
            r#"{"id":1}"#,
            r#"[1,"ping",null]"#,
            r#""ping""#,
            "7",
        ] {
            let mut packed = Vec::new();
            msgpack::from_json(text, &mut packed).unwrap();
            assert_eq!(parse_msgpack(&packed), parse_text(text), "{text}");
        }
        let (id, garbage) = parse_msgpack(b"{\"event\":\"ping\"}");
        assert_eq!(
            (id, garbage.unwrap_err().code),
            (None, ErrorCode::BadRequest)
        );
    }
}
