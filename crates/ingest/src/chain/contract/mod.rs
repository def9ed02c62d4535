//! Events of configured contracts. New blocks are decoded, stored and announced with their commit; logs from before a
//! contract was configured are decoded from the store, without requests to the node.
//!
//! This state lives as long as the writer holds the lock. Promises that at every commit each active definition is decoded
//! from its `decoded_from` to the head, without gaps or duplicates: the newest blocks when they are committed, older ones
//! downwards in small transactions while the writer is otherwise idle.

mod backfill;
mod backfill_progress;
mod telemetry;
mod updates;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use self::backfill_progress::ContractBackfill;
pub(super) use self::telemetry::describe;
use super::{
    IngestError, Parts,
    timeouts::{COMMIT_TIMEOUT, STORE_TIMEOUT},
};
use chaincast_evm::contract::{AddressIndex, Contract, DecodedLogs};
use chaincast_model::{DecodedEvent, IndexedBlock};
use chaincast_protocol::{BlockRef, ChainId};
use chaincast_store::{
    StoreError,
    chain::{self, ChainState},
    contracts::{self as stored, Definition},
    writer::Writer,
};

/// How long stored logs are decoded before an unreachable node is tried again.
const OFFLINE_SLICE: Duration = Duration::from_secs(2);

/// The contracts of one chain, and how far each is decoded.
pub(super) struct Contracts {
    chain_id: ChainId,
    following: AddressIndex,
    /// Row ids of the contracts, in their order.
    ids: Vec<i64>,
    backfills: Vec<ContractBackfill>,
    /// The first block of the stored chain.
    start_block: u64,
    /// Rows of removed definitions may be left to delete.
    retired: bool,
}

impl Contracts {
    /// Activates the configured contracts and discovers the addresses that their factories have created.
    pub(super) async fn open(
        writer: &mut Writer,
        state: &ChainState,
        configured: Arc<[Contract]>,
    ) -> Result<Self, StoreError> {
        let definitions: Vec<_> = configured.iter().map(definition).collect();
        let (chain_id, start) = (state.chain_id, state.start_block);
        let mut transaction = writer.begin().await?;
        let states =
            stored::sync(&mut transaction, chain_id, start, state.head, &definitions).await?;
        transaction.commit().await?;
        let ids: Vec<_> = states.iter().map(|state| state.id).collect();
        let mut following = AddressIndex::new(configured);
        for found in stored::found_addresses(writer.connection(), &ids).await? {
            following.add_address(&found);
        }
        let mut contracts = Self {
            chain_id,
            following,
            ids,
            backfills: states.iter().map(ContractBackfill::new).collect(),
            start_block: start,
            retired: true,
        };
        contracts.discover_addresses(writer).await?;
        contracts.report_progress();
        Ok(contracts)
    }

    /// Decodes the next blocks, on top of `ancestor` if the chain unwinds to it first. Blocks that are then not committed
    /// must not be decoded again: a failed commit ends this state.
    pub(super) fn read(
        &mut self,
        ancestor: Option<BlockRef>,
        blocks: &[IndexedBlock],
    ) -> DecodedLogs {
        if let Some(ancestor) = ancestor {
            self.following.unwind(ancestor.number);
            for backfills in &mut self.backfills {
                backfills.unwind(ancestor.number);
            }
        }
        let mut all = DecodedLogs::default();
        for block in blocks {
            let read = self.following.decode(block.header.number, &block.logs);
            all.events.extend(read.events);
            all.found.extend(read.found);
        }
        all
    }

    /// Stores the decoded events of the blocks up to `last`, in their transaction.
    pub(super) async fn insert(
        &self,
        transaction: &mut PgConnection,
        read: &DecodedLogs,
        last: Option<BlockRef>,
    ) -> Result<(), StoreError> {
        let Some(last) = last else { return Ok(()) };
        let (events, found) = (&read.events, &read.found);
        stored::insert(
            transaction,
            self.chain_id,
            &self.ids,
            events,
            found,
            last.number,
        )
        .await
    }

    /// Counts events by contract.
    fn count(&self, events: &[DecodedEvent]) {
        let mut counts = HashMap::<_, u64>::new();
        for event in events {
            *counts.entry(event.contract).or_default() += 1;
        }
        for (at, count) in counts {
            telemetry::count_events(&self.following.contracts()[at], count);
        }
    }

    /// Records the progress of each contract.
    fn report_progress(&self) {
        for (at, contract) in self.following.contracts().iter().enumerate() {
            let decoded_from = self.backfills[at].decoded_from;
            let left = decoded_from.saturating_sub(self.goal(at));
            telemetry::report_progress(contract, left, self.following.found_count(at));
        }
    }

    /// Whether no contract is configured and no removed one is left to delete.
    fn is_idle(&self) -> bool {
        self.ids.is_empty() && !self.retired
    }
}

fn definition(contract: &Contract) -> Definition {
    let factory = contract.factory.as_ref();
    Definition {
        name: contract.key(),
        display_name: contract.name.to_string(),
        definition: contract.definition,
        addresses: factory
            .map_or(&contract.addresses, |factory| &factory.addresses)
            .clone(),
        factory_event: factory.map(|factory| factory.signature().to_owned()),
        events: {
            let signatures = contract.events.iter();
            let mut signatures: Vec<_> = signatures.map(|event| event.signature.clone()).collect();
            // Two events may differ only in their indexed parameters.
            signatures.dedup();
            signatures
        },
        start_block: contract.start_block,
    }
}

impl Parts {
    /// Opens the contracts of this chain.
    pub(super) async fn contracts(
        &self,
        writer: &mut Writer,
        state: &ChainState,
    ) -> Result<Contracts, IngestError> {
        let opened = Contracts::open(writer, state, self.contracts.clone());
        self.within(COMMIT_TIMEOUT, opened).await
    }

    /// Decodes stored logs for a short time while the node is unreachable: this needs no node.
    pub(super) async fn decode_offline(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<(), IngestError> {
        let stored = chain::state(writer.connection(), self.config.chain_id);
        let Some(state) = self.within(STORE_TIMEOUT, stored).await? else {
            return Ok(());
        };
        let mut contracts = self.contracts(writer, &state).await?;
        let until = Instant::now() + OFFLINE_SLICE;
        while Instant::now() < until && !stop.is_cancelled() {
            if !self.within(COMMIT_TIMEOUT, contracts.step(writer)).await? {
                break;
            }
        }
        Ok(())
    }
}
