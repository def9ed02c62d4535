//! The schemas of requests accept what the server accepts, and nothing else.

use chaincast_protocol::{request::parse_text, schema::Schemas};
use serde_json::{Value, json};

/// Adds one of `values` to a copy of each object, where null stands for no key.
fn with(objects: Vec<Value>, key: &str, values: Value) -> Vec<Value> {
    let values = values.as_array().unwrap();
    let pairs = objects
        .iter()
        .flat_map(|object| values.iter().map(move |value| (object.clone(), value)));
    pairs
        .map(|(mut object, value)| {
            if !value.is_null() {
                object[key] = value.clone();
            }
            object
        })
        .collect()
}

#[test]
fn schemas_accept_what_the_server_accepts() {
    let schemas = Schemas::new();
    let names = with(vec![json!({})], "channel", json!([null, "a", 7]));
    let names = with(
        names,
        "channels",
        json!([null, [], ["a"], ["a", "b"], "a", [7]]),
    );
    let options = with(
        names.clone(),
        "since",
        json!([null, 4, -1, {"a": 4}, {"a": -1}, "4"]),
    );
    let options = with(options, "mode", json!([null, "latest", "all", "some"]));
    let options = with(options, "interval", json!([null, 0, 250, 7]));
    let options = with(options, "snapshot", json!([null, false, 0]));
    let ids = with(
        vec![json!({})],
        "ids",
        json!([null, [], [7, -8], 7, ["7"], [1.5]]),
    );
    let tokens = with(vec![json!({})], "token", json!([null, "", "eyJ", 7]));
    let channel = with(vec![json!({})], "channel", json!([null, "a", 7]));
    let info = with(
        names.clone(),
        "info",
        json!([null, {}, {"a": [1.5]}, [], 7]),
    );
    let info = with(info, "presence", json!([null, true, 1]));
    let signals = with(
        channel.clone(),
        "type",
        json!([null, "", "chat", "a\nb", "t".repeat(65), 7]),
    );
    let signals = with(signals, "payload", json!([null, 7, {"a": null}, "x"]));
    let messages = with(
        signals.clone(),
        "key",
        json!([null, "", "k", "\u{9f}", "k".repeat(129), 7]),
    );
    let messages = with(messages, "echo", json!([null, false, 1]));
    let (mut accepted, mut refused) = (0, 0);
    for (event, datas) in [
        ("subscribe", options),
        ("subscribe", info),
        ("publish", messages),
        ("signal", signals),
        ("presence", channel),
        ("unsubscribe", names),
        ("acknowledge", ids),
        ("auth", tokens),
    ] {
        for data in datas {
            let message = json!({"event": event, "data": data});
            let (_, parsed) = parse_text(&message.to_string());
            let checked = schemas.check(&message);
            assert_eq!(
                checked.is_ok(),
                parsed.is_ok(),
                "{message}: {checked:?}, {parsed:?}"
            );
            match parsed {
                Ok(_) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted} and {refused}");
}
