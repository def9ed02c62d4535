//! Compares the stored events of configured contracts with their stored logs, decoded again by the ABI.
//!
//! Everything is read in one snapshot, so a running indexer does not interfere. A stored event must match its log at
//! any height; a decodable log must have a stored event only where the indexer has already decoded.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::hex;
use sqlx::PgConnection;

use super::compare::{Difference, MAX_PRINTED};
use chaincast_evm::contract::{AddressIndex, Contract};
use chaincast_model::{DecodedEvent, FoundAddress};
use chaincast_protocol::{Address, ChainId};
use chaincast_store::{
    Store, StoreError,
    contracts::{self as stored, InForce, StoredEvent, StoredLogQuery},
};

/// Most logs per read; a single block may have more.
const MAX_LOGS: u32 = 5_000;
/// Blocks per read: at first, and at most.
const FIRST_WINDOW: u64 = 1_000;
const MAX_WINDOW: u64 = 10_000_000;
/// Most addresses to look up one by one in the index; with more, logs are read block by block.
const MAX_ADDRESS_LOOKUPS: usize = 1_000;
/// Most addresses of one factory that are reported.
const MAX_REPORTED_ADDRESSES: u32 = 1_000;

/// Reports where stored events of a chain's contracts, or addresses of their factories, differ from the stored logs of
/// blocks `from` to `to`. Returns the number of compared events, and the contracts that are not indexed as configured.
pub(super) async fn differences(
    store: &Store,
    chain: ChainId,
    configured: Arc<[Contract]>,
    (from, to): (u64, u64),
    mut report: impl FnMut(Difference),
) -> Result<(u64, Vec<Arc<str>>), StoreError> {
    let mut snapshot = store.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *snapshot)
        .await?;
    let in_force = stored::in_force(&mut snapshot, chain).await?;
    let of = |contract: &Contract| {
        let same = |one: &&InForce| one.definition == contract.definition;
        in_force.iter().find(same).copied()
    };
    let states: Vec<_> = configured.iter().map(of).collect();
    // -1 matches no row.
    let ids: Vec<i64> = states
        .iter()
        .map(|state| state.map_or(-1, |it| it.id))
        .collect();
    let mut index = AddressIndex::new(configured);
    for found in stored::found_addresses(&mut snapshot, &ids).await? {
        index.add_address(&found);
    }
    let (mut compared, mut unknown) = (0, Vec::new());
    for (at, state) in states.into_iter().enumerate() {
        let Some(state) = state else {
            unknown.push(index.contracts()[at].name.clone());
            continue;
        };
        let mut comparison = ContractComparison {
            connection: &mut snapshot,
            index: &index,
            chain,
            at,
            state,
            below: to.saturating_add(1),
        };
        comparison.addresses(from, &mut report).await?;
        compared += comparison.events(from, &mut report).await?;
    }
    snapshot.rollback().await?;
    Ok((compared, unknown))
}

/// The comparison of one contract.
struct ContractComparison<'a> {
    connection: &'a mut PgConnection,
    index: &'a AddressIndex,
    chain: ChainId,
    at: usize,
    state: InForce,
    /// End of the range, exclusive.
    below: u64,
}

impl ContractComparison<'_> {
    fn contract(&self) -> &Contract {
        &self.index.contracts()[self.at]
    }

    /// Compares the events window by window; returns how many the logs contain.
    async fn events(
        &mut self,
        from: u64,
        report: &mut impl FnMut(Difference),
    ) -> Result<u64, StoreError> {
        let topics: Vec<_> = self
            .contract()
            .events
            .iter()
            .map(|event| event.topic)
            .collect();
        let addresses = self.index.addresses_of(self.at, MAX_ADDRESS_LOOKUPS);
        let (mut next, mut window, mut count) = (from, FIRST_WINDOW, 0);
        while next < self.below {
            let below = next.saturating_add(window).min(self.below);
            let wanted = StoredLogQuery {
                chain_id: self.chain,
                from: next,
                below,
                topics: &topics,
                addresses: addresses.as_deref(),
            };
            let logs = stored::stored_logs(self.connection, wanted, max_logs(next, below)).await?;
            let Some(logs) = logs else {
                window = ((below - next) / 2).max(1);
                continue;
            };
            let mut decoded = Vec::new();
            for (number, log) in &logs {
                self.index
                    .decode_stored(self.at, *number, log, &mut decoded);
            }
            let kept = stored::events_between(self.connection, self.state.id, next, below).await?;
            count += decoded.len() as u64;
            self.compare(decoded, kept, report);
            if logs.len() < MAX_LOGS as usize / 4 {
                window = window.saturating_mul(4).min(MAX_WINDOW);
            }
            next = below;
        }
        Ok(count)
    }

    fn compare(
        &self,
        decoded: Vec<DecodedEvent>,
        kept: Vec<StoredEvent>,
        report: &mut impl FnMut(Difference),
    ) {
        let name = &self.contract().name;
        let mut differs = |(number, log): (u64, u32), what: String| {
            report(Difference {
                number,
                table: "contract_events",
                key: format!("{name} log_index {log}"),
                what,
            });
        };
        let mut decoded: BTreeMap<_, _> = decoded
            .into_iter()
            .map(|event| ((event.block_number, event.log_index), event))
            .collect();
        for kept in kept {
            let place = (kept.block_number, kept.log_index);
            match decoded.remove(&place) {
                None => differs(
                    place,
                    format!("{} is stored, but its log does not contain it", kept.event),
                ),
                Some(decoded) => {
                    for (column, kept, decoded) in columns(&kept, &decoded) {
                        if kept != decoded {
                            let what = format!(
                                "{column}: stored {}, decoded {}",
                                truncate(&kept),
                                truncate(&decoded)
                            );
                            differs(place, what);
                        }
                    }
                }
            }
        }
        for (place, event) in decoded {
            if place.0 >= self.state.decoded_from {
                differs(
                    place,
                    format!("missing, but the log contains {}", event.event),
                );
            }
        }
    }

    /// Compares the addresses that the factory's logs announce with the stored addresses.
    async fn addresses(
        &mut self,
        from: u64,
        report: &mut impl FnMut(Difference),
    ) -> Result<(), StoreError> {
        let (at, chain) = (self.at, self.chain);
        let index = self.index;
        let contract = &index.contracts()[at];
        let Some(factory) = &contract.factory else {
            return Ok(());
        };
        let difference = |number, key: String, what: String| Difference {
            number,
            table: "contract_addresses",
            key: format!("{}{key}", contract.name),
            what,
        };
        let (topic, emitting_contracts) = (factory.topic(), &factory.addresses);
        let unannounced = stored::unannounced_addresses(
            self.connection,
            chain,
            self.state.id,
            emitting_contracts,
            topic,
            MAX_REPORTED_ADDRESSES,
        );
        for (number, what) in unannounced.await? {
            report(difference(number, String::new(), what));
        }
        let known = stored::found_addresses(self.connection, &[self.state.id]).await?;
        let known: BTreeMap<Address, FoundAddress> = known
            .into_iter()
            .map(|found| (found.address, found))
            .collect();
        // Addresses beyond the limit are not stored.
        let is_full = index.found_count(at) >= factory.max_addresses;
        let (mut next, mut window) = (from.max(self.state.found_from), FIRST_WINDOW);
        while next < self.below {
            let below = next.saturating_add(window).min(self.below);
            let wanted = StoredLogQuery {
                chain_id: chain,
                from: next,
                below,
                topics: &[topic],
                addresses: Some(emitting_contracts),
            };
            let logs = stored::stored_logs(self.connection, wanted, max_logs(next, below)).await?;
            let Some(logs) = logs else {
                window = ((below - next) / 2).max(1);
                continue;
            };
            for (number, log) in &logs {
                let Some(found) = index.announced_address(at, *number, log) else {
                    continue;
                };
                let place = (found.block_number, found.log_index);
                let key = format!(" {} log_index {}", found.address, found.log_index);
                match known.get(&found.address) {
                    // An address that is also configured is not stored.
                    None if is_full || contract.addresses.contains(&found.address) => {}
                    None => report(difference(
                        *number,
                        key,
                        "missing, but the log announces it".to_owned(),
                    )),
                    Some(known) if (known.block_number, known.log_index) > place => {
                        report(difference(
                            *number,
                            key,
                            format!(
                                "stored only from block {} log_index {} on",
                                known.block_number, known.log_index
                            ),
                        ))
                    }
                    Some(_) => {}
                }
            }
            window = window.saturating_mul(4).min(MAX_WINDOW);
            next = below;
        }
        Ok(())
    }
}

fn columns(kept: &StoredEvent, decoded: &DecodedEvent) -> [(&'static str, String, String); 4] {
    [
        ("event", kept.event.clone(), decoded.event.to_string()),
        (
            "address",
            hex::encode_prefixed(&kept.address),
            hex::encode_prefixed(decoded.address),
        ),
        (
            "transaction_index",
            kept.transaction_index.to_string(),
            decoded.transaction_index.to_string(),
        ),
        ("args", kept.args.clone(), decoded.args.clone()),
    ]
}

/// The limit of logs for a range; a single block is never split.
fn max_logs(from: u64, below: u64) -> u32 {
    match below - from {
        1 => i32::MAX as u32,
        _ => MAX_LOGS,
    }
}

fn truncate(text: &str) -> String {
    match text.char_indices().nth(2 * MAX_PRINTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
