//! One chain, block by block: read from the node concurrently, compared in order, in bounded memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    caveat::caveat,
    compare::{Difference, differences},
    contracts,
    patience::{Unfetched, patiently},
    progress::Progress,
    report::Report,
    tokens,
};
use crate::{
    model::{B256, BlockRef, ChainId, Channel, IndexMode, IndexedBlock, KnownBlock},
    source::{
        chain::{ChainConfig, ChecksConfig, NodeError, Providers, Senders, Tag, Wanted, Work},
        contract::Contract,
    },
    store::{
        Store,
        chain::{self as stored, ChainState, StoredRows, Stray},
    },
};

/// Heights read from the database at once.
const PAGE: u64 = 16;
/// Blocks that are not final and differ are looked at again so often, with a moment between: the chain may be moving.
const LOOKS: u32 = 3;
const MOMENT: Duration = Duration::from_secs(2);
/// Most heights that are looked at again; beyond it they count as they are.
const MOST_MOVING: usize = 10_000;
/// Rows that belong nowhere, told at most for each table.
const MOST_STRAYS: u32 = 1_000;

/// What was compared.
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
    from: u64,
    to: u64,
    /// What was asked for and cannot be compared.
    left_out: Vec<String>,
    /// The node's finalized height: what is above may change at any moment.
    settled: Option<u64>,
    counts: Counts,
    /// Hash of the stored block before the next, by height.
    below: Option<BlockRef>,
    /// Where its blocks are announced.
    announced: Channel,
}

impl Verification {
    /// Asks both sides where they stand, and fails when they are not of one chain.
    pub(super) async fn begin(
        config: &ChainConfig,
        first_chain: ChainId,
        store: &Store,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<Self, String> {
        let chain = config.chain_id;
        let told = |error: NodeError| format!("chain {chain}: {error}");
        let nodes = Arc::new(Providers::new(config).map_err(told)?);
        let state = state(store, chain)
            .await?
            .ok_or_else(|| format!("chain {chain}: nothing is indexed"))?;
        let head = state
            .head
            .ok_or_else(|| format!("chain {chain}: no block is indexed"))?;
        nodes.expect(&known_blocks(store, &state).await?);
        nodes.identity().await.map_err(|error| match error.cause() {
            NodeError::WrongGenesis { number, expected, actual, .. } => format!(
                "chain {chain}: the database has a chain whose block {number} is {expected}, the node's is {actual}: they are two chains"
            ),
            _ => told(error),
        })?;
        if state.index_mode != config.index {
            return Err(format!(
                "chain {chain}: it is indexed as {:?}, but index = {:?} is configured: correct chains.index",
                state.index_mode.name(),
                config.index.name()
            ));
        }
        let node_head = nodes.tagged(Tag::Latest).await.map_err(told)?;
        let node_head = node_head.map_or(0, |block| block.number);
        let settled = nodes.tagged(Tag::Finalized).await.map_err(told)?;
        let mut left_out = Vec::new();
        if let Some(asked) = from.filter(|asked| *asked < state.start_block) {
            let below = state.start_block - 1;
            left_out.push(format!("blocks {asked} to {below} are not indexed"));
        }
        if let Some(asked) = to.filter(|asked| *asked > head.number) {
            let above = from.unwrap_or(0).max(head.number + 1);
            left_out.push(format!("blocks {above} to {asked} are not indexed"));
        }
        if let Some(asked) = to.filter(|asked| node_head < (*asked).min(head.number)) {
            let (above, asked) = (node_head + 1, asked.min(head.number));
            left_out.push(format!(
                "the node does not have blocks {above} to {asked} yet"
            ));
        }
        let from = from.unwrap_or(0).max(state.start_block);
        let last = to.unwrap_or(u64::MAX).min(head.number);
        if node_head < last {
            eprintln!(
                "chain {chain}: the node is at block {node_head}, behind the index at {}: what is above is not compared",
                head.number
            );
        }
        let to = last.min(node_head);
        if from > to {
            return Err(format!(
                "chain {chain}: no block from {from} on to compare: indexed are {} to {}, the node is at {node_head}",
                state.start_block, head.number
            ));
        }
        Ok(Self {
            config: config.clone(),
            nodes,
            store: store.clone(),
            chain,
            from,
            to,
            left_out,
            settled: settled.map(|block| block.number),
            counts: Counts::default(),
            below: None,
            announced: Channel::NewBlock((chain != first_chain).then_some(chain)),
        })
    }

    /// Compares every block, then what stands around them. What differs goes to `report`.
    pub(super) async fn run(
        mut self,
        contracts: Arc<[Contract]>,
        report: &mut Report,
    ) -> Result<(), String> {
        let before = report.found();
        let mut progress = Progress::new(self.chain, self.to - self.from + 1);
        let moving = self.walk(report, &mut progress).await;
        progress.end();
        self.look_again(moving?, report).await?;
        self.decode_again(contracts, report).await?;
        self.look_around(report).await?;
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
            self.from,
            self.to,
            match found {
                0 => "no difference".to_owned(),
                1 => "1 difference".to_owned(),
                more => format!("{more} differences"),
            }
        );
        for left_out in &self.left_out {
            println!("chain {}: {left_out}, and were not compared", self.chain);
            report.leave_out();
        }
        if let Some(caveat) = caveat(&self.config, &thorough(self.config.checks)) {
            println!("chain {}: {caveat}", self.chain);
        }
        Ok(())
    }

    /// Returns the heights that differ and are not final, and whether each was counted.
    async fn walk(
        &mut self,
        report: &mut Report,
        progress: &mut Progress,
    ) -> Result<Vec<(u64, bool)>, String> {
        let (nodes, config) = (self.nodes.clone(), self.config.clone());
        let mut fetched = stream::iter(self.from..=self.to)
            .map(|number| {
                let (nodes, config) = (nodes.clone(), config.clone());
                // On a task of its own, so that checking several blocks uses several threads.
                async move {
                    let task = tokio::spawn(async move { fetch(&nodes, &config, number).await });
                    let failed = |error| Unfetched::Away(format!("block {number}: {error}"));
                    task.await.map_err(failed)?
                }
            })
            .buffered(self.config.concurrency.max(1));
        let mut page = BTreeMap::new();
        let mut moving = Vec::new();
        for number in self.from..=self.to {
            let Some(node) = fetched.next().await else {
                break;
            };
            if (number - self.from).is_multiple_of(PAGE) {
                let end = number.saturating_add(PAGE - 1).min(self.to);
                page = self.stored(number, end).await?;
            }
            let kept = page.remove(&number).unwrap_or_default();
            let counted = self.count(&node);
            let mut found = self.compared(number, &kept, node)?;
            found.extend(self.link(number, &kept));
            let moves = self.settled.is_none_or(|settled| number > settled);
            if !found.is_empty() && moves && moving.len() < MOST_MOVING {
                moving.push((number, counted));
            } else {
                progress.beside(|| {
                    for one in &found {
                        report.tell(self.chain, one);
                    }
                });
            }
            progress.step();
        }
        Ok(moving)
    }

    /// Where the stored rows of a height differ from the node's block; a block that the node gives wrongly is one
    /// difference.
    fn compared(
        &self,
        number: u64,
        kept: &StoredRows,
        node: Result<IndexedBlock, Unfetched>,
    ) -> Result<Vec<Difference>, String> {
        let node = match node {
            Ok(node) => node,
            Err(Unfetched::Away(error)) => return Err(format!("chain {}: {error}", self.chain)),
            Err(Unfetched::Wrong(error)) => {
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

    /// Counts a block that the node gave; false when it did not.
    fn count(&mut self, node: &Result<IndexedBlock, Unfetched>) -> bool {
        let Ok(node) = node else { return false };
        self.counts.blocks += 1;
        self.counts.transactions += node.transactions.len() as u64;
        self.counts.logs += node.logs.len() as u64;
        self.counts.transfers += node.transfers.len() as u64;
        true
    }

    /// Whether the stored block names the stored one before it as its parent.
    fn link(&mut self, number: u64, kept: &StoredRows) -> Option<Difference> {
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
                parent.map_or("nothing".to_owned(), |parent| parent.to_string()),
                before.number,
                before.hash
            ),
        })
    }

    /// Blocks that were being reorganised while they were read are no difference: they are read again, both sides anew,
    /// until they are equal, gone from the index, or differ still.
    async fn look_again(
        &mut self,
        mut moving: Vec<(u64, bool)>,
        report: &mut Report,
    ) -> Result<(), String> {
        for look in 1..=LOOKS {
            if moving.is_empty() {
                return Ok(());
            }
            if look > 1 {
                tokio::time::sleep(MOMENT).await;
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
                let first = number.saturating_sub(1).max(self.from);
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
                    self.link(first, &before);
                }
                found.extend(self.link(number, &kept));
                match found.is_empty() {
                    true => {}
                    false if look < LOOKS => still.push((number, counted)),
                    false => found.iter().for_each(|one| report.tell(self.chain, one)),
                }
            }
            moving = still;
        }
        Ok(())
    }

    /// Decodes the stored logs of configured contracts again. Where no logs are stored, nothing is decoded.
    async fn decode_again(
        &mut self,
        configured: Arc<[Contract]>,
        report: &mut Report,
    ) -> Result<(), String> {
        if self.config.index == IndexMode::Transfers || configured.is_empty() {
            return Ok(());
        }
        let (chain, range) = (self.chain, (self.from, self.to));
        let tell = |difference| report.tell(chain, &difference);
        let compared = contracts::differences(&self.store, chain, configured, range, tell).await;
        let (events, unknown) = compared.map_err(text)?;
        self.counts.events = events;
        for name in unknown {
            eprintln!(
                "chain {chain}: contract {name} is not indexed as it is configured: its events are not compared; \
                 `chaincast serve` or `backfill` decodes them"
            );
        }
        Ok(())
    }

    /// Rows that belong to no indexed block, the cursor, what contradicts itself, and the metadata of tokens.
    async fn look_around(&self, report: &mut Report) -> Result<(), String> {
        let mut connection = self.store.pool().acquire().await.map_err(text)?;
        let strays = stored::strays(&mut connection, self.chain, MOST_STRAYS)
            .await
            .map_err(text)?;
        let cursor = stored::cursor_fault(&mut connection, self.chain)
            .await
            .map_err(text)?;
        let (chain, announced) = (self.chain, &self.announced);
        let contradictions = stored::contradictions(&mut connection, chain, announced, MOST_STRAYS)
            .await
            .map_err(text)?;
        drop(connection);
        for Stray {
            number,
            table,
            what,
        } in strays.into_iter().chain(cursor).chain(contradictions)
        {
            let difference = Difference {
                number,
                table,
                key: String::new(),
                what,
            };
            report.tell(self.chain, &difference);
        }
        if self.config.token_metadata {
            let at = self.to;
            let tell = |difference| report.tell(chain, &difference);
            tokens::differences(&self.nodes, &self.store, &self.config, at, tell).await?;
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

/// Senders are recovered of history, too: who verifies has the time. Where they are never checked, they cannot be.
fn thorough(mut checks: ChecksConfig) -> ChecksConfig {
    if checks.senders == Senders::Live {
        checks.senders = Senders::Always;
    }
    checks
}

/// The node's block at a height, as much of it as is indexed, checked at least as the indexer checks it.
async fn fetch(
    nodes: &Providers,
    config: &ChainConfig,
    number: u64,
) -> Result<IndexedBlock, Unfetched> {
    let checks = thorough(config.checks);
    patiently(|| {
        nodes.attempt(Work::History, move |node| async move {
            node.block(Wanted::Number(number), &checks).await
        })
    })
    .await
}
