//! Maps addresses to the contracts of one chain, and decodes the logs of those addresses.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Contract;
use chaincast_model::{DecodedEvent, FoundAddress, IndexedLog};
use chaincast_protocol::{Address, B256};

/// Result of decoding some logs.
#[derive(Debug, Default)]
pub struct DecodedLogs {
    /// In the order of the logs.
    pub events: Vec<DecodedEvent>,
    /// New addresses, in the order of the logs.
    pub found: Vec<FoundAddress>,
}

/// Position of a log in the chain: block number and log index.
type Position = (u64, u32);

/// All addresses of the contracts of one chain. Looking up a log by its address takes constant time.
#[derive(Debug, Clone)]
pub struct AddressIndex {
    contracts: Arc<[Contract]>,
    /// The contracts of each address, with the position of the announcement if a factory announced it.
    by_address: FxHashMap<Address, Vec<(usize, Option<Position>)>>,
    /// The addresses of the factories themselves.
    factories: FxHashMap<Address, Vec<usize>>,
    /// Number of factory addresses of each contract.
    counts: Vec<usize>,
    /// Contracts at their limit of addresses, for which a warning was logged.
    full: FxHashSet<usize>,
}

impl AddressIndex {
    /// Starts with the configured addresses; those that factories announced are added later.
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

    /// The contracts of the chain. The functions here take positions in this list.
    pub fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    /// Number of addresses that a contract has from its factory.
    pub fn found_count(&self, contract: usize) -> usize {
        self.counts.get(contract).copied().unwrap_or(0)
    }

    /// Addresses of a contract, unordered; `None` if there are more than `limit`.
    pub fn addresses_of(&self, contract: usize, limit: usize) -> Option<Vec<Address>> {
        let known = self.contracts.get(contract)?.addresses.len();
        if known + self.found_count(contract) > limit {
            return None;
        }
        let matching = |(address, owners): (&Address, &Vec<(usize, Option<Position>)>)| {
            let is_owned = owners.iter().any(|(owner, _)| *owner == contract);
            is_owned.then_some(*address)
        };
        Some(self.by_address.iter().filter_map(matching).collect())
    }

    /// Decodes the logs of the next block of the chain. An announced address is included from the log after its
    /// announcement.
    pub fn decode(&mut self, block_number: u64, logs: &[IndexedLog]) -> DecodedLogs {
        let mut decoded = DecodedLogs::default();
        if self.contracts.is_empty() {
            return decoded;
        }
        for log in logs {
            for contract in self.contracts_of_factory(log) {
                let Some(found) = self.announced_address(contract, block_number, log) else {
                    continue;
                };
                if self.add_address(&found) {
                    decoded.found.push(found);
                }
            }
            self.events(block_number, log, None, &mut decoded.events);
        }
        decoded
    }

    /// Decodes a stored log for one contract; every address must be known.
    pub fn decode_stored(
        &self,
        contract: usize,
        block_number: u64,
        log: &IndexedLog,
        events: &mut Vec<DecodedEvent>,
    ) {
        self.events(block_number, log, Some(contract), events);
    }

    /// The address that a log of the factory announces for a contract.
    pub fn announced_address(
        &self,
        contract: usize,
        block_number: u64,
        log: &IndexedLog,
    ) -> Option<FoundAddress> {
        let owner = self.contracts.get(contract)?;
        let factory = owner.factory.as_ref()?;
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
                count_undecoded(owner);
                None
            }
        }
    }

    /// Adds an address; false if it is known or exceeds the limit.
    pub fn add_address(&mut self, found: &FoundAddress) -> bool {
        let position = (found.block_number, found.log_index);
        let owners = self.by_address.entry(found.address).or_default();
        if let Some((_, since)) = owners
            .iter_mut()
            .find(|(owner, _)| *owner == found.contract)
        {
            // Announced again: the first announcement counts.
            if since.is_some_and(|since| position < since) {
                *since = Some(position);
                return true;
            }
            return false;
        }
        let max_addresses = self.contracts[found.contract]
            .factory
            .as_ref()
            .map_or(0, |factory| factory.max_addresses);
        let name = &self.contracts[found.contract].name;
        if self.counts[found.contract] >= max_addresses {
            if owners.is_empty() {
                self.by_address.remove(&found.address);
            }
            metrics::counter!("chaincast_contract_addresses_refused_total", "contract" => name.to_string()).increment(1);
            if self.full.insert(found.contract) {
                tracing::warn!(contract = %name, max_addresses = max_addresses, "the factory announced more contracts than max_addresses; further ones are ignored");
            }
            return false;
        }
        owners.push((found.contract, Some(position)));
        self.counts[found.contract] += 1;
        true
    }

    /// Removes the addresses announced above a block.
    pub fn unwind(&mut self, to: u64) {
        let counts = &mut self.counts;
        self.by_address.retain(|_, owners| {
            owners.retain(|(owner, since)| {
                let is_kept = since.is_none_or(|(block, _)| block <= to);
                if !is_kept {
                    counts[*owner] -= 1;
                }
                is_kept
            });
            !owners.is_empty()
        });
    }

    /// The contracts whose factory has this address.
    fn contracts_of_factory(&self, log: &IndexedLog) -> Vec<usize> {
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
            if counts && let Some((event, args)) = decode_event(contract, topic, log) {
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

/// Decodes a log as an event of a contract.
fn decode_event(contract: &Contract, topic: &B256, log: &IndexedLog) -> Option<(Arc<str>, String)> {
    let mut named = contract.events.iter();
    named.find(|event| event.topic == *topic)?;
    let event = contract
        .events
        .iter()
        .find(|event| event.matches_topics(&log.topics));
    let decoded = event.and_then(|event| {
        let args = event.decode(&log.topics, &log.data).ok()?;
        Some((event.name.clone(), args))
    });
    if decoded.is_none() {
        count_undecoded(contract);
    }
    decoded
}

fn count_undecoded(contract: &Contract) {
    metrics::counter!("chaincast_contract_undecoded_total", "contract" => contract.name.to_string()).increment(1);
}

#[cfg(test)]
#[path = "address_index_tests.rs"]
mod tests;
