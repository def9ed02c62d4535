//! Configured contracts, with the events read from their ABIs.

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
    Addresses, ContractConfig, ContractConfigError, EventShape, FactoryConfig,
    contract_error::Reason, decode::DecodeError, shape::Kind,
};
use chaincast_protocol::{Address, B256, ChainId};

/// Maximum number of addresses in one entry.
const MAX_ADDRESSES: usize = 10_000;
const MAX_NAME: usize = 64;
/// Together with the contract's name it must fit into a channel name.
const MAX_EVENT_NAME: usize = 80;
/// Maximum size of an ABI file.
const MAX_ABI_BYTES: u64 = 16 * 1024 * 1024;

/// A configured contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// As configured.
    pub name: Arc<str>,
    pub chain_id: ChainId,
    /// Empty if a factory announces the contracts.
    pub addresses: Vec<Address>,
    pub factory: Option<Factory>,
    pub events: Vec<EventShape>,
    /// Events of the ABI that cannot be decoded, each with the reason; empty if the configuration lists events.
    pub skipped_events: Vec<String>,
    pub start_block: u64,
    /// Hash of everything that determines the decoded events; a change requires a new decode.
    pub definition: B256,
}

/// A contract that announces other contracts.
#[derive(Debug, Clone)]
pub struct Factory {
    pub addresses: Vec<Address>,
    /// The announcing event with the position of its address parameter; one entry for each set of indexed parameters.
    pub(super) events: Vec<(EventShape, usize)>,
    pub parameter: String,
    pub max_addresses: usize,
}

impl Factory {
    /// Example: `PairCreated(address,address,address,uint256)`.
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

    /// The address that a log of the factory announces.
    pub(super) fn address_in(&self, topics: &[B256], data: &[u8]) -> Result<Address, DecodeError> {
        let mut events = self.events.iter();
        let (event, position) = events
            .find(|(event, _)| event.matches_topics(topics))
            .ok_or(DecodeError)?;
        event.address_in(*position, topics, data)
    }
}

impl Contract {
    /// The name in channel names and URL paths.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

/// Reads the ABI files and compiles the contracts; fails with all errors. `chains` are the configured chains, the
/// default first.
pub fn compile(
    configs: &[ContractConfig],
    chains: &[ChainId],
) -> Result<Vec<Contract>, Vec<ContractConfigError>> {
    let (mut contracts, mut problems) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for (at, config) in configs.iter().enumerate() {
        if !names.insert(config.name.to_ascii_lowercase()) {
            let reason = Reason::SameName(config.name.clone());
            problems.push(problem(at, "name", reason));
        }
        match compile_contract(at, config, chains) {
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

fn problem(at: usize, key: &str, reason: Reason) -> ContractConfigError {
    ContractConfigError {
        key: format!("contracts.{at}.{key}"),
        reason,
    }
}

fn compile_contract(
    at: usize,
    config: &ContractConfig,
    chains: &[ChainId],
) -> Result<Contract, ContractConfigError> {
    let wrong = |key: &'static str| move |reason| problem(at, key, reason);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    let name = &config.name;
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        let excerpt = name.chars().take(MAX_NAME).collect();
        return Err(wrong("name")(Reason::Name(excerpt)));
    }
    let chain_id = config.chain_id.or(chains.first().copied()).unwrap_or(0);
    if !chains.contains(&chain_id) {
        return Err(wrong("chain_id")(Reason::Chain(chain_id)));
    }
    let addresses = sorted_addresses(&config.address);
    match (addresses.is_empty(), &config.factory) {
        (true, None) => return Err(wrong("address")(Reason::NoAddress)),
        (false, Some(_)) => return Err(wrong("factory")(Reason::Both)),
        _ => {}
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(wrong("address")(Reason::TooMany(MAX_ADDRESSES)));
    }
    if i64::try_from(config.start_block).is_err() {
        return Err(wrong("start_block")(Reason::Range(i64::MAX as usize)));
    }
    let abi = read(&config.abi).map_err(wrong("abi"))?;
    let (events, skipped_events) = events(&abi, &config.events).map_err(wrong("events"))?;
    let factory = match &config.factory {
        Some(factory) => Some(compile_factory(at, factory, &abi)?),
        None => None,
    };
    let definition = definition(chain_id, &addresses, factory.as_ref(), &events, config);
    Ok(Contract {
        name: config.name.as_str().into(),
        chain_id,
        addresses,
        factory,
        events,
        skipped_events,
        start_block: config.start_block,
        definition,
    })
}

fn compile_factory(
    at: usize,
    config: &FactoryConfig,
    abi: &JsonAbi,
) -> Result<Factory, ContractConfigError> {
    let wrong = |key: &'static str| move |reason| problem(at, key, reason);
    let addresses = sorted_addresses(&config.address);
    if addresses.is_empty() {
        return Err(wrong("factory.address")(Reason::NoAddress));
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(wrong("factory.address")(Reason::TooMany(MAX_ADDRESSES)));
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

/// The addresses, sorted and without duplicates.
fn sorted_addresses(addresses: &Addresses) -> Vec<Address> {
    let sorted: BTreeSet<_> = addresses.0.iter().copied().collect();
    sorted.into_iter().collect()
}

/// Reads an ABI array, or an artifact that contains one.
fn read(path: &Path) -> Result<JsonAbi, Reason> {
    let unreadable = |error: String| Reason::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_ABI_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MAX_ABI_BYTES {
        return Err(unreadable(format!("larger than {MAX_ABI_BYTES} bytes")));
    }
    let not_abi = |error: String| Reason::NotAbi {
        path: path.to_owned(),
        error,
    };
    let mut json: Value =
        serde_json::from_str(&text).map_err(|error| not_abi(error.to_string()))?;
    if let Some(inner) = json.get_mut("abi") {
        json = inner.take();
    }
    serde_json::from_value(json).map_err(|error| not_abi(error.to_string()))
}

/// The wanted events, or all decodable ones of the ABI; with the reasons for those that cannot be decoded.
fn events(abi: &JsonAbi, names: &[String]) -> Result<(Vec<EventShape>, Vec<String>), Reason> {
    let mut chosen: Vec<&Event> = Vec::new();
    if names.is_empty() {
        chosen.extend(abi.events());
    }
    for name in names {
        chosen.extend(select(abi, name)?);
    }
    let (mut shapes, mut skipped_events) = (Vec::new(), Vec::new());
    let mut refused = None;
    for event in distinct(chosen)? {
        match shape(event) {
            Ok(shape) => shapes.push(shape),
            // A listed event must decode; in a whole ABI, one bad event does not fail the others.
            Err(reason) if !names.is_empty() => return Err(reason),
            Err(reason) => {
                skipped_events.push(reason.to_string());
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
    Ok((shapes, skipped_events))
}

/// Each event once, ordered by signature. Events with the same signature are distinguished by their number of topics;
/// fails for events that no log can distinguish.
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
                return Err(Reason::Ambiguous(event.signature()));
            }
            Some(_) => {}
            None => {
                chosen.insert(key, event);
            }
        }
    }
    Ok(chosen.into_values().collect())
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
            .map(|(event, position)| format!("{} {position}", event.fingerprint()))
            .collect();
        format!("{:?} {}", factory.addresses, events.join(" "))
    });
    let events: Vec<_> = events.iter().map(EventShape::fingerprint).collect();
    let start = config.start_block;
    let name = config.name.to_ascii_lowercase();
    keccak256(format!(
        "{name} {chain_id} {start} {addresses:?} {factory:?} {events:?}"
    ))
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
