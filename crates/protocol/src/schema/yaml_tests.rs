//! What is written is read back by a YAML parser.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::json;

use super::*;
use crate::schema::{Schemas, asyncapi};

/// What texts are made of: all that means something in YAML.
const PARTS: &[&str] = &[
    "a", "Z", "é", "漢", "0", "1e3", "0x1F", "-", "- ", "? ", ":", ": ", " #", "#", "'", "\"",
    "\\", "\\n", "[", "]", "{", "}", ",", "&", "*", "!", "|", ">", "%", "@", "`", "~", "=", "<<",
    "---", "...", " ", "\t", "\n", "\r", "\u{0}", "\u{7f}", "\u{85}", "\u{a0}", "\u{2028}",
    "\u{feff}", "/",
];
/// Texts that some version of YAML reads as something else.
const WORDS: &[&str] = &[
    "",
    "null",
    "Null",
    "~",
    "true",
    "FALSE",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "N",
    "12",
    "-1",
    "1.5",
    "0o7",
    "1_000",
    "12:30:45",
    ".nan",
    ".inf",
    "2026-12-01",
    "$ref",
];

fn any_text(random: &mut StdRng) -> String {
    if random.random_ratio(1, 4) {
        return (*WORDS.choose(random).unwrap()).to_owned();
    }
    let parts = random.random_range(0..8);
    (0..parts).map(|_| *PARTS.choose(random).unwrap()).collect()
}

fn any_value(random: &mut StdRng, depth: usize) -> Value {
    let length = random.random_range(0..4);
    match random.random_range(0..if depth == 0 { 6 } else { 10 }) {
        0 => Value::Null,
        1 => random.random::<bool>().into(),
        2 => random.random::<i64>().into(),
        3..6 => any_text(random).into(),
        6 | 7 => (0..length).map(|_| any_value(random, depth - 1)).collect(),
        8 => json!({ "properties": { any_text(random): any_value(random, depth - 1) } }),
        _ => {
            let entries = (0..length).map(|_| (any_text(random), any_value(random, depth - 1)));
            Value::Object(entries.collect())
        }
    }
}

fn parsed(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let [document] = documents.as_slice() else {
        panic!("{} documents: {text}", documents.len());
    };
    value(document)
}

fn value(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(is_true)) => (*is_true).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, one)| (key.as_str().unwrap().to_owned(), value(one)));
            Value::Object(entries.collect())
        }
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn any_value_is_read_back() {
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..5_000 {
        let written = json!({ any_text(&mut random): any_value(&mut random, 3) });
        let mut text = String::new();
        write_value(&written, 0, &mut text);
        assert_eq!(parsed(&text), written, "seed {seed}:\n{text}");
    }
}

#[test]
fn texts_are_quoted_only_where_needed() {
    for (text, written) in [
        (
            "A block of Ethereum; its hash – 32 bytes.",
            "A block of Ethereum; its hash – 32 bytes.",
        ),
        ("/realtime", "/realtime"),
        ("price:ETH", "'price:ETH'"),
        ("the gateway's", "'the gateway''s'"),
        (" padded ", "' padded '"),
        ("True", "'True'"),
        ("12", "'12'"),
        ("two\nlines\t\"\u{85}\"", r#""two\nlines\u0009\"\u0085\"""#),
    ] {
        assert_eq!(string(text), written);
    }
}

#[test]
fn document_has_every_schema() {
    let schemas = Schemas::new();
    let document = parsed(&asyncapi(&schemas));
    let definitions = serde_json::to_value(&schemas.definitions).unwrap();
    assert_eq!(document["components"]["schemas"], definitions);
    let messages = document["components"]["messages"].as_object().unwrap();
    assert_eq!(messages.len(), schemas.messages.len());
}
