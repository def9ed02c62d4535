//! The examples in docs/protocol.md are messages of the protocol, and every message has one.

use std::collections::BTreeSet;

use chaincast_protocol::{
    Event, EventName, ServerMessage,
    request::parse_text,
    schema::{Schemas, Sender},
};
use serde_json::Value;

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");
const HASH: &str = "0x00000000000000000000000000000000000000000000000000000000000000ab";
const ADDRESS: &str = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";

/// The lines of JSON blocks.
fn examples() -> impl Iterator<Item = &'static str> {
    let mut within = false;
    PROTOCOL.lines().filter(move |line| match *line {
        "```json" => {
            within = true;
            false
        }
        "```" => {
            within = false;
            false
        }
        _ => within,
    })
}

/// Writes out the abbreviated hashes and addresses.
fn complete(value: &mut Value, key: &str) {
    match value {
        Value::String(text) if text == "0x…" => {
            *text = match key {
                "address" | "from" | "to" | "token" => ADDRESS,
                _ => HASH,
            }
            .to_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(|item| complete(item, key)),
        Value::Object(object) => object
            .iter_mut()
            .for_each(|(key, value)| complete(value, key)),
        _ => {}
    }
}

#[test]
fn documented_examples_are_messages() {
    let schemas = Schemas::new();
    let mut documented = BTreeSet::new();
    for line in examples() {
        let mut message: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        complete(&mut message, "");
        schemas
            .check(&message)
            .unwrap_or_else(|mismatch| panic!("{mismatch} in {line}"));
        let event = message["event"].as_str().unwrap().to_owned();
        let text = message.to_string();
        if schemas.message(&event).unwrap().sender == Sender::Client {
            parse_text(&text)
                .1
                .unwrap_or_else(|refusal| panic!("{refusal}: {line}"));
        } else {
            let parsed: ServerMessage<'_> = serde_json::from_str(&text).unwrap();
            let data = Event::parse(&EventName::from(event.as_str()), parsed.data.get()).unwrap();
            if let Some(data) = data {
                assert_eq!(
                    serde_json::to_value(data).unwrap(),
                    message["data"],
                    "{line}"
                );
            }
        }
        documented.insert(event);
    }
    let events: BTreeSet<String> = schemas.messages.into_iter().map(|m| m.event).collect();
    assert_eq!(documented, events);
}
