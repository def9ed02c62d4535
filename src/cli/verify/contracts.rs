//! The stored events of configured contracts beside what their stored logs say by the ABI, decoded again.
//!
//! All of it is read in one snapshot, so that a running indexer does not come in between. An event that is stored must be
//! in its log wherever it is; one that is in a log must be stored only where the indexer has decoded already.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::hex;
use sqlx::PgConnection;

use super::compare::{Difference, LONGEST};
use crate::{
    model::{Address, ChainId, DecodedEvent, FoundAddress},
    source::contract::{Contract, Following},
    store::{
        Store, StoreError,
        contracts::{self as stored, InForce, PastLogs, StoredEvent},
    },
};

/// Most logs decoded at once, except those of a single block.
const MOST_LOGS: u32 = 5_000;
/// Blocks looked at first, and at most.
const FIRST_WINDOW: u64 = 1_000;
const LARGEST_WINDOW: u64 = 10_000_000;
/// Addresses looked up in the index one by one; logs of more are found block by block.
const LOOKED_UP: usize = 1_000;
/// Addresses of one factory that are listed at most.
const MOST_ADDRESSES: u32 = 1_000;

/// Tells where stored events of a chain's contracts, or addresses of their factories, differ from the stored logs of the
/// blocks `from` to `to`. Returns how many events were compared, and the contracts that are not indexed as configured.
pub(super) async fn differences(
    store: &Store,
    chain: ChainId,
    configured: Arc<[Contract]>,
    (from, to): (u64, u64),
    mut tell: impl FnMut(Difference),
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
    // A row that is not there has no id.
    let ids: Vec<i64> = states
        .iter()
        .map(|state| state.map_or(-1, |it| it.id))
        .collect();
    let mut following = Following::new(configured);
    for found in stored::found_addresses(&mut snapshot, &ids).await? {
        following.follow(&found);
    }
    let (mut compared, mut unknown) = (0, Vec::new());
    for (at, state) in states.into_iter().enumerate() {
        let Some(state) = state else {
            unknown.push(following.contracts()[at].name.clone());
            continue;
        };
        let mut pass = Pass {
            connection: &mut snapshot,
            following: &following,
            chain,
            at,
            state,
            below: to.saturating_add(1),
        };
        pass.addresses(from, &mut tell).await?;
        compared += pass.events(from, &mut tell).await?;
    }
    snapshot.rollback().await?;
    Ok((compared, unknown))
}

/// One contract.
struct Pass<'a> {
    connection: &'a mut PgConnection,
    following: &'a Following,
    chain: ChainId,
    at: usize,
    state: InForce,
    /// The end of the range.
    below: u64,
}

impl Pass<'_> {
    fn contract(&self) -> &Contract {
        &self.following.contracts()[self.at]
    }

    /// Compares the events, window by window; how many are in the logs.
    async fn events(
        &mut self,
        from: u64,
        tell: &mut impl FnMut(Difference),
    ) -> Result<u64, StoreError> {
        let topics: Vec<_> = self
            .contract()
            .events
            .iter()
            .map(|event| event.topic)
            .collect();
        let addresses = self.following.addresses_of(self.at, LOOKED_UP);
        let (mut next, mut window, mut count) = (from, FIRST_WINDOW, 0);
        while next < self.below {
            let below = next.saturating_add(window).min(self.below);
            let wanted = PastLogs {
                chain_id: self.chain,
                from: next,
                below,
                topics: &topics,
                addresses: addresses.as_deref(),
            };
            let logs = stored::past_logs(self.connection, wanted, most(next, below)).await?;
            let Some(logs) = logs else {
                window = ((below - next) / 2).max(1);
                continue;
            };
            let mut said = Vec::new();
            for (number, log) in &logs {
                self.following.read_past(self.at, *number, log, &mut said);
            }
            let kept = stored::events_between(self.connection, self.state.id, next, below).await?;
            count += said.len() as u64;
            self.compare(said, kept, tell);
            if logs.len() < MOST_LOGS as usize / 4 {
                window = window.saturating_mul(4).min(LARGEST_WINDOW);
            }
            next = below;
        }
        Ok(count)
    }

    fn compare(
        &self,
        said: Vec<DecodedEvent>,
        kept: Vec<StoredEvent>,
        tell: &mut impl FnMut(Difference),
    ) {
        let name = &self.contract().name;
        let mut differs = |(number, log): (u64, u32), what: String| {
            tell(Difference {
                number,
                table: "contract_events",
                key: format!("{name} log_index {log}"),
                what,
            });
        };
        let mut said: BTreeMap<_, _> = said
            .into_iter()
            .map(|event| ((event.block_number, event.log_index), event))
            .collect();
        for kept in kept {
            let place = (kept.block_number, kept.log_index);
            match said.remove(&place) {
                None => differs(
                    place,
                    format!("{} is stored, but the log does not say it", kept.event),
                ),
                Some(said) => {
                    for (column, kept, said) in columns(&kept, &said) {
                        if kept != said {
                            let what =
                                format!("{column}: stored {}, decoded {}", cut(&kept), cut(&said));
                            differs(place, what);
                        }
                    }
                }
            }
        }
        for (place, event) in said {
            if place.0 >= self.state.decoded_from {
                differs(place, format!("missing, but the log says {}", event.event));
            }
        }
    }

    /// Compares what the factory announced with the addresses that are known.
    async fn addresses(
        &mut self,
        from: u64,
        tell: &mut impl FnMut(Difference),
    ) -> Result<(), StoreError> {
        let (at, chain) = (self.at, self.chain);
        let following = self.following;
        let contract = &following.contracts()[at];
        let Some(factory) = &contract.factory else {
            return Ok(());
        };
        let difference = |number, key: String, what: String| Difference {
            number,
            table: "contract_addresses",
            key: format!("{}{key}", contract.name),
            what,
        };
        let (topic, emitters) = (factory.topic(), &factory.addresses);
        let strange = stored::unannounced(
            self.connection,
            chain,
            self.state.id,
            emitters,
            topic,
            MOST_ADDRESSES,
        );
        for (number, what) in strange.await? {
            tell(difference(number, String::new(), what));
        }
        let known = stored::found_addresses(self.connection, &[self.state.id]).await?;
        let known: BTreeMap<Address, FoundAddress> = known
            .into_iter()
            .map(|found| (found.address, found))
            .collect();
        // Beyond the most that are followed, none is stored.
        let is_full = following.found_count(at) >= factory.max_addresses;
        let (mut next, mut window) = (from.max(self.state.found_from), FIRST_WINDOW);
        while next < self.below {
            let below = next.saturating_add(window).min(self.below);
            let wanted = PastLogs {
                chain_id: chain,
                from: next,
                below,
                topics: &[topic],
                addresses: Some(emitters),
            };
            let logs = stored::past_logs(self.connection, wanted, most(next, below)).await?;
            let Some(logs) = logs else {
                window = ((below - next) / 2).max(1);
                continue;
            };
            for (number, log) in &logs {
                let Some(found) = following.announced(at, *number, log) else {
                    continue;
                };
                let place = (found.block_number, found.log_index);
                let key = format!(" {} log_index {}", found.address, found.log_index);
                match known.get(&found.address) {
                    // An address that is configured as well is not stored.
                    None if is_full || contract.addresses.contains(&found.address) => {}
                    None => tell(difference(
                        *number,
                        key,
                        "missing, but the log announces it".to_owned(),
                    )),
                    Some(known) if (known.block_number, known.log_index) > place => {
                        tell(difference(
                            *number,
                            key,
                            format!(
                                "stored from block {} log_index {} on only",
                                known.block_number, known.log_index
                            ),
                        ))
                    }
                    Some(_) => {}
                }
            }
            window = window.saturating_mul(4).min(LARGEST_WINDOW);
            next = below;
        }
        Ok(())
    }
}

fn columns(kept: &StoredEvent, said: &DecodedEvent) -> [(&'static str, String, String); 4] {
    [
        ("event", kept.event.clone(), said.event.to_string()),
        (
            "address",
            hex::encode_prefixed(&kept.address),
            hex::encode_prefixed(said.address),
        ),
        (
            "transaction_index",
            kept.transaction_index.to_string(),
            said.transaction_index.to_string(),
        ),
        ("args", kept.args.clone(), said.args.clone()),
    ]
}

/// Most logs of these blocks: one block is never cut.
fn most(from: u64, below: u64) -> u32 {
    match below - from {
        1 => i32::MAX as u32,
        _ => MOST_LOGS,
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(2 * LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
