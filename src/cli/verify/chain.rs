//! One chain, block by block: read from the node concurrently, compared in order, in bounded memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    caveats::caveat,
    compare::{Difference, differences},
    contracts,
    progress::Progress,
    range::ComparedRange,
    report::Report,
    retry::{FetchError, with_retries},
    tokens,
};
use chaincast_evm::{
    chain::{BlockTarget, ChainConfig, ChecksConfig, NodeError, Providers, Senders, Tag, Work},
    contract::Contract,
};
use chaincast_model::{IndexMode, IndexedBlock, KnownBlock};
use chaincast_protocol::{B256, BlockRef, ChainId, Channel};
use chaincast_store::{
    Store,
    chain::{self as stored, ChainState, Inconsistency, StoredRows},
};

/// Heights per read from the database.
const PAGE: u64 = 16;
/// Rereads of a block that differs and is not final, with a pause between: the chain may be reorganizing.
const REREADS: u32 = 3;
const REREAD_PAUSE: Duration = Duration::from_secs(2);
/// Most heights that are read again; further differences are reported at once.
const MAX_REREAD_HEIGHTS: usize = 10_000;
/// Most orphaned rows that are reported per table.
const MAX_ORPHANED_ROWS: u32 = 1_000;

/// Number of compared items.
#[derive(Default)]
struct Counts {
    blocks: u64,
    transactions: u64,
    logs: u64,
    transfers: u64,
    events: u64,
}

pub(super) struct Verification {
    config: ChainConfig,
    nodes: Arc<Providers>,
    store: Store,
    chain: ChainId,
    range: ComparedRange,
    /// The node's finalized height; blocks above it may still change.
    finalized: Option<u64>,
    counts: Counts,
    /// The stored block below the next one.
    below: Option<BlockRef>,
    /// The channel that publishes the blocks of the chain.
    block_channel: Channel,
}

impl Verification {
    /// Reads the state of the node and of the database; fails if they have different chains.
    pub(super) async fn prepare(
        config: &ChainConfig,
        first_chain: ChainId,
        store: &Store,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<Self, String> {
        let chain = config.chain_id;
        let describe = |error: NodeError| format!("chain {chain}: {error}");
        let nodes = Arc::new(Providers::new(config).map_err(describe)?);
        let state = state(store, chain)
            .await?
            .ok_or_else(|| format!("chain {chain}: not indexed"))?;
        let head = state
            .head
            .ok_or_else(|| format!("chain {chain}: no blocks indexed"))?;
        nodes.expect(&known_blocks(store, &state).await?);
        nodes.identity().await.map_err(|error| match error.cause() {
            NodeError::WrongGenesis { number, expected, actual, .. } => format!(
                "chain {chain}: the database and the node have different chains: block {number} is {expected} in the database and {actual} on the node"
            ),
            _ => describe(error),
        })?;
        if state.index_mode != config.index {
            return Err(format!(
                "chain {chain}: indexed with index = {:?}, but index = {:?} is configured: correct chains.index",
                state.index_mode.name(),
                config.index.name()
            ));
        }
        let node_head = nodes.tagged(Tag::Latest).await.map_err(describe)?;
        let finalized = nodes.tagged(Tag::Finalized).await.map_err(describe)?;
        let indexed = (state.start_block, head.number);
        let node_head = node_head.map_or(0, |block| block.number);
        let range = ComparedRange::new(indexed, node_head, from, to);
        if let Some(warning) = range.warning() {
            eprintln!("chain {chain}: {warning}");
        }
        if let Some(error) = range.error() {
            return Err(format!("chain {chain}: {error}"));
        }
        Ok(Self {
            config: config.clone(),
            nodes,
            store: store.clone(),
            chain,
            range,
            finalized: finalized.map(|block| block.number),
            counts: Counts::default(),
            below: None,
            block_channel: Channel::NewBlock(Some(chain)).canonical(first_chain),
        })
    }

    /// Compares every block, then the other rows. Differences go to `report`.
    pub(super) async fn run(
        mut self,
        contracts: Arc<[Contract]>,
        report: &mut Report,
    ) -> Result<(), String> {
        let before = report.found();
        let mut progress = Progress::new(self.chain, self.range.to - self.range.from + 1);
        let moving = self.compare_blocks(report, &mut progress).await;
        progress.end();
        self.reread_moving(moving?, report).await?;
        self.compare_events(contracts, report).await?;
        self.check_other_rows(report).await?;
        let found = report.found() - before;
        let Counts {
            blocks,
            transactions,
            logs,
            transfers,
            events,
        } = self.counts;
        println!(
            "chain {}: compared blocks {} to {}: {blocks} blocks, {transactions} transactions, {logs} logs, \
             {transfers} transfers, {events} contract events; {}",
            self.chain,
            self.range.from,
            self.range.to,
            match found {
                0 => "no difference".to_owned(),
                1 => "1 difference".to_owned(),
                more => format!("{more} differences"),
            }
        );
        for uncompared in &self.range.uncompared {
            println!("chain {}: {uncompared}: not compared", self.chain);
            report.mark_incomplete();
        }
        if let Some(caveat) = caveat(&self.config, &with_senders(self.config.checks)) {
            println!("chain {}: {caveat}", self.chain);
        }
        Ok(())
    }

    /// Compares all blocks. Returns the heights that differ and are not final, and whether each was counted.
    async fn compare_blocks(
        &mut self,
        report: &mut Report,
        progress: &mut Progress,
    ) -> Result<Vec<(u64, bool)>, String> {
        let (nodes, config) = (self.nodes.clone(), self.config.clone());
        let mut fetched = stream::iter(self.range.from..=self.range.to)
            .map(|number| {
                let (nodes, config) = (nodes.clone(), config.clone());
                // On its own task, so that checks of several blocks use several threads.
                async move {
                    let task = tokio::spawn(async move { fetch(&nodes, &config, number).await });
                    let failed =
                        |error| FetchError::Unavailable(format!("block {number}: {error}"));
                    task.await.map_err(failed)?
                }
            })
            .buffered(self.config.concurrency.max(1));
        let mut page = BTreeMap::new();
        let mut moving = Vec::new();
        for number in self.range.from..=self.range.to {
            let Some(node) = fetched.next().await else {
                break;
            };
            if (number - self.range.from).is_multiple_of(PAGE) {
                let end = number.saturating_add(PAGE - 1).min(self.range.to);
                page = self.stored(number, end).await?;
            }
            let kept = page.remove(&number).unwrap_or_default();
            let counted = self.count(&node);
            let mut found = self.compared(number, &kept, node)?;
            found.extend(self.parent_mismatch(number, &kept));
            let may_change = self.finalized.is_none_or(|finalized| number > finalized);
            if !found.is_empty() && may_change && moving.len() < MAX_REREAD_HEIGHTS {
                moving.push((number, counted));
            } else {
                progress.suspend(|| {
                    for one in &found {
                        report.add(self.chain, one);
                    }
                });
            }
            progress.step();
        }
        Ok(moving)
    }

    /// The differences between the stored rows of a height and the node's block. A block that the node returns
    /// incorrectly is one difference.
    fn compared(
        &self,
        number: u64,
        kept: &StoredRows,
        node: Result<IndexedBlock, FetchError>,
    ) -> Result<Vec<Difference>, String> {
        let node = match node {
            Ok(node) => node,
            Err(FetchError::Unavailable(error)) => {
                return Err(format!("chain {}: {error}", self.chain));
            }
            Err(FetchError::Invalid(error)) => {
                return Ok(vec![Difference {
                    number,
                    table: "blocks",
                    key: String::new(),
                    what: format!("not compared: {error}"),
                }]);
            }
        };
        Ok(differences(kept, &node))
    }

    /// Counts a block that the node returned; false if it returned none.
    fn count(&mut self, node: &Result<IndexedBlock, FetchError>) -> bool {
        let Ok(node) = node else { return false };
        self.counts.blocks += 1;
        self.counts.transactions += node.transactions.len() as u64;
        self.counts.logs += node.logs.len() as u64;
        self.counts.transfers += node.transfers.len() as u64;
        true
    }

    /// Checks that the parent hash of a stored block is the hash of the stored block below.
    fn parent_mismatch(&mut self, number: u64, kept: &StoredRows) -> Option<Difference> {
        let [blocks, ..] = &kept.tables;
        let row = blocks.first()?;
        let hash = |column: &str| -> Option<B256> {
            let text = row.get(column).cloned().flatten()?;
            text.strip_prefix("\\x")?.parse().ok()
        };
        let before = self.below.take();
        self.below = hash("hash").map(|hash| BlockRef { number, hash });
        let before = before.filter(|before| before.number + 1 == number)?;
        let parent = hash("parent_hash");
        (parent != Some(before.hash)).then(|| Difference {
            number,
            table: "blocks",
            key: String::new(),
            what: format!(
                "parent_hash: stored {}, but the stored block {} is {}",
                parent.map_or("null".to_owned(), |parent| parent.to_string()),
                before.number,
                before.hash
            ),
        })
    }

    /// A block that was reorganized while it was read is not a difference. Rereads both sides until they are equal, the
    /// block is no longer indexed, or the rereads are used up.
    async fn reread_moving(
        &mut self,
        mut moving: Vec<(u64, bool)>,
        report: &mut Report,
    ) -> Result<(), String> {
        for attempt in 1..=REREADS {
            if moving.is_empty() {
                return Ok(());
            }
            if attempt > 1 {
                tokio::time::sleep(REREAD_PAUSE).await;
            }
            let head = state(&self.store, self.chain)
                .await?
                .and_then(|state| state.head)
                .map_or(0, |head| head.number);
            let mut still = Vec::new();
            for (number, mut counted) in moving {
                if number > head {
                    continue;
                }
                let node = fetch(&self.nodes, &self.config, number).await;
                let first = number.saturating_sub(1).max(self.range.from);
                let mut page = self.stored(first, number).await?;
                let kept = page.remove(&number).unwrap_or_default();
                if !counted {
                    counted = self.count(&node);
                }
                let mut found = self.compared(number, &kept, node)?;
                self.below = None;
                if first < number
                    && let Some(before) = page.remove(&first)
                {
                    self.parent_mismatch(first, &before);
                }
                found.extend(self.parent_mismatch(number, &kept));
                match found.is_empty() {
                    true => {}
                    false if attempt < REREADS => still.push((number, counted)),
                    false => found.iter().for_each(|one| report.add(self.chain, one)),
                }
            }
            moving = still;
        }
        Ok(())
    }

    /// Decodes the stored logs of the configured contracts again, and compares the events. Does nothing in an index
    /// mode without logs.
    async fn compare_events(
        &mut self,
        configured: Arc<[Contract]>,
        report: &mut Report,
    ) -> Result<(), String> {
        if self.config.index == IndexMode::Transfers || configured.is_empty() {
            return Ok(());
        }
        let (chain, range) = (self.chain, (self.range.from, self.range.to));
        let report_one = |difference| report.add(chain, &difference);
        let compared =
            contracts::differences(&self.store, chain, configured, range, report_one).await;
        let (events, unknown) = compared.map_err(text)?;
        self.counts.events = events;
        for name in unknown {
            eprintln!(
                "chain {chain}: contract {name} is not indexed as configured, so its events are not compared; \
                 `chaincast serve` or `backfill` decodes them"
            );
        }
        Ok(())
    }

    /// Checks for rows without an indexed block, cursor faults, contradictory rows, and outdated token metadata.
    async fn check_other_rows(&self, report: &mut Report) -> Result<(), String> {
        let mut connection = self.store.pool().acquire().await.map_err(text)?;
        let orphaned_rows = stored::orphaned_rows(&mut connection, self.chain, MAX_ORPHANED_ROWS)
            .await
            .map_err(text)?;
        let cursor = stored::cursor_fault(&mut connection, self.chain)
            .await
            .map_err(text)?;
        let (chain, block_channel) = (self.chain, &self.block_channel);
        let contradictions =
            stored::contradictions(&mut connection, chain, block_channel, MAX_ORPHANED_ROWS)
                .await
                .map_err(text)?;
        drop(connection);
        for Inconsistency {
            number,
            table,
            what,
        } in orphaned_rows
            .into_iter()
            .chain(cursor)
            .chain(contradictions)
        {
            let difference = Difference {
                number,
                table,
                key: String::new(),
                what,
            };
            report.add(self.chain, &difference);
        }
        if self.config.token_metadata {
            let at = self.range.to;
            let report_one = |difference| report.add(chain, &difference);
            tokens::differences(&self.nodes, &self.store, &self.config, at, report_one).await?;
        }
        Ok(())
    }

    async fn stored(&self, from: u64, to: u64) -> Result<BTreeMap<u64, StoredRows>, String> {
        let mut connection = self.store.pool().acquire().await.map_err(text)?;
        stored::read_blocks(&mut connection, self.chain, from, to)
            .await
            .map_err(text)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn state(store: &Store, chain: ChainId) -> Result<Option<ChainState>, String> {
    let mut connection = store.pool().acquire().await.map_err(text)?;
    stored::state(&mut connection, chain).await.map_err(text)
}

async fn known_blocks(store: &Store, state: &ChainState) -> Result<Vec<KnownBlock>, String> {
    let mut connection = store.pool().acquire().await.map_err(text)?;
    stored::known_blocks(&mut connection, state)
        .await
        .map_err(text)
}

/// The configured checks, with senders always recovered. Exception: they are not if the check of senders is off.
fn with_senders(mut checks: ChecksConfig) -> ChecksConfig {
    if checks.senders == Senders::Live {
        checks.senders = Senders::Always;
    }
    checks
}

/// The node's block at a height: the indexed part of it, with at least the indexer's checks.
async fn fetch(
    nodes: &Providers,
    config: &ChainConfig,
    number: u64,
) -> Result<IndexedBlock, FetchError> {
    let checks = with_senders(config.checks);
    with_retries(|| {
        nodes.attempt(Work::History, move |node| async move {
            node.block(BlockTarget::Number(number), &checks).await
        })
    })
    .await
}
