//! The contracts of one chain, and every address that they have: whose log is it, and what does it say?

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Contract;
use crate::model::{Address, B256, DecodedEvent, FoundAddress, IndexedLog};

/// What some logs gave.
#[derive(Debug, Default)]
pub struct Reading {
    /// In the order of the logs.
    pub events: Vec<DecodedEvent>,
    /// New addresses, in the order of the logs.
    pub found: Vec<FoundAddress>,
}

/// A place in the chain: block and log.
type Place = (u64, u32);

/// Knows every address of the contracts of one chain. A log is looked up by its address in one step.
#[derive(Debug, Clone)]
pub struct Following {
    contracts: Arc<[Contract]>,
    /// Of each address, its contracts; and for one that a factory announced, where.
    by_address: FxHashMap<Address, Vec<(usize, Option<Place>)>>,
    /// The factories' own addresses.
    factories: FxHashMap<Address, Vec<usize>>,
    /// How many addresses of each contract came from its factory.
    counts: Vec<usize>,
    /// Contracts of which it was said that no more addresses are followed.
    full: FxHashSet<usize>,
}

impl Following {
    /// Follows contracts of one chain; those of factories have no address yet.
    pub fn new(contracts: Arc<[Contract]>) -> Self {
        let mut by_address = FxHashMap::<_, Vec<_>>::default();
        let mut factories = FxHashMap::<_, Vec<_>>::default();
        for (at, contract) in contracts.iter().enumerate() {
            for address in &contract.addresses {
                by_address.entry(*address).or_default().push((at, None));
            }
            for address in contract.factory.iter().flat_map(|it| &it.addresses) {
                factories.entry(*address).or_default().push(at);
            }
        }
        Self {
            counts: vec![0; contracts.len()],
            full: FxHashSet::default(),
            contracts,
            by_address,
            factories,
        }
    }

    pub fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    /// How many addresses of a contract came from its factory.
    pub fn found_count(&self, contract: usize) -> usize {
        self.counts.get(contract).copied().unwrap_or(0)
    }

    /// Addresses of a contract in no order, at most `limit`; `None` when there are more.
    pub fn addresses_of(&self, contract: usize, limit: usize) -> Option<Vec<Address>> {
        let known = self.contracts.get(contract)?.addresses.len();
        if known + self.found_count(contract) > limit {
            return None;
        }
        let of = |(address, owners): (&Address, &Vec<(usize, Option<Place>)>)| {
            let is = owners.iter().any(|(owner, _)| *owner == contract);
            is.then_some(*address)
        };
        Some(self.by_address.iter().filter_map(of).collect())
    }

    /// Reads the logs of a block in order, as the next of the chain: an address that one of them announces counts
    /// from the log behind it on.
    pub fn read(&mut self, block_number: u64, logs: &[IndexedLog]) -> Reading {
        let mut reading = Reading::default();
        if self.contracts.is_empty() {
            return reading;
        }
        for log in logs {
            for contract in self.announcing(log) {
                let Some(found) = self.announced(contract, block_number, log) else {
                    continue;
                };
                if self.follow(&found) {
                    reading.found.push(found);
                }
            }
            self.events(block_number, log, None, &mut reading.events);
        }
        reading
    }

    /// What a log says of one contract, when the log is of the past and every address is known.
    pub fn read_past(
        &self,
        contract: usize,
        block_number: u64,
        log: &IndexedLog,
        events: &mut Vec<DecodedEvent>,
    ) {
        self.events(block_number, log, Some(contract), events);
    }

    /// The address that a factory's log announces for a contract.
    pub fn announced(
        &self,
        contract: usize,
        block_number: u64,
        log: &IndexedLog,
    ) -> Option<FoundAddress> {
        let made = self.contracts.get(contract)?;
        let factory = made.factory.as_ref()?;
        let topic = log.topics.first()?;
        let is_own = factory.topic() == *topic && factory.addresses.contains(&log.address);
        if !is_own {
            return None;
        }
        match factory.address_in(&log.topics, &log.data) {
            Ok(address) => Some(FoundAddress {
                contract,
                address,
                block_number,
                log_index: log.index,
            }),
            Err(_) => {
                undecoded(made);
                None
            }
        }
    }

    /// Takes an address into account; false when it is known, or one too many.
    pub fn follow(&mut self, found: &FoundAddress) -> bool {
        let place = (found.block_number, found.log_index);
        let owners = self.by_address.entry(found.address).or_default();
        if let Some((_, since)) = owners
            .iter_mut()
            .find(|(owner, _)| *owner == found.contract)
        {
            // Told again: the first time counts.
            if since.is_some_and(|since| place < since) {
                *since = Some(place);
                return true;
            }
            return false;
        }
        let most = self.contracts[found.contract]
            .factory
            .as_ref()
            .map_or(0, |factory| factory.max_addresses);
        let name = &self.contracts[found.contract].name;
        if self.counts[found.contract] >= most {
            if owners.is_empty() {
                self.by_address.remove(&found.address);
            }
            metrics::counter!("chaincast_contract_addresses_refused_total", "contract" => name.to_string()).increment(1);
            if self.full.insert(found.contract) {
                tracing::warn!(contract = %name, max_addresses = most, "the factory announced more contracts than are followed");
            }
            return false;
        }
        owners.push((found.contract, Some(place)));
        self.counts[found.contract] += 1;
        true
    }

    /// Forgets what was announced above a block.
    pub fn unwind(&mut self, to: u64) {
        let counts = &mut self.counts;
        self.by_address.retain(|_, owners| {
            owners.retain(|(owner, since)| {
                let stays = since.is_none_or(|(block, _)| block <= to);
                if !stays {
                    counts[*owner] -= 1;
                }
                stays
            });
            !owners.is_empty()
        });
    }

    /// The contracts whose factory a log may be of.
    fn announcing(&self, log: &IndexedLog) -> Vec<usize> {
        self.factories
            .get(&log.address)
            .cloned()
            .unwrap_or_default()
    }

    fn events(
        &self,
        block_number: u64,
        log: &IndexedLog,
        only: Option<usize>,
        events: &mut Vec<DecodedEvent>,
    ) {
        let (Some(owners), Some(topic)) = (self.by_address.get(&log.address), log.topics.first())
        else {
            return;
        };
        for (at, since) in owners {
            let contract = &self.contracts[*at];
            let counts = only.is_none_or(|only| only == *at)
                && block_number >= contract.start_block
                && since.is_none_or(|since| (block_number, log.index) > since);
            if counts && let Some((event, args)) = said(contract, topic, log) {
                events.push(DecodedEvent {
                    contract: *at,
                    event,
                    address: log.address,
                    args,
                    block_number,
                    log_index: log.index,
                    transaction_index: log.transaction_index,
                });
            }
        }
    }
}

/// The event of a contract that a log is, with its arguments.
fn said(contract: &Contract, topic: &B256, log: &IndexedLog) -> Option<(Arc<str>, String)> {
    let mut named = contract.events.iter();
    named.find(|event| event.topic == *topic)?;
    let event = contract.events.iter().find(|event| event.fits(&log.topics));
    let decoded = event.and_then(|event| {
        let args = event.decode(&log.topics, &log.data).ok()?;
        Some((event.name.clone(), args))
    });
    if decoded.is_none() {
        undecoded(contract);
    }
    decoded
}

fn undecoded(contract: &Contract) {
    metrics::counter!("chaincast_contract_undecoded_total", "contract" => contract.name.to_string()).increment(1);
}

#[cfg(test)]
#[path = "following_tests.rs"]
mod tests;
