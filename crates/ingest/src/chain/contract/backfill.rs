//! Contract backfill: decodes stored logs from before a contract was configured, downwards.

use std::time::Instant;

use super::{Contracts, backfill_progress::FIRST_WINDOW, stored};
use chaincast_evm::contract::Contract;
use chaincast_protocol::{Address, B256};
use chaincast_store::{StoreError, contracts::StoredLogQuery, writer::Writer};

/// Most logs decoded in one transaction, except those of a single block.
const MAX_LOGS: u32 = 5_000;
/// Up to this many addresses are looked up through the index; with more, logs are read block by block.
const MAX_ADDRESS_LOOKUPS: usize = 1_000;
/// Most rows of removed contracts that one step deletes.
const MAX_DELETED_ROWS: u32 = 10_000;

impl Contracts {
    /// The block down to which a contract must be decoded.
    pub(super) fn goal(&self, contract: usize) -> u64 {
        let start = self.following.contracts()[contract].start_block;
        start.max(self.start_block)
    }

    /// Does one step of the backfill. Returns whether more is left.
    pub(in crate::chain) async fn step(&mut self, writer: &mut Writer) -> Result<bool, StoreError> {
        if self.is_idle() {
            return Ok(false);
        }
        let behind =
            (0..self.ids.len()).find(|&at| self.backfills[at].decoded_from > self.goal(at));
        if let Some(contract) = behind {
            self.decode(writer, contract).await?;
            if self.backfills[contract].decoded_from <= self.goal(contract) {
                let contract = &self.following.contracts()[contract].name;
                tracing::info!(chain_id = self.chain_id, %contract, "contract backfill finished");
            }
            self.report_progress();
        } else if self.retired {
            let mut transaction = writer.begin().await?;
            self.retired =
                stored::delete_retired(&mut transaction, self.chain_id, MAX_DELETED_ROWS).await?;
            transaction.commit().await?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Decodes some blocks below the decoded ones.
    async fn decode(&mut self, writer: &mut Writer, at: usize) -> Result<(), StoreError> {
        let (below, goal) = (self.backfills[at].decoded_from, self.goal(at));
        let from = below.saturating_sub(self.backfills[at].window).max(goal);
        let contract = &self.following.contracts()[at];
        let addresses = self.following.addresses_of(at, MAX_ADDRESS_LOOKUPS);
        let topics: Vec<B256> = contract.events.iter().map(|event| event.topic).collect();
        let wanted = StoredLogQuery {
            chain_id: self.chain_id,
            from,
            below,
            topics: &topics,
            addresses: addresses.as_deref(),
        };
        let began = Instant::now();
        let mut transaction = writer.begin().await?;
        let Some(logs) =
            stored::stored_logs(&mut transaction, wanted, log_limit(from, below)).await?
        else {
            self.backfills[at].window = ((below - from) / 2).max(1);
            return Ok(());
        };
        let mut events = Vec::new();
        for (number, log) in &logs {
            self.following.decode_stored(at, *number, log, &mut events);
        }
        stored::insert_events(&mut transaction, self.chain_id, &self.ids, &events).await?;
        stored::record_decoded(&mut transaction, self.ids[at], from).await?;
        transaction.commit().await?;
        self.count(&events);
        self.backfills[at].decoded_from = from;
        self.backfills[at].adapt_window(began.elapsed());
        Ok(())
    }

    /// Reads the factories' logs in blocks that were not read for them yet, through the index, so that no created contract
    /// is missed from here on.
    pub(super) async fn discover_addresses(
        &mut self,
        writer: &mut Writer,
    ) -> Result<(), StoreError> {
        for at in 0..self.ids.len() {
            let contract = &self.following.contracts()[at];
            let (addresses, topic) = match factory(contract) {
                Some(factory) => factory,
                None => continue,
            };
            while self.backfills[at].found_from > self.start_block {
                let below = self.backfills[at].found_from;
                let window = self.backfills[at].window;
                let from = below.saturating_sub(window).max(self.start_block);
                let wanted = StoredLogQuery {
                    chain_id: self.chain_id,
                    from,
                    below,
                    topics: &[topic],
                    addresses: Some(&addresses),
                };
                let began = Instant::now();
                let mut transaction = writer.begin().await?;
                let logs =
                    stored::stored_logs(&mut transaction, wanted, log_limit(from, below)).await?;
                let Some(logs) = logs else {
                    self.backfills[at].window = ((below - from) / 2).max(1);
                    continue;
                };
                let mut found: Vec<_> = logs
                    .iter()
                    .filter_map(|(number, log)| self.following.announced_address(at, *number, log))
                    .collect();
                found.retain(|one| self.following.add_address(one));
                let decoded =
                    stored::record_found(&mut transaction, self.ids[at], from, &found).await?;
                transaction.commit().await?;
                self.backfills[at].found_from = from;
                self.backfills[at].decoded_from = decoded;
                self.backfills[at].adapt_window(began.elapsed());
            }
            self.backfills[at].window = FIRST_WINDOW;
        }
        Ok(())
    }
}

/// The addresses and the event topic of a contract's factory.
fn factory(contract: &Contract) -> Option<(Vec<Address>, B256)> {
    let factory = contract.factory.as_ref()?;
    Some((factory.addresses.clone(), factory.topic()))
}

/// The limit of logs for these blocks: a single block is never split.
fn log_limit(from: u64, below: u64) -> u32 {
    if below - from > 1 {
        MAX_LOGS
    } else {
        i32::MAX as u32
    }
}
