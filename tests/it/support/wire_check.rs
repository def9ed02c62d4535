//! Checks that the types and the schemas of the protocol describe what the server sends: nothing more, nothing less.

use std::{collections::BTreeSet, sync::LazyLock};

use chaincast_protocol::{
    CloseReason, Event, EventName, Heartbeat, LiveEvent, Refusal, ServerMessage,
    control::{
        Ack, Closed, ConnectError, Connected, Pong, RefusedChannel, RetryAfter, TokenExpiring,
    },
    msgpack,
    schema::Schemas,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::new);

/// The keys of amounts, by the schemas.
static AMOUNTS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let definitions = SCHEMAS.definitions.values();
    let properties = definitions.filter_map(|schema| schema["properties"].as_object());
    let is_amount = |schema: &Value| schema.to_string().contains("/Decimal\"");
    let amounts = properties.flatten().filter(|(_, schema)| is_amount(schema));
    amounts.map(|(name, _)| name.clone()).collect()
});

/// What event streams and Socket.IO add to the data of an event.
const POSITION: [&str; 4] = ["channel", "seq", "prev", "snapshot"];

/// Checks the text of a WebSocket message in JSON: the types must serialize it to the same bytes.
pub fn assert_described(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    if let Err(mismatch) = SCHEMAS.check(&value) {
        panic!("no schema describes {text}: {mismatch}");
    }
    let message: ServerMessage<'_> = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&message).unwrap(), text);
    let (sent, again) = (
        message.data.get(),
        serialized(&message.event, message.data.get()),
    );
    match message.event.as_str() {
        // The gateway lists the channels in its own order.
        "heartbeat" => assert_eq!(parsed(&again), parsed(sent)),
        _ => assert_eq!(again, sent, "{text}"),
    }
}

/// Checks a WebSocket message in MessagePack, and returns it as in JSON: its amounts must be strings.
pub fn assert_packed_described(bytes: &[u8]) -> String {
    let mut text = msgpack::to_json(bytes).unwrap();
    for key in AMOUNTS.iter() {
        let start = format!("\"{key}\":");
        let mut from = 0;
        while let Some(at) = text[from..].find(&start) {
            from += at + start.len();
            let rest = text[from..].strip_prefix('"');
            let rest = rest.unwrap_or_else(|| panic!("{key} is not a string in {text}"));
            let amount = rest.split('"').next().unwrap().to_owned();
            text.replace_range(from..from + amount.len() + 2, &amount);
        }
    }
    assert_described(&text);
    text
}

/// Checks the reason of a close frame.
pub fn assert_close_described(code: u16, reason: &str) {
    let going_away = CloseReason::GoingAway { retry_after_ms: 0 };
    if code == going_away.code() {
        check_as::<RetryAfter>("RetryAfter", &parsed(reason));
    }
}

/// Checks the payload of a packet that rejects a join of a Socket.IO client.
pub fn assert_rejection_described(json: &str) {
    check_as::<ConnectError>("ConnectError", &parsed(json));
}

/// Checks an event of another transport, where the position is among the data.
pub fn assert_merged_described(event: &str, merged: &Value) {
    match event {
        "closed" => return check_as::<Closed>("Closed", merged),
        "error" if merged.get("channel").is_some() => {
            return check_as::<RefusedChannel>("RefusedChannel", merged);
        }
        _ => {}
    }
    let mut data = merged.as_object().unwrap().clone();
    let mut message = Map::new();
    message.insert("event".to_owned(), event.into());
    // An ack has a channel and a seq of its own.
    if !matches!(event, "connected" | "ack" | "pong" | "error") {
        for key in POSITION {
            message.extend(data.remove_entry(key));
        }
    }
    message.insert("data".to_owned(), data.into());
    let message = Value::Object(message);
    if let Err(mismatch) = SCHEMAS.check(&message) {
        panic!("no schema describes {message}: {mismatch}");
    }
    let again = serialized(event, &message["data"].to_string());
    assert_eq!(parsed(&again), message["data"]);
}

/// The answer to a request of a Socket.IO client, which has no event.
pub fn assert_answer_described(answer: &Value) {
    if answer.get("success").is_some() {
        assert_merged_described("ack", answer);
    } else {
        assert_merged_described("pong", answer);
    }
}

/// The data of an event, parsed by its type and serialized again.
fn serialized(event: &str, data: &str) -> String {
    match event {
        Connected::EVENT => again::<Connected>(data),
        Ack::EVENT => again::<Ack>(data),
        Pong::EVENT => again::<Pong>(data),
        Refusal::EVENT => again::<Refusal>(data),
        TokenExpiring::EVENT => again::<TokenExpiring>(data),
        "heartbeat" => again::<Heartbeat>(data),
        event => {
            let name = EventName::from(event);
            let parsed = Event::parse(&name, data);
            let parsed = parsed.unwrap_or_else(|error| panic!("{error} in {event} {data}"));
            if let Some(stored) = parsed {
                return serde_json::to_string(&stored).unwrap();
            }
            let parsed = LiveEvent::parse(&name, data);
            let parsed = parsed.unwrap_or_else(|error| panic!("{error} in {event} {data}"));
            let live = parsed.unwrap_or_else(|| panic!("no type for {event}"));
            serde_json::to_string(&live).unwrap()
        }
    }
}

fn again<T: DeserializeOwned + Serialize>(data: &str) -> String {
    let parsed: T = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data}"));
    serde_json::to_string(&parsed).unwrap()
}

fn check_as<T: DeserializeOwned + Serialize>(name: &str, value: &Value) {
    if let Err(mismatch) = SCHEMAS.check_as(name, value) {
        panic!("{name} does not describe {value}: {mismatch}");
    }
    assert_eq!(parsed(&again::<T>(&value.to_string())), *value);
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A message that no type describes must be found.
#[test]
fn undescribed_messages_are_found() {
    for message in [
        json!({"event": "pong", "data": {"timestamp": 1, "novel": 2}}),
        json!({"event": "novel", "data": {}}),
        json!({"event": "token-expiring", "data": {"expiresAt": 1}}),
    ] {
        let checked = std::panic::catch_unwind(|| assert_described(&message.to_string()));
        assert!(checked.is_err(), "{message}");
    }
}

/// Amounts become numbers again, with all their digits.
#[test]
fn packed_messages_are_read_as_json() {
    let text = r#"{"event":"candle-update","channel":"candle:ETH:1m","seq":8,"data":{"token":"ETH","interval":"1m","timestamp":60000,"open":3456.100000000000000001,"high":3457,"low":0.5,"close":3456,"count":2,"closed":false,"synthetic":false}}"#;
    let mut packed = Vec::new();
    msgpack::from_json(text, &mut packed).unwrap();
    assert_eq!(assert_packed_described(&packed), text);
}
