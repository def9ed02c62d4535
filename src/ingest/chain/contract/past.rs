//! Stored logs of before a contract was known, decoded downward from where it became known.

use std::time::{Duration, Instant};

use super::{Contracts, stored};
use crate::{
    model::{Address, B256},
    source::contract::Contract,
    store::{
        StoreError,
        contracts::{ContractState, PastLogs},
        writer::Writer,
    },
};

/// Most logs decoded in one transaction, except those of a single block.
const MOST_LOGS: u32 = 5_000;
/// Blocks looked at first, and at most.
const FIRST_WINDOW: u64 = 1_000;
const LARGEST_WINDOW: u64 = 10_000_000;
/// A step is smaller when the last took longer, and larger when it was over sooner: new blocks wait for a step.
const SLOW: Duration = Duration::from_millis(250);
const QUICK: Duration = Duration::from_millis(50);
/// Addresses looked up in the index one by one; logs of more are found block by block.
const LOOKED_UP: usize = 1_000;
/// Rows of what is no longer configured that one step deletes.
const DELETED: u32 = 10_000;

/// How far a contract's past is known.
pub(super) struct Past {
    pub(super) decoded_from: u64,
    found_from: u64,
    window: u64,
}

impl Past {
    pub(super) fn of(state: &ContractState) -> Self {
        Self {
            decoded_from: state.decoded_from,
            found_from: state.found_from,
            window: FIRST_WINDOW,
        }
    }

    pub(super) fn unwind(&mut self, to: u64) {
        self.decoded_from = self.decoded_from.min(to + 1);
        self.found_from = self.found_from.min(to + 1);
    }

    fn took(&mut self, took: Duration) {
        if took > SLOW {
            self.window = (self.window / 2).max(1);
        } else if took < QUICK {
            self.window = (self.window * 4).min(LARGEST_WINDOW);
        }
    }
}

impl Contracts {
    /// The block down to which a contract has to be decoded.
    pub(super) fn goal(&self, contract: usize) -> u64 {
        let start = self.following.contracts()[contract].start_block;
        start.max(self.start_block)
    }

    /// Does one small piece of what is left to do with the past. Returns whether more is left.
    pub(in crate::ingest::chain) async fn step(
        &mut self,
        writer: &mut Writer,
    ) -> Result<bool, StoreError> {
        if self.is_idle() {
            return Ok(false);
        }
        let behind = (0..self.ids.len()).find(|&at| self.past[at].decoded_from > self.goal(at));
        if let Some(contract) = behind {
            self.decode(writer, contract).await?;
            if self.past[contract].decoded_from <= self.goal(contract) {
                let contract = &self.following.contracts()[contract].name;
                tracing::info!(chain_id = self.chain_id, %contract, "the contract's past is decoded");
            }
            self.show();
        } else if self.retired {
            let mut transaction = writer.begin().await?;
            self.retired = stored::delete_retired(&mut transaction, self.chain_id, DELETED).await?;
            transaction.commit().await?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Decodes some blocks below those that are decoded.
    async fn decode(&mut self, writer: &mut Writer, at: usize) -> Result<(), StoreError> {
        let (below, goal) = (self.past[at].decoded_from, self.goal(at));
        let from = below.saturating_sub(self.past[at].window).max(goal);
        let contract = &self.following.contracts()[at];
        let addresses = self.following.addresses_of(at, LOOKED_UP);
        let topics: Vec<B256> = contract.events.iter().map(|event| event.topic).collect();
        let wanted = PastLogs {
            chain_id: self.chain_id,
            from,
            below,
            topics: &topics,
            addresses: addresses.as_deref(),
        };
        let began = Instant::now();
        let mut transaction = writer.begin().await?;
        let Some(logs) = stored::past_logs(&mut transaction, wanted, most(from, below)).await?
        else {
            self.past[at].window = ((below - from) / 2).max(1);
            return Ok(());
        };
        let mut events = Vec::new();
        for (number, log) in &logs {
            self.following.read_past(at, *number, log, &mut events);
        }
        stored::insert_past(&mut transaction, self.chain_id, &self.ids, &events).await?;
        stored::record_decoded(&mut transaction, self.ids[at], from).await?;
        transaction.commit().await?;
        self.count(&events);
        self.past[at].decoded_from = from;
        self.past[at].took(began.elapsed());
        Ok(())
    }

    /// Reads what factories announced in blocks that were not read for it, so that no contract is missed from here
    /// on. Their own logs only, through the index.
    pub(super) async fn find(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        for at in 0..self.ids.len() {
            let contract = &self.following.contracts()[at];
            let (addresses, topic) = match factory(contract) {
                Some(factory) => factory,
                None => continue,
            };
            while self.past[at].found_from > self.start_block {
                let below = self.past[at].found_from;
                let window = self.past[at].window;
                let from = below.saturating_sub(window).max(self.start_block);
                let wanted = PastLogs {
                    chain_id: self.chain_id,
                    from,
                    below,
                    topics: &[topic],
                    addresses: Some(&addresses),
                };
                let began = Instant::now();
                let mut transaction = writer.begin().await?;
                let logs = stored::past_logs(&mut transaction, wanted, most(from, below)).await?;
                let Some(logs) = logs else {
                    self.past[at].window = ((below - from) / 2).max(1);
                    continue;
                };
                let mut found: Vec<_> = logs
                    .iter()
                    .filter_map(|(number, log)| self.following.announced(at, *number, log))
                    .collect();
                found.retain(|one| self.following.follow(one));
                let decoded =
                    stored::record_found(&mut transaction, self.ids[at], from, &found).await?;
                transaction.commit().await?;
                self.past[at].found_from = from;
                self.past[at].decoded_from = decoded;
                self.past[at].took(began.elapsed());
            }
            self.past[at].window = FIRST_WINDOW;
        }
        Ok(())
    }
}

/// The addresses and the event of a contract's factory.
fn factory(contract: &Contract) -> Option<(Vec<Address>, B256)> {
    let factory = contract.factory.as_ref()?;
    Some((factory.addresses.clone(), factory.topic()))
}

/// Most logs of these blocks: one block is never cut.
fn most(from: u64, below: u64) -> u32 {
    if below - from > 1 {
        MOST_LOGS
    } else {
        i32::MAX as u32
    }
}
