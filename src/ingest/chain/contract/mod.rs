//! Configured contracts beside the blocks: what their logs say is stored and announced with the block, and what was
//! said before a contract was configured is decoded from stored logs, without asking the node.
//!
//! The state of one session of the chain's writer. Promises that at every commit each definition in force is decoded
//! from its `decoded_from` to the head, without a gap or a duplicate at the seam: the newest blocks when they are
//! committed, older ones downward in small transactions while the writer has nothing else to do.

mod news;
mod past;
mod telemetry;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use self::past::Past;
pub(super) use self::telemetry::describe;
use super::{IngestError, Parts, commit::COMMIT_PATIENCE, session::PATIENCE};
use crate::{
    model::{BlockRef, ChainId, IndexedBlock},
    source::contract::{Contract, Following, Reading},
    store::{
        StoreError,
        chain::{self, ChainState},
        contracts::{self as stored, Definition},
        writer::Writer,
    },
};

/// How long stored logs are decoded before a node that is away is asked again.
const MEANWHILE: Duration = Duration::from_secs(2);

/// The contracts of one chain, and how far each is decoded.
pub(super) struct Contracts {
    chain_id: ChainId,
    following: Following,
    /// Rows of the contracts, in their order.
    ids: Vec<i64>,
    past: Vec<Past>,
    /// Where the stored chain begins.
    start_block: u64,
    /// Rows of definitions that are no longer in force may be left.
    retired: bool,
}

impl Contracts {
    /// Puts the configured contracts in force and learns what their factories announced so far.
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
        let mut following = Following::new(configured);
        for found in stored::found_addresses(writer.connection(), &ids).await? {
            following.follow(&found);
        }
        let mut contracts = Self {
            chain_id,
            following,
            ids,
            past: states.iter().map(Past::of).collect(),
            start_block: start,
            retired: true,
        };
        contracts.find(writer).await?;
        contracts.show();
        Ok(contracts)
    }

    /// Reads the next blocks, behind `ancestor` if the chain goes back there first. What is not committed then must
    /// not be read again: a commit that fails ends the session.
    pub(super) fn read(&mut self, ancestor: Option<BlockRef>, blocks: &[IndexedBlock]) -> Reading {
        if let Some(ancestor) = ancestor {
            self.following.unwind(ancestor.number);
            for past in &mut self.past {
                past.unwind(ancestor.number);
            }
        }
        let mut all = Reading::default();
        for block in blocks {
            let read = self.following.read(block.header.number, &block.logs);
            all.events.extend(read.events);
            all.found.extend(read.found);
        }
        all
    }

    /// Stores what the blocks up to `last` gave, in their transaction.
    pub(super) async fn insert(
        &self,
        transaction: &mut PgConnection,
        read: &Reading,
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

    /// Whether anything is configured here, now or before.
    fn is_idle(&self) -> bool {
        self.ids.is_empty() && !self.retired
    }
}

fn definition(contract: &Contract) -> Definition {
    let factory = contract.factory.as_ref();
    Definition {
        name: contract.key(),
        shown: contract.name.to_string(),
        definition: contract.definition,
        addresses: factory
            .map_or(&contract.addresses, |factory| &factory.addresses)
            .clone(),
        factory_event: factory.map(|factory| factory.signature().to_owned()),
        events: {
            let signatures = contract.events.iter();
            let mut signatures: Vec<_> = signatures.map(|event| event.signature.clone()).collect();
            // Two may differ in nothing but what is indexed.
            signatures.dedup();
            signatures
        },
        start_block: contract.start_block,
    }
}

impl Parts {
    /// The contracts of this chain, for the session that begins.
    pub(super) async fn contracts(
        &self,
        writer: &mut Writer,
        state: &ChainState,
    ) -> Result<Contracts, IngestError> {
        let opened = Contracts::open(writer, state, self.contracts.clone());
        self.within(COMMIT_PATIENCE, opened).await
    }

    /// While the node does not say which chain it serves: what is stored can be decoded without it, for a while.
    pub(super) async fn decode_meanwhile(
        &self,
        writer: &mut Writer,
        stop: &CancellationToken,
    ) -> Result<(), IngestError> {
        let stored = chain::state(writer.connection(), self.config.chain_id);
        let Some(state) = self.within(PATIENCE, stored).await? else {
            return Ok(());
        };
        let mut contracts = self.contracts(writer, &state).await?;
        let until = Instant::now() + MEANWHILE;
        while Instant::now() < until && !stop.is_cancelled() {
            if !self.within(COMMIT_PATIENCE, contracts.step(writer)).await? {
                break;
            }
        }
        Ok(())
    }
}
