//! Configured contracts, with the events read from their ABIs.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{json_abi::JsonAbi, primitives::keccak256};

use super::{
    Addresses, ContractConfig, ContractConfigError, EventShape, FactoryConfig, abi,
    contract_error::Reason, decode::DecodeError, shape::Kind,
};
use chaincast_protocol::{Address, B256, ChainId};

/// Maximum number of addresses in one entry.
const MAX_ADDRESSES: usize = 10_000;
const MAX_NAME: usize = 64;

/// A configured contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// As configured.
    pub name: Arc<str>,
    /// The chain that it is on.
    pub chain_id: ChainId,
    /// Empty if a factory announces the contracts.
    pub addresses: Vec<Address>,
    /// What announces the contracts; `None` if `addresses` lists them.
    pub factory: Option<Factory>,
    /// The events that are decoded.
    pub events: Vec<EventShape>,
    /// Events of the ABI that cannot be decoded, each with the reason; empty if the configuration lists events.
    pub skipped_events: Vec<String>,
    /// Logs of earlier blocks are not decoded.
    pub start_block: u64,
    /// Hash of everything that determines the decoded events; a change requires a new decode.
    pub definition: B256,
}

/// A contract that announces other contracts.
#[derive(Debug, Clone)]
pub struct Factory {
    /// The factories, which have the same announcing event.
    pub addresses: Vec<Address>,
    /// The announcing event with the position of its address parameter; one entry for each set of indexed parameters.
    pub(super) events: Vec<(EventShape, usize)>,
    /// Further contracts are ignored.
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
    let (mut contracts, mut all) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for (at, config) in configs.iter().enumerate() {
        let mut problems = Problems::new(at);
        if !names.insert(config.name.to_ascii_lowercase()) {
            problems.add("name", Reason::SameName(config.name.clone()));
        }
        contracts.extend(compile_contract(config, chains, &mut problems));
        all.extend(problems.found);
    }
    if all.is_empty() {
        Ok(contracts)
    } else {
        Err(all)
    }
}

/// The problems of one entry.
struct Problems {
    at: usize,
    found: Vec<ContractConfigError>,
}

impl Problems {
    fn new(at: usize) -> Self {
        let found = Vec::new();
        Self { at, found }
    }

    fn add(&mut self, key: &str, reason: Reason) {
        let key = format!("contracts.{}.{key}", self.at);
        self.found.push(ContractConfigError { key, reason });
    }

    /// The value, or `None` once the reasons against it are added.
    fn take<T>(&mut self, key: &str, result: Result<T, Vec<Reason>>) -> Option<T> {
        let reasons = match result {
            Ok(value) => return Some(value),
            Err(reasons) => reasons,
        };
        reasons.into_iter().for_each(|reason| self.add(key, reason));
        None
    }
}

/// `None` if the entry has problems.
fn compile_contract(
    config: &ContractConfig,
    chains: &[ChainId],
    problems: &mut Problems,
) -> Option<Contract> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    let name = &config.name;
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        let excerpt = name.chars().take(MAX_NAME).collect();
        problems.add("name", Reason::Name(excerpt));
    }
    let chain_id = config.chain_id.or(chains.first().copied()).unwrap_or(0);
    if !chains.contains(&chain_id) {
        problems.add("chain_id", Reason::Chain(chain_id));
    }
    let addresses = sorted_addresses(&config.address);
    match (addresses.is_empty(), &config.factory) {
        (true, None) => problems.add("address", Reason::NoAddress),
        (false, Some(_)) => problems.add("factory", Reason::Both),
        _ => {}
    }
    if addresses.len() > MAX_ADDRESSES {
        problems.add("address", Reason::TooMany(MAX_ADDRESSES));
    }
    if i64::try_from(config.start_block).is_err() {
        problems.add("start_block", Reason::Range(i64::MAX as usize));
    }
    let json = problems.take("abi", abi::read(&config.abi));
    let events = json.as_ref().map(|json| abi::events(json, &config.events));
    let events = events.and_then(|events| problems.take("events", events));
    let factory = match &config.factory {
        Some(factory) => Some(compile_factory(factory, json.as_ref(), problems)?),
        None => None,
    };
    let (events, skipped_events) = events?;
    if !problems.found.is_empty() {
        return None;
    }
    let definition = definition(chain_id, &addresses, factory.as_ref(), &events, config);
    Some(Contract {
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

/// `json` is the ABI of the announced contracts, and of the factory unless it has its own. `None` if the event cannot be
/// read.
fn compile_factory(
    config: &FactoryConfig,
    json: Option<&JsonAbi>,
    problems: &mut Problems,
) -> Option<Factory> {
    let addresses = sorted_addresses(&config.address);
    if addresses.is_empty() {
        problems.add("factory.address", Reason::NoAddress);
    }
    if addresses.len() > MAX_ADDRESSES {
        problems.add("factory.address", Reason::TooMany(MAX_ADDRESSES));
    }
    let own = match &config.abi {
        Some(path) => Some(problems.take("factory.abi", abi::read(path))?),
        None => None,
    };
    let events = abi::announcing(own.as_ref().or(json)?, &config.event);
    let events = problems.take("factory.event", events)?;
    let positions = events.into_iter().map(|event| {
        let position = address_position(&event, &config.parameter)?;
        Ok((event, position))
    });
    let positions: Result<_, Reason> = positions.collect();
    let positions = positions.map_err(|reason| vec![reason]);
    let events = problems.take("factory.parameter", positions)?;
    Some(Factory {
        addresses,
        events,
        max_addresses: config.max_addresses,
    })
}

/// The position of the parameter of this name, which must be an address.
fn address_position(event: &EventShape, parameter: &str) -> Result<usize, Reason> {
    let mut params = event.params.iter();
    let position = params.position(|param| param.key == parameter && param.kind == Kind::Address);
    position.ok_or_else(|| {
        let keys = event.params.iter().map(|param| param.key.as_str());
        let keys = keys.collect::<Vec<_>>().join(", ");
        Reason::Parameter(parameter.to_owned(), event.signature.clone(), keys)
    })
}

/// The addresses, sorted and without duplicates.
fn sorted_addresses(addresses: &Addresses) -> Vec<Address> {
    let sorted: BTreeSet<_> = addresses.0.iter().copied().collect();
    sorted.into_iter().collect()
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
