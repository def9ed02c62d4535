//! Requests of clients and their answers, without I/O and independent of the transport.

mod answer;
mod id;
mod names;
mod publish;
mod subscribe;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use self::id::MAX_ID;
pub use self::{
    answer::Answer,
    id::RequestId,
    names::Names,
    publish::{Publish, Signal},
    subscribe::{Interval, IntervalError, Mode, Since, Subscribe},
};
pub(crate) use self::{
    names::NamesData,
    publish::{PresenceData, PublishData, SignalData},
    subscribe::SubscribeData,
};
use crate::{ErrorCode, Refusal, control::to_json, msgpack};

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Begins subscriptions, or replaces their options.
    Subscribe(Subscribe),
    /// Ends subscriptions.
    Unsubscribe(Names),
    /// Asks for a `pong`.
    Ping,
    /// Authenticates the session, or renews its JWT.
    Auth {
        /// A JWT; an empty one counts as none.
        token: String,
    },
    /// Asks for the session's subscriptions.
    Subscriptions,
    /// Ids of deliveries that this user has received.
    Acknowledge(Vec<i64>),
    /// Stores and publishes a message.
    Publish(Publish),
    /// Sends what is not stored to a room.
    Signal(Signal),
    /// Asks who is in a room.
    Presence {
        /// The channel, as sent by the client.
        channel: String,
    },
}

/// Authenticates the session, or renews its JWT.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Auth"))]
pub(crate) struct AuthData {
    /// A JWT; an empty one counts as none.
    token: String,
}

/// Acknowledges deliveries of price alerts and messages: no later snapshot includes them.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Acknowledge"))]
pub(crate) struct AcknowledgeData {
    /// Ids of deliveries; at most 1,000 (`limits.acknowledged_ids`).
    #[cfg_attr(feature = "schema", schemars(length(max = 1_000)))]
    ids: Vec<i64>,
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
            "publish" => {
                let publish: PublishData = read(event, data)?;
                Ok(Self::Publish(publish.into()))
            }
            "signal" => {
                let signal: SignalData = read(event, data)?;
                Ok(Self::Signal(signal.into()))
            }
            "presence" => {
                let PresenceData { channel } = read(event, data)?;
                Ok(Self::Presence { channel })
            }
            other => Err(Refusal::new(
                ErrorCode::UnknownEvent,
                format!(
                    "unknown event {:?}: use subscribe, unsubscribe, ping, auth, subscriptions, acknowledge, publish, signal or presence",
                    other.chars().take(64).collect::<String>()
                ),
            )),
        }
    }

    /// The name of the event.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Ping => "ping",
            Self::Auth { .. } => "auth",
            Self::Subscriptions => "subscriptions",
            Self::Acknowledge(_) => "acknowledge",
            Self::Publish(_) => "publish",
            Self::Signal(_) => "signal",
            Self::Presence { .. } => "presence",
        }
    }

    /// As a native WebSocket message in JSON: the inverse of [`parse_text`].
    pub fn text(&self, id: Option<&RequestId>) -> String {
        let data = match self {
            Self::Subscribe(subscribe) => Some(to_json(&SubscribeData::from(subscribe))),
            Self::Unsubscribe(names) => Some(to_json(&NamesData::from(names))),
            Self::Auth { token } => Some(to_json(&AuthData {
                token: token.clone(),
            })),
            Self::Acknowledge(ids) => Some(to_json(&AcknowledgeData { ids: ids.clone() })),
            Self::Publish(publish) => Some(to_json(&PublishData::from(publish))),
            Self::Signal(signal) => Some(to_json(&SignalData::from(signal))),
            Self::Presence { channel } => Some(to_json(&PresenceData {
                channel: channel.clone(),
            })),
            Self::Ping | Self::Subscriptions => None,
        };
        let id = id.map(|id| format!(r#""id":{},"#, id.as_json()));
        let data = data.map(|data| format!(r#","data":{data}"#));
        format!(
            r#"{{{}"event":"{}"{}}}"#,
            id.unwrap_or_default(),
            self.event(),
            data.unwrap_or_default()
        )
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
        Some(json) => match RequestId::from_json(json) {
            Some(id) => Some(id),
            None => {
                let message = format!("id must be a number or a string of at most {MAX_ID} bytes");
                return (None, Err(Refusal::bad_request(message)));
            }
        },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;

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
    fn parses_messages_with_their_defaults() {
        let read = request(
            r#"{"event":"publish","data":{"channel":"room:a","type":"chat","payload": { "n" : 1.0 }}}"#,
        );
        let Request::Publish(publish) = read else {
            panic!("{read:?}")
        };
        assert_eq!(publish.payload.as_json(), r#"{"n":1.0}"#);
        assert_eq!((publish.key, publish.echo), (None, true));
        let read = request(r#"{"event":"signal","data":{"channel":"room:a","type":"typing"}}"#);
        let Request::Signal(signal) = read else {
            panic!("{read:?}")
        };
        assert_eq!(signal.payload, Payload::null());
    }

    #[test]
    fn rejects_bad_messages_of_rooms() {
        let (long, deep) = ("k".repeat(129), "[".repeat(65) + &"]".repeat(65));
        for (event, data) in [
            ("publish", r#"{"channel":"room:a"}"#.to_owned()),
            ("publish", r#"{"type":"chat"}"#.to_owned()),
            ("publish", r#"{"channel":"room:a","type":""}"#.to_owned()),
            (
                "publish",
                r#"{"channel":"room:a","type":"a\nb"}"#.to_owned(),
            ),
            (
                "publish",
                r#"{"channel":"room:a","type":"t","key":""}"#.to_owned(),
            ),
            (
                "publish",
                format!(r#"{{"channel":"room:a","type":"t","key":"{long}"}}"#),
            ),
            (
                "publish",
                format!(r#"{{"channel":"room:a","type":"t","payload":{deep}}}"#),
            ),
            (
                "signal",
                r#"{"channel":"room:a","type":"t","payload":"\ud83e"}"#.to_owned(),
            ),
            (
                "publish",
                r#"{"channel":"room:a","type":"t","echo":1}"#.to_owned(),
            ),
            ("signal", r#"{"channel":"room:a"}"#.to_owned()),
            ("presence", "{}".to_owned()),
            ("subscribe", r#"{"channel":"room:a","info":[]}"#.to_owned()),
            (
                "subscribe",
                r#"{"channel":"room:a","presence":1}"#.to_owned(),
            ),
        ] {
            let text = format!(r#"{{"id":1,"event":"{event}","data":{data}}}"#);
            let refused = (Some("1".into()), ErrorCode::BadRequest);
            assert_eq!(refusal(&text), refused, "{text}");
        }
        let info = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_024));
        let text =
            format!(r#"{{"event":"subscribe","data":{{"channel":"room:a","info":{info}}}}}"#);
        assert_eq!(refusal(&text), (None, ErrorCode::PayloadTooLarge));
    }

    #[test]
    fn request_text_is_parsed_back() {
        let resumed = Subscribe {
            names: Names::Many(vec!["price:ETH".into(), "user:a\"b".into()]),
            since: Some(Since::Each([("price:ETH".into(), u64::MAX)].into())),
            epoch: Some("k3f9x2".into()),
            snapshot: false,
            mode: Some(Mode::Latest),
            interval: Interval::new(250).unwrap(),
            presence: true,
            info: Some(r#"{"name":"Al"}"#.parse().unwrap()),
        };
        let publish = Publish {
            channel: "room:lobby".into(),
            message_type: "chat".parse().unwrap(),
            payload: r#"{"n":1.50,"e":1e400}"#.parse().unwrap(),
            key: Some("k\"1".parse().unwrap()),
            echo: false,
        };
        let signal = Signal {
            channel: "room:lobby".into(),
            message_type: "typing".parse().unwrap(),
            payload: Payload::null(),
        };
        let since = Subscribe {
            since: Some(Since::One(41)),
            ..Subscribe::to("new-block")
        };
        let token = "eyJ".to_owned();
        for (number, request) in [
            Request::Subscribe(Subscribe::to("new-block")),
            Request::Subscribe(since),
            Request::Subscribe(resumed),
            Request::Unsubscribe(Names::One("price:ETH".into())),
            Request::Unsubscribe(Names::Many(vec!["price:ETH".into()])),
            Request::Ping,
            Request::Auth { token },
            Request::Subscriptions,
            Request::Acknowledge(vec![7, -8]),
            Request::Publish(Publish {
                key: None,
                echo: true,
                ..publish.clone()
            }),
            Request::Publish(publish),
            Request::Signal(signal),
            Request::Presence {
                channel: "room:lobby".into(),
            },
        ]
        .into_iter()
        .enumerate()
        {
            let id = (number > 0).then(|| RequestId::from(number as u64));
            let text = request.text(id.as_ref());
            assert_eq!(parse_text(&text), (id, Ok(request)), "{text}");
        }
        assert_eq!(
            Request::Subscribe(Subscribe::to("new-block")).text(Some(&RequestId::from(1))),
            r#"{"id":1,"event":"subscribe","data":{"channel":"new-block"}}"#
        );
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
            r#"{"event":"publish","data":{"channel":"room:a","type":"chat","payload":{"n":[1,-2.5,0.125]},"key":"1","echo":false}}"#,
            r#"{"event":"subscribe","data":{"channel":"room:a","presence":true,"info":{"price":1.5}}}"#,
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
