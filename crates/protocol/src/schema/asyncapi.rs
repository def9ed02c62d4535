//! Writes the AsyncAPI document of the WebSocket in JSON.

use serde_json::{Map, Value, json};

use super::{
    messages::{Message, Schemas, Sender},
    yaml,
};

/// What is not derived from the types: above `channels`.
const HEAD: &str = include_str!("asyncapi_head.yaml");

/// The text of docs/asyncapi.yaml.
pub fn asyncapi(schemas: &Schemas) -> String {
    let mut out = format!("# {}\n{HEAD}", super::GENERATED);
    let mut section = |name: &str, value: Value| {
        out.push_str(name);
        out.push(':');
        yaml::write_value(&value, 2, &mut out);
    };
    section("channels", json!({ "realtime": channel(schemas) }));
    section("operations", operations(schemas));
    let messages = schemas.messages.iter();
    let messages: Map<String, Value> = messages
        .map(|message| (key(message), component(message, schemas)))
        .collect();
    section(
        "components",
        json!({
            "securitySchemes": {
                "jwt": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
            "messages": messages,
            "schemas": schemas.definitions,
        }),
    );
    out
}

fn channel(schemas: &Schemas) -> Value {
    let messages = schemas.messages.iter();
    let messages: Map<String, Value> = messages
        .map(|message| {
            let key = key(message);
            let reference = reference("components/messages", &key);
            (key, reference)
        })
        .collect();
    json!({
        "address": "/realtime",
        "title": "One WebSocket session",
        "messages": messages,
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": { "token": { "type": "string", "description": "A JWT" } },
                },
                "headers": {
                    "type": "object",
                    "properties": {
                        "Sec-WebSocket-Protocol": {
                            "type": "string",
                            "default": "chaincast.v1.json",
                            "description": "The server selects the first of chaincast.v1.json and chaincast.v1.msgpack that the client offers",
                        },
                        "Sec-WebSocket-Extensions": {
                            "type": "string",
                            "description": "permessage-deflate, if the server's configuration enables it; without context takeover",
                        },
                    },
                },
            },
        },
    })
}

fn operations(schemas: &Schemas) -> Value {
    let sent_by = |sender: Sender| -> Vec<Value> {
        let messages = schemas.messages.iter();
        messages
            .filter(|message| message.sender == sender)
            .map(|message| reference("channels/realtime/messages", &key(message)))
            .collect()
    };
    let channel = reference("channels", "realtime");
    json!({
        "request": {
            "action": "receive",
            "channel": channel,
            "messages": sent_by(Sender::Client),
        },
        "push": {
            "action": "send",
            "channel": channel,
            "messages": sent_by(Sender::Server),
        },
    })
}

fn component(message: &Message, schemas: &Schemas) -> Value {
    let mut component = json!({ "name": message.event, "payload": message.payload });
    let data = message.data.as_ref();
    if let Some(data) = data.and_then(|name| schemas.definitions.get(name)) {
        component["summary"] = data["description"].clone();
    }
    if message.event == "subscribe" {
        component["examples"] = json!([{
            "payload": { "id": 1, "event": "subscribe", "data": { "channel": "price:ETH" } },
        }]);
    }
    component
}

/// The key of a message in the document: its event in camel case.
fn key(message: &Message) -> String {
    let mut words = message.event.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |key, word| key + &super::capitalized(word))
}

fn reference(path: &str, key: &str) -> Value {
    json!({ "$ref": format!("#/{path}/{key}") })
}
