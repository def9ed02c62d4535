//! Test fixture: a Postgres server and a writer of scripted nodes; compares every table with the block tree.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::hex;
use sqlx::{PgConnection, Row};
use tokio_util::sync::CancellationToken;

use super::super::timeouts::YIELD_AFTER;
use super::anvil_fixture::{CHAIN, Dir, EveryTransfer, RunningWriter, eventually};
use crate::{
    Backfill, BackfillOutcome, ChainContext, IngestError, PriceSignalQueue, PriceSignals,
    chain::ChainIngest,
};
use chaincast_base::{
    Secret,
    shutdown::{Failures, Tasks},
};
use chaincast_bus::{Bus, BusConfig};
use chaincast_dev::PrivatePostgres;
use chaincast_evm::chain::{ChainConfig, NodeHeaders, ProviderConfig, Role};
use chaincast_protocol::B256;
use chaincast_store::{Store, StoreConfig, chain as stored};
use chaincast_testkit::faulty_node::{BlockTree, FaultyNode, TreeBlock};

pub(super) struct ScriptedFixture {
    pub(super) store: Store,
    bus: Bus,
    _tasks: Tasks,
    _failures: Failures,
    postgres: Option<PrivatePostgres>,
    _dir: Dir,
}

/// Ends the server before its directory is removed.
impl Drop for ScriptedFixture {
    fn drop(&mut self) {
        if let Some(postgres) = self.postgres.take() {
            postgres.abort();
        }
    }
}

impl ScriptedFixture {
    pub(super) async fn new() -> Self {
        Self::with(StoreConfig::default()).await
    }

    /// A fixture with these database settings.
    pub(super) async fn with(settings: StoreConfig) -> Self {
        let dir = Dir::new("lab");
        let postgres = PrivatePostgres::start(&dir.path().join("db"))
            .await
            .unwrap();
        let database = StoreConfig {
            url: Secret::new(postgres.url()),
            ..settings
        };
        let store = Store::connect(&database).await.unwrap();
        let (tasks, failures) = Tasks::new();
        let bus = Bus::connect(&BusConfig::default(), store.clone(), &tasks)
            .await
            .unwrap();
        Self {
            store,
            bus,
            _tasks: tasks,
            _failures: failures,
            postgres: Some(postgres),
            _dir: dir,
        }
    }

    /// Deletes all rows, so that another chain can be indexed.
    pub(super) async fn clear(&self) {
        let tables = "chains, blocks, transactions, logs, transfers, dropped_blocks, ticks, channels, updates";
        sqlx::query(&format!("TRUNCATE {tables} CASCADE"))
            .execute(self.store.pool())
            .await
            .unwrap();
    }

    fn context(&self) -> (ChainContext, PriceSignalQueue) {
        let (signals, queue) = PriceSignals::new();
        let context = ChainContext {
            first_chain: CHAIN,
            store: self.store.clone(),
            publisher: self.bus.publisher(),
            decoder: Arc::new(EveryTransfer),
            contracts: Arc::from([]),
            signals,
        };
        (context, queue)
    }

    /// Fills a range and ends.
    pub(super) async fn backfill(
        &self,
        config: ChainConfig,
        from: u64,
        to: Option<u64>,
    ) -> Result<BackfillOutcome, IngestError> {
        let (context, _queue) = self.context();
        let backfill = Backfill::new(config, context, from, to)?;
        backfill.run(&CancellationToken::new(), |_| {}).await
    }

    pub(super) async fn ingest(&self, config: ChainConfig) -> Result<RunningWriter, IngestError> {
        self.ingest_yielding_after(config, YIELD_AFTER).await
    }

    /// As `ingest`; `yield_after` is how long the lock is held while the node fails and another writer waits for it.
    pub(super) async fn ingest_yielding_after(
        &self,
        config: ChainConfig,
        yield_after: Duration,
    ) -> Result<RunningWriter, IngestError> {
        let (context, queue) = self.context();
        let mut ingest = ChainIngest::connect(config, context).await?;
        ingest.parts.yield_after = yield_after;
        let stop = CancellationToken::new();
        let task = tokio::spawn(ingest.run(stop.clone()));
        Ok(RunningWriter { stop, task, queue })
    }

    pub(super) async fn state(&self) -> Option<stored::ChainState> {
        let mut connection = self.store.pool().acquire().await.unwrap();
        stored::state(&mut connection, CHAIN).await.unwrap()
    }

    /// Waits until the tree's head is the indexed one.
    pub(super) async fn caught_up(&self, tree: &BlockTree, what: &str) {
        eventually(what, async || {
            let head = self.state().await?.head?;
            (head == tree.head()).then_some(())
        })
        .await;
    }

    pub(super) async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(self.store.pool())
            .await
            .unwrap()
    }

    /// Checks that every table holds exactly the canonical branch from `start`.
    pub(super) async fn assert_equals(&self, tree: &BlockTree, start: u64, what: &str) {
        let mut connection = self.store.pool().acquire().await.unwrap();
        let stored = stored_rows(&mut connection).await;
        let mut expected: Vec<String> = tree
            .canonical()
            .iter()
            .filter(|block| block.block_ref().number >= start)
            .flat_map(|block| rows_of(block))
            .collect();
        expected.sort_unstable();
        if stored != expected {
            let unexpected = |some: &[String], others: &[String]| {
                let unexpected = some.iter().filter(|row| !others.contains(row));
                unexpected
                    .take(10)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n  ")
            };
            panic!(
                "{what}\nstored and not canonical:\n  {}\ncanonical and not stored:\n  {}",
                unexpected(&stored, &expected),
                unexpected(&expected, &stored)
            );
        }
    }
}

/// The rows of one block, as lines.
fn rows_of(block: &TreeBlock) -> Vec<String> {
    let at = block.block_ref();
    let number = at.number;
    let mut rows = Vec::new();
    let mut logs = 0;
    for (index, receipt) in block.receipts.iter().enumerate() {
        rows.push(format!(
            "transaction {number} {index} {:x} {:x} {}",
            receipt.transaction_hash, receipt.from, receipt.gas_used
        ));
        for log in receipt.logs() {
            let topics = log.topics();
            rows.push(format!(
                "log {number} {logs} {index} {:x} {:x} {}",
                log.address(),
                topics[0],
                hex::encode(&log.data().data)
            ));
            if topics.len() == 3 {
                let (from, to) = (&topics[1][12..], &topics[2][12..]);
                let amount = alloy::primitives::U256::from_be_slice(&log.data().data);
                rows.push(format!(
                    "transfer {number} {logs} {} {} {amount}",
                    hex::encode(from),
                    hex::encode(to)
                ));
                rows.push(format!("tick {number} {:x} {logs} {}", at.hash, logs + 1));
            }
            logs += 1;
        }
    }
    rows.push(format!(
        "block {number} {:x} {:x} {} {logs}",
        at.hash,
        block.parent_hash(),
        block.receipts.len()
    ));
    rows.sort_unstable();
    rows
}

async fn stored_rows(connection: &mut PgConnection) -> Vec<String> {
    let mut rows: Vec<String> = sqlx::query_scalar(
        "SELECT format('block %s %s %s %s %s', number, encode(hash, 'hex'), encode(parent_hash, 'hex'),
             transaction_count, log_count) FROM blocks
         UNION ALL SELECT format('transaction %s %s %s %s %s', block_number, transaction_index,
             encode(hash, 'hex'), encode(from_address, 'hex'), gas_used) FROM transactions
         UNION ALL SELECT format('log %s %s %s %s %s %s', block_number, log_index, transaction_index,
             encode(address, 'hex'), encode(topic0, 'hex'), encode(data, 'hex')) FROM logs
         UNION ALL SELECT format('transfer %s %s %s %s %s', block_number, log_index, encode(from_address, 'hex'),
             encode(to_address, 'hex'), amount) FROM transfers
         UNION ALL SELECT format('tick %s %s %s %s', block_number, encode(block_hash, 'hex'), log_index, price)
             FROM ticks",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    rows.sort_unstable();
    rows
}

/// The chain as a client of its channel rebuilds it from the updates alone.
#[derive(Default)]
pub(super) struct ReplayedChain {
    seq: i64,
    blocks: BTreeMap<u64, B256>,
    finalized: u64,
    /// Whether a catch-up may exceed the announced blocks, so that the channel restarts above a gap.
    pub(super) may_skip: bool,
    pub(super) reorgs: usize,
}

impl ReplayedChain {
    /// Applies every new update, then compares with the canonical branch from the first announced block.
    pub(super) async fn assert_equals(
        &mut self,
        fixture: &ScriptedFixture,
        tree: &BlockTree,
        what: &str,
    ) {
        let updates = sqlx::query(
            "SELECT u.seq, u.event, u.data::text FROM updates u JOIN channels c ON c.id = u.channel_id
             WHERE c.name = 'new-block' AND u.seq > $1 ORDER BY u.seq",
        )
        .bind(self.seq)
        .fetch_all(fixture.store.pool())
        .await
        .unwrap();
        for update in updates {
            let seq: i64 = update.get(0);
            assert_eq!(seq, self.seq + 1, "{what}: a gap in the seqs");
            self.seq = seq;
            let data = serde_json::from_str(update.get(2)).unwrap();
            self.take(update.get(1), &data, what);
        }
        let Some(first) = self.blocks.keys().next().copied() else {
            return;
        };
        let canonical: BTreeMap<u64, B256> = tree
            .canonical()
            .iter()
            .map(|block| block.block_ref())
            .filter(|block| block.number >= first)
            .map(|block| (block.number, block.hash))
            .collect();
        assert_eq!(self.blocks, canonical, "{what}: the chain of the updates");
    }

    fn take(&mut self, event: &str, data: &serde_json::Value, what: &str) {
        let number = |value: &serde_json::Value| value["number"].as_u64().unwrap();
        let hash = |value: &serde_json::Value| value.as_str().unwrap().parse::<B256>().unwrap();
        match event {
            "new-block" => {
                let number = number(data);
                let next = self.blocks.last_key_value().map(|(top, _)| top + 1);
                if self.may_skip && next.is_some_and(|next| number > next) {
                    self.blocks.clear();
                }
                if let Some((top, parent)) = self.blocks.last_key_value() {
                    assert_eq!(number, top + 1, "{what}: {data}");
                    assert_eq!(hash(&data["parentHash"]), *parent, "{what}: {data}");
                }
                self.blocks.insert(number, hash(&data["hash"]));
            }
            "reorg" => {
                self.reorgs += 1;
                let ancestor = number(&data["commonAncestor"]);
                let gone = self.blocks.split_off(&(ancestor + 1));
                let dropped = data["dropped"].as_array().unwrap();
                assert_eq!(data["depth"], dropped.len(), "{what}: {data}");
                for (at, expected) in gone {
                    let listed = dropped.iter().find(|block| number(block) == at);
                    let listed = listed.unwrap_or_else(|| panic!("{what}: {at} is not in {data}"));
                    assert_eq!(hash(&listed["hash"]), expected, "{what}: {data}");
                }
                assert!(
                    ancestor >= self.finalized,
                    "{what}: a final block was dropped"
                );
            }
            "block-finalized" => {
                let at = number(data);
                assert!(at > self.finalized, "{what}: {data}");
                self.finalized = at;
                if let Some(known) = self.blocks.get(&at) {
                    assert_eq!(hash(&data["hash"]), *known, "{what}: {data}");
                }
            }
            other => panic!("{what}: {other}"),
        }
    }
}

/// A configuration with short delays for these nodes, the preferred one first.
pub(super) fn config_of(nodes: &[(&FaultyNode, Role)]) -> ChainConfig {
    let providers = nodes
        .iter()
        .enumerate()
        .map(|(position, (node, role))| ProviderConfig {
            name: Some(format!("node-{position}")),
            url: Secret::new(node.http_url()),
            ws_url: Some(Secret::new(node.ws_url())),
            headers: NodeHeaders::default(),
            role: *role,
        });
    ChainConfig {
        providers: providers.collect(),
        poll_interval_ms: 50,
        provider_poll_ms: 50,
        failover_cooldown_ms: 50,
        prefer_back_ms: 0,
        request_timeout_ms: 20_000,
        concurrency: 4,
        batch_blocks: 3,
        max_reorg_depth: 64,
        ..ChainConfig::of(CHAIN, Secret::default())
    }
}
