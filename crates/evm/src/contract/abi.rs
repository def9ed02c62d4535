//! ABI files, and the events that are read from them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::Path,
};

use alloy::json_abi::{Event, JsonAbi};
use serde_json::Value;

use super::{EventShape, contract_error::Reason};

/// Together with the contract's name it must fit into a channel name.
const MAX_EVENT_NAME: usize = 80;
/// Maximum size of an ABI file.
const MAX_ABI_BYTES: u64 = 16 * 1024 * 1024;

/// Reads an ABI array, or an artifact that contains one.
pub(super) fn read(path: &Path) -> Result<JsonAbi, Vec<Reason>> {
    let unreadable = |error: String| {
        let path = path.to_owned();
        vec![Reason::Unreadable { path, error }]
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_ABI_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MAX_ABI_BYTES {
        return Err(unreadable(format!("larger than {MAX_ABI_BYTES} bytes")));
    }
    let not_abi = |error: String| {
        let path = path.to_owned();
        vec![Reason::NotAbi { path, error }]
    };
    let mut json: Value =
        serde_json::from_str(&text).map_err(|error| not_abi(error.to_string()))?;
    if let Some(inner) = json.get_mut("abi") {
        json = inner.take();
    }
    serde_json::from_value(json).map_err(|error| not_abi(error.to_string()))
}

/// The wanted events, or all decodable ones of the ABI; with the reasons for those that cannot be decoded.
pub(super) fn events(
    abi: &JsonAbi,
    names: &[String],
) -> Result<(Vec<EventShape>, Vec<String>), Vec<Reason>> {
    let (mut chosen, mut refused) = (Vec::<&Event>::new(), Vec::new());
    if names.is_empty() {
        chosen.extend(abi.events());
    }
    for name in names {
        match select(abi, name) {
            Ok(found) => chosen.extend(found),
            Err(reason) => refused.push(reason),
        }
    }
    let (chosen, ambiguous) = distinct(chosen);
    refused.extend(ambiguous);
    let (mut shapes, mut skipped) = (Vec::new(), Vec::new());
    for event in chosen {
        match shape(event) {
            Ok(shape) => shapes.push(shape),
            // A listed event must decode; in a whole ABI, one bad event does not fail the others.
            Err(reason) if !names.is_empty() => refused.push(reason),
            Err(reason) => skipped.push(reason),
        }
    }
    let mut channels = BTreeMap::<String, &str>::new();
    for event in &shapes {
        let other = channels.insert(event.name.to_ascii_lowercase(), &event.name);
        if let Some(other) = other.filter(|other| **other != *event.name) {
            refused.push(Reason::SameEvent(other.to_owned(), event.name.to_string()));
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    if shapes.is_empty() {
        let first = skipped.into_iter().next();
        return Err(vec![first.unwrap_or(Reason::NoEvents)]);
    }
    let skipped = skipped.iter().map(Reason::to_string).collect();
    Ok((shapes, skipped))
}

/// The event that announces contracts; one entry for each set of indexed parameters.
pub(super) fn announcing(abi: &JsonAbi, name: &str) -> Result<Vec<EventShape>, Vec<Reason>> {
    let found = select(abi, name).map_err(|reason| vec![reason])?;
    let first = found.first().map(|event| event.signature());
    if found.iter().any(|event| Some(event.signature()) != first) {
        let reason = Reason::Overloaded(name.to_owned(), signatures(&found));
        return Err(vec![reason]);
    }
    let (events, ambiguous) = distinct(found);
    if !ambiguous.is_empty() {
        return Err(ambiguous);
    }
    let shapes = events.into_iter().map(shape);
    shapes.collect::<Result<_, _>>().map_err(|one| vec![one])
}

/// Each event once, ordered by signature. Events with the same signature are distinguished by their number of topics;
/// those that no log can distinguish are reasons to fail.
fn distinct(events: Vec<&Event>) -> (Vec<&Event>, Vec<Reason>) {
    let indexed =
        |event: &Event| -> Vec<bool> { event.inputs.iter().map(|input| input.indexed).collect() };
    let mut chosen = BTreeMap::<_, &Event>::new();
    let mut ambiguous = BTreeSet::new();
    for event in events {
        let count = indexed(event)
            .into_iter()
            .filter(|indexed| *indexed)
            .count();
        let other = chosen.entry((event.signature(), event.anonymous, count));
        if indexed(other.or_insert(event)) != indexed(event) {
            ambiguous.insert(event.signature());
        }
    }
    let ambiguous = ambiguous.into_iter().map(Reason::Ambiguous).collect();
    (chosen.into_values().collect(), ambiguous)
}

/// The events with this name, or the one with this signature.
fn select<'a>(abi: &'a JsonAbi, names: &str) -> Result<Vec<&'a Event>, Reason> {
    let signature: String = names.chars().filter(|c| !c.is_whitespace()).collect();
    let matches = |event: &&Event| event.name == signature || event.signature() == signature;
    let found: Vec<_> = abi.events().filter(matches).collect();
    if found.is_empty() {
        let all: Vec<_> = abi.events().collect();
        let has = if all.is_empty() {
            "none".to_owned()
        } else {
            signatures(&all)
        };
        return Err(Reason::UnknownEvent(names.to_owned(), has));
    }
    Ok(found)
}

fn signatures(events: &[&Event]) -> String {
    let all: Vec<_> = events.iter().map(|event| event.signature()).collect();
    all.join(", ")
}

fn shape(event: &Event) -> Result<EventShape, Reason> {
    if event.anonymous {
        return Err(Reason::Anonymous(event.signature()));
    }
    if event.name.len() > MAX_EVENT_NAME {
        let reason = format!("name longer than {MAX_EVENT_NAME} characters");
        return Err(Reason::Type(event.signature(), reason));
    }
    EventShape::from_abi(event).map_err(|reason| Reason::Type(event.signature(), reason))
}
