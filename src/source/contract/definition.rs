//! Contracts as configured, with their events read from the ABI.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::Path,
    sync::Arc,
};

use alloy::{
    json_abi::{Event, JsonAbi},
    primitives::keccak256,
};
use serde_json::Value;

use super::{
    Addresses, ContractConfig, ContractProblem, EventShape, FactoryConfig, decode::NotThis,
    problem::Reason, shape::Kind,
};
use crate::model::{Address, B256, ChainId};

/// Most addresses that one entry may list.
const MAX_LISTED: usize = 10_000;
const MAX_NAME: usize = 64;
/// With the contract's, it must fit the name of a channel.
const MAX_EVENT_NAME: usize = 80;
/// A larger ABI file is not read to its end.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
const MAX_FACTORY_ADDRESSES: usize = 10_000_000;

/// A configured contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// As configured.
    pub name: Arc<str>,
    pub chain_id: ChainId,
    /// Empty for the contracts of a factory.
    pub addresses: Vec<Address>,
    pub factory: Option<Factory>,
    pub events: Vec<EventShape>,
    /// Events of the ABI that are not read, each with the reason; none when events are listed.
    pub left_out: Vec<String>,
    pub start_block: u64,
    /// Hash of all that decides what is decoded: another one means to decode anew.
    pub definition: B256,
}

/// Announces contracts.
#[derive(Debug, Clone)]
pub struct Factory {
    pub addresses: Vec<Address>,
    /// One signature, once for each way in which its parameters are indexed; with the position of the address.
    pub(super) events: Vec<(EventShape, usize)>,
    pub parameter: String,
    pub max_addresses: usize,
}

impl Factory {
    /// Such as `PairCreated(address,address,address,uint256)`.
    pub fn signature(&self) -> &str {
        self.events
            .first()
            .map_or("", |(event, _)| &event.signature)
    }

    /// The first topic of its logs.
    pub fn topic(&self) -> B256 {
        self.events
            .first()
            .map_or(B256::ZERO, |(event, _)| event.topic)
    }

    /// The address that a log of it announces.
    pub(super) fn address_in(&self, topics: &[B256], data: &[u8]) -> Result<Address, NotThis> {
        let mut events = self.events.iter();
        let (event, position) = events
            .find(|(event, _)| event.fits(topics))
            .ok_or(NotThis)?;
        event.address_in(*position, topics, data)
    }
}

impl Contract {
    /// The name in channels and paths.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

/// Reads the ABI files and makes the contracts, or says all that is wrong. `chains` are those configured, the first
/// of them the default.
pub fn compile(
    configs: &[ContractConfig],
    chains: &[ChainId],
) -> Result<Vec<Contract>, Vec<ContractProblem>> {
    let (mut contracts, mut problems) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for (at, config) in configs.iter().enumerate() {
        if !names.insert(config.name.to_ascii_lowercase()) {
            let reason = Reason::SameName(config.name.clone());
            problems.push(problem(at, "name", reason));
        }
        match contract(at, config, chains) {
            Ok(contract) => contracts.push(contract),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(contracts)
    } else {
        Err(problems)
    }
}

fn problem(at: usize, key: &str, reason: Reason) -> ContractProblem {
    ContractProblem {
        key: format!("contracts.{at}.{key}"),
        reason,
    }
}

fn contract(
    at: usize,
    config: &ContractConfig,
    chains: &[ChainId],
) -> Result<Contract, ContractProblem> {
    let wrong = |key: &'static str| move |reason| problem(at, key, reason);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    let name = &config.name;
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        let shown = name.chars().take(MAX_NAME).collect();
        return Err(wrong("name")(Reason::Name(shown)));
    }
    let chain_id = config.chain_id.or(chains.first().copied()).unwrap_or(0);
    if !chains.contains(&chain_id) {
        return Err(wrong("chain_id")(Reason::Chain(chain_id)));
    }
    let addresses = listed(&config.address);
    match (addresses.is_empty(), &config.factory) {
        (true, None) => return Err(wrong("address")(Reason::NoAddress)),
        (false, Some(_)) => return Err(wrong("factory")(Reason::Both)),
        _ => {}
    }
    if addresses.len() > MAX_LISTED {
        return Err(wrong("address")(Reason::TooMany(MAX_LISTED)));
    }
    if i64::try_from(config.start_block).is_err() {
        return Err(wrong("start_block")(Reason::Range(i64::MAX as usize)));
    }
    let abi = read(&config.abi).map_err(wrong("abi"))?;
    let (events, left_out) = events(&abi, &config.events).map_err(wrong("events"))?;
    let factory = match &config.factory {
        Some(factory) => Some(made_by(at, factory, &abi)?),
        None => None,
    };
    let definition = definition(chain_id, &addresses, factory.as_ref(), &events, config);
    Ok(Contract {
        name: config.name.as_str().into(),
        chain_id,
        addresses,
        factory,
        events,
        left_out,
        start_block: config.start_block,
        definition,
    })
}

fn made_by(at: usize, config: &FactoryConfig, abi: &JsonAbi) -> Result<Factory, ContractProblem> {
    let wrong = |key: &'static str| move |reason| problem(at, key, reason);
    let addresses = listed(&config.address);
    if addresses.is_empty() {
        return Err(wrong("factory.address")(Reason::NoAddress));
    }
    if addresses.len() > MAX_LISTED {
        return Err(wrong("factory.address")(Reason::TooMany(MAX_LISTED)));
    }
    if !(1..=MAX_FACTORY_ADDRESSES).contains(&config.max_addresses) {
        let range = Reason::Range(MAX_FACTORY_ADDRESSES);
        return Err(wrong("factory.max_addresses")(range));
    }
    let own = match &config.abi {
        Some(path) => Some(read(path).map_err(wrong("factory.abi"))?),
        None => None,
    };
    let abi = own.as_ref().unwrap_or(abi);
    let found = select(abi, &config.event).map_err(wrong("factory.event"))?;
    let first = found.first().map(|event| event.signature());
    if found.iter().any(|event| Some(event.signature()) != first) {
        let reason = Reason::Overloaded(config.event.clone(), signatures(&found));
        return Err(wrong("factory.event")(reason));
    }
    let mut events = Vec::new();
    for event in distinct(found).map_err(wrong("factory.event"))? {
        let event = shape(event).map_err(wrong("factory.event"))?;
        let mut params = event.params.iter();
        let position =
            params.position(|param| param.key == config.parameter && param.kind == Kind::Address);
        let Some(position) = position else {
            let keys: Vec<_> = event
                .params
                .iter()
                .map(|param| param.key.as_str())
                .collect();
            let keys = keys.join(", ");
            let reason = Reason::Parameter(config.parameter.clone(), event.signature.clone(), keys);
            return Err(wrong("factory.parameter")(reason));
        };
        events.push((event, position));
    }
    if events.is_empty() {
        return Err(wrong("factory.event")(Reason::NoEvents));
    }
    Ok(Factory {
        addresses,
        events,
        parameter: config.parameter.clone(),
        max_addresses: config.max_addresses,
    })
}

/// The addresses, sorted, each once.
fn listed(addresses: &Addresses) -> Vec<Address> {
    let sorted: BTreeSet<_> = addresses.0.iter().copied().collect();
    sorted.into_iter().collect()
}

/// An ABI array, or an artifact that has one.
fn read(path: &Path) -> Result<JsonAbi, Reason> {
    let unreadable = |error: String| Reason::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(unreadable(format!("it has more than {MOST_BYTES} bytes")));
    }
    let not = |error: String| Reason::NotAbi {
        path: path.to_owned(),
        error,
    };
    let mut json: Value = serde_json::from_str(&text).map_err(|error| not(error.to_string()))?;
    if let Some(inner) = json.get_mut("abi") {
        json = inner.take();
    }
    serde_json::from_value(json).map_err(|error| not(error.to_string()))
}

/// The events that are listed, or all of the ABI that can be read, and what of it cannot.
fn events(abi: &JsonAbi, wanted: &[String]) -> Result<(Vec<EventShape>, Vec<String>), Reason> {
    let mut chosen: Vec<&Event> = Vec::new();
    if wanted.is_empty() {
        chosen.extend(abi.events());
    }
    for name in wanted {
        chosen.extend(select(abi, name)?);
    }
    let (mut shapes, mut left_out) = (Vec::new(), Vec::new());
    let mut refused = None;
    for event in distinct(chosen)? {
        match shape(event) {
            Ok(shape) => shapes.push(shape),
            // What is listed has to be read; of a whole ABI one event does not refuse the others.
            Err(reason) if !wanted.is_empty() => return Err(reason),
            Err(reason) => {
                left_out.push(reason.to_string());
                refused = refused.or(Some(reason));
            }
        }
    }
    if shapes.is_empty() {
        return Err(refused.unwrap_or(Reason::NoEvents));
    }
    let mut channels = BTreeMap::<String, &str>::new();
    for event in &shapes {
        let other = channels.insert(event.name.to_ascii_lowercase(), &event.name);
        if let Some(other) = other.filter(|other| **other != *event.name) {
            return Err(Reason::SameEvent(other.to_owned(), event.name.to_string()));
        }
    }
    Ok((shapes, left_out))
}

/// Each event once, in the order of their signatures. Several of one signature are told apart by their number of
/// topics; those that no log tells apart are refused.
fn distinct(events: Vec<&Event>) -> Result<Vec<&Event>, Reason> {
    let indexed =
        |event: &Event| -> Vec<bool> { event.inputs.iter().map(|input| input.indexed).collect() };
    let mut chosen = BTreeMap::<_, &Event>::new();
    for event in events {
        let count = indexed(event)
            .into_iter()
            .filter(|indexed| *indexed)
            .count();
        let key = (event.signature(), event.anonymous, count);
        match chosen.get(&key) {
            Some(other) if indexed(other) != indexed(event) => {
                return Err(Reason::Alike(event.signature()));
            }
            Some(_) => {}
            None => {
                chosen.insert(key, event);
            }
        }
    }
    Ok(chosen.into_values().collect())
}

/// The events with that name, or the one with that signature.
fn select<'a>(abi: &'a JsonAbi, wanted: &str) -> Result<Vec<&'a Event>, Reason> {
    let signature: String = wanted.chars().filter(|c| !c.is_whitespace()).collect();
    let fits = |event: &&Event| event.name == signature || event.signature() == signature;
    let found: Vec<_> = abi.events().filter(fits).collect();
    if found.is_empty() {
        let all: Vec<_> = abi.events().collect();
        let has = if all.is_empty() {
            "none".to_owned()
        } else {
            signatures(&all)
        };
        return Err(Reason::UnknownEvent(wanted.to_owned(), has));
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
        let reason = format!("its name has more than {MAX_EVENT_NAME} characters");
        return Err(Reason::Type(event.signature(), reason));
    }
    EventShape::of(event).map_err(|reason| Reason::Type(event.signature(), reason))
}

fn definition(
    chain_id: ChainId,
    addresses: &[Address],
    factory: Option<&Factory>,
    events: &[EventShape],
    config: &ContractConfig,
) -> B256 {
    let factory = factory.map(|factory| {
        let events = factory.events.iter();
        let events: Vec<_> = events
            .map(|(event, position)| format!("{} {position}", event.full()))
            .collect();
        format!("{:?} {}", factory.addresses, events.join(" "))
    });
    let events: Vec<_> = events.iter().map(EventShape::full).collect();
    let start = config.start_block;
    let name = config.name.to_ascii_lowercase();
    keccak256(format!(
        "{name} {chain_id} {start} {addresses:?} {factory:?} {events:?}"
    ))
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
