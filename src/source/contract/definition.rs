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
    Addresses, ContractConfig, ContractProblem, EventShape, FactoryConfig, problem::Reason,
    shape::Kind,
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
    pub start_block: u64,
    /// Hash of all that decides what is decoded: another one means to decode anew.
    pub definition: B256,
}

/// Announces contracts.
#[derive(Debug, Clone)]
pub struct Factory {
    pub addresses: Vec<Address>,
    pub event: EventShape,
    /// Which parameter is the address.
    pub(super) position: usize,
    pub parameter: String,
    pub max_addresses: usize,
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
    let events = events(&abi, &config.events).map_err(wrong("events"))?;
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
    if let [_, _, ..] = found.as_slice() {
        let reason = Reason::Overloaded(config.event.clone(), signatures(&found));
        return Err(wrong("factory.event")(reason));
    }
    let event = match found.first() {
        Some(event) => shape(event).map_err(wrong("factory.event"))?,
        None => return Err(wrong("factory.event")(Reason::NoEvents)),
    };
    let position = event
        .params
        .iter()
        .position(|param| param.key == config.parameter && param.kind == Kind::Address);
    let Some(position) = position else {
        let keys: Vec<_> = event
            .params
            .iter()
            .map(|param| param.key.as_str())
            .collect();
        let reason = Reason::Parameter(
            config.parameter.clone(),
            event.signature.clone(),
            keys.join(", "),
        );
        return Err(wrong("factory.parameter")(reason));
    };
    Ok(Factory {
        addresses,
        event,
        position,
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

/// The events that are asked for, or all.
fn events(abi: &JsonAbi, wanted: &[String]) -> Result<Vec<EventShape>, Reason> {
    let mut chosen = BTreeMap::new();
    // Events of one signature that differ in how many parameters are indexed are told apart by a log's topics.
    let place = |event: &Event| {
        let indexed = event.inputs.iter().filter(|param| param.indexed);
        (event.signature(), indexed.count())
    };
    if wanted.is_empty() {
        // Those without their signature as first topic are left out: nothing tells their logs from others.
        for event in abi.events().filter(|event| !event.anonymous) {
            chosen.insert(place(event), event);
        }
    }
    for name in wanted {
        for event in select(abi, name)? {
            chosen.insert(place(event), event);
        }
    }
    if chosen.is_empty() {
        return Err(match abi.events().next() {
            Some(anonymous) => Reason::Anonymous(anonymous.signature()),
            None => Reason::NoEvents,
        });
    }
    let mut channels = BTreeMap::<String, &str>::new();
    for event in chosen.values() {
        let other = channels.insert(event.name.to_ascii_lowercase(), &event.name);
        if let Some(other) = other.filter(|other| *other != event.name) {
            return Err(Reason::SameEvent(other.to_owned(), event.name.clone()));
        }
    }
    chosen.into_values().map(shape).collect()
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
        let event = factory.event.full();
        format!("{:?} {event} {}", factory.addresses, factory.position)
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
