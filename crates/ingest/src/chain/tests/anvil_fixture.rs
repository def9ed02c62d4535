//! Test fixture: a Postgres server, an anvil chain, and a writer between them.

use std::{
    collections::VecDeque,
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{PgConnection, Row};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    ChainContext, IngestError, PriceSignalQueue, PriceSignals, TickDecoder, chain::ChainIngest,
};
use chaincast_base::{
    Secret,
    shutdown::{Failures, Tasks},
};
use chaincast_bus::{Bus, BusConfig, CommitStream};
use chaincast_dev::{Anvil, AnvilOptions, ChainControl, DevError, Node, PrivatePostgres};
use chaincast_evm::{chain::ChainConfig, contract::Contract};
use chaincast_model::{LogOrigin, Tick};
use chaincast_prices::LogView;
use chaincast_protocol::{B256, BlockRef, ChainId, Update};
use chaincast_store::{Store, StoreConfig, chain as stored};
use chaincast_testkit::test_port::reusable_port;

pub(super) const CHAIN: ChainId = 31_337;
pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(180);

/// Waits until `check` returns a value; panics with `what` on timeout.
pub(super) async fn eventually<T, F>(what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts anvil on its previous port, which no other test gets: otherwise a writer could follow another test's
/// node.
pub(super) async fn restart_anvil(options: &AnvilOptions) -> Anvil {
    Anvil::start(options).await.unwrap()
}

/// Starts anvil on a port that it can reuse.
async fn start_anvil(options: &AnvilOptions) -> Anvil {
    eventually("a free port", async || {
        let port = reusable_port();
        let options = AnvilOptions {
            port,
            ..options.clone()
        };
        match Anvil::start(&options).await {
            Ok(anvil) => Some(anvil),
            Err(DevError::PortTaken(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await
}

/// Every log with three topics is worth 1 and its position.
pub(super) struct EveryTransfer;

impl TickDecoder for EveryTransfer {
    fn decode(&self, chain_id: ChainId, log: &LogView<'_>) -> Vec<Tick> {
        let tick = (log.topics.len() == 3).then(|| Tick {
            token: "ETH".parse().unwrap(),
            source: "test".into(),
            quote: "USD".into(),
            price: (log.log_index + 1).into(),
            confidence: None,
            observed_at: log.block_timestamp as i64 * 1_000,
            origin: Some(LogOrigin {
                chain_id,
                block_number: log.block_number,
                block_hash: log.block_hash,
                log_index: log.log_index,
            }),
        });
        Vec::from_iter(tick)
    }
}

/// A temporary directory, removed when the test ends.
pub(super) struct Dir(PathBuf);

impl Dir {
    /// Creates a directory with `what` in its name.
    pub(super) fn new(what: &str) -> Self {
        let name = format!("chaincast-{what}-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) struct AnvilFixture {
    pub(super) postgres: Option<PrivatePostgres>,
    pub(super) anvil: Option<Anvil>,
    pub(super) anvil_options: AnvilOptions,
    pub(super) control: ChainControl,
    pub(super) node: Node,
    pub(super) store: Store,
    pub(super) database: StoreConfig,
    pub(super) commits: CommitStream,
    pending: VecDeque<Update>,
    pub(super) bus: Bus,
    _tasks: Tasks,
    _failures: Failures,
    pub(super) dir: Dir,
    /// The contracts of the next writer.
    pub(super) contracts: Arc<[Contract]>,
    /// Received updates that no test has taken yet.
    pub(super) contract_updates: VecDeque<Update>,
}

/// Ends the servers before their directory is removed: files written later would remain.
impl Drop for AnvilFixture {
    fn drop(&mut self) {
        if let Some(anvil) = self.anvil.take() {
            anvil.kill();
        }
        if let Some(postgres) = self.postgres.take() {
            postgres.abort();
        }
    }
}

impl AnvilFixture {
    pub(super) async fn new() -> Self {
        Self::with(AnvilOptions::default()).await
    }

    pub(super) async fn with(mut options: AnvilOptions) -> Self {
        let dir = Dir::new("chain");
        let postgres = PrivatePostgres::start(&dir.path().join("db"))
            .await
            .unwrap();
        options.state_file = Some(dir.path().join("anvil.json"));
        let anvil = start_anvil(&options).await;
        options.port = anvil.port();
        let node = Node::connect(&anvil.http_url()).unwrap();
        let database = StoreConfig {
            url: Secret::new(postgres.url()),
            ..Default::default()
        };
        let store = Store::connect(&database).await.unwrap();
        let (tasks, failures) = Tasks::new();
        let bus = Bus::connect(&BusConfig::default(), store.clone(), &tasks)
            .await
            .unwrap();
        Self {
            commits: bus.commit_stream().await.unwrap(),
            pending: VecDeque::new(),
            bus,
            _tasks: tasks,
            _failures: failures,
            control: ChainControl::new(node.clone()),
            node,
            store,
            database,
            postgres: Some(postgres),
            anvil: Some(anvil),
            anvil_options: options,
            dir,
            contracts: Arc::from([]),
            contract_updates: VecDeque::new(),
        }
    }

    pub(super) fn config(&self) -> ChainConfig {
        let port = self.anvil_options.port;
        ChainConfig {
            ws_url: Some(Secret::new(format!("ws://127.0.0.1:{port}"))),
            poll_interval_ms: 100,
            request_timeout_ms: 30_000,
            concurrency: 4,
            batch_blocks: 7,
            max_reorg_depth: 64,
            ..ChainConfig::of(
                CHAIN,
                Secret::new(format!("http://127.0.0.1:{port}/?key=a-secret-key")),
            )
        }
    }

    pub(super) async fn ingest(&self, config: ChainConfig) -> Result<RunningWriter, IngestError> {
        self.ingest_into(self.store.clone(), config).await
    }

    /// As `ingest`, with another store.
    pub(super) async fn ingest_into(
        &self,
        store: Store,
        config: ChainConfig,
    ) -> Result<RunningWriter, IngestError> {
        let (signals, queue) = PriceSignals::new();
        let publisher = self.bus.publisher();
        let decoder = Arc::new(EveryTransfer);
        let context = ChainContext {
            first_chain: CHAIN,
            store,
            publisher,
            decoder,
            signals,
            contracts: self.contracts.clone(),
        };
        let ingest = ChainIngest::connect(config, context).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(ingest.run(stop.clone()));
        Ok(RunningWriter { stop, task, queue })
    }

    pub(super) async fn connection(&self) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
        self.store.pool().acquire().await.unwrap()
    }

    pub(super) async fn state(&self) -> stored::ChainState {
        stored::state(&mut *self.connection().await, CHAIN)
            .await
            .unwrap()
            .unwrap()
    }

    /// The node's head, once it is indexed.
    pub(super) async fn caught_up(&self) -> BlockRef {
        eventually("the node's head in the database", async || {
            let (number, hash) = self.control.head().await.ok()?;
            let head = BlockRef { number, hash };
            let mut connection = self.store.pool().acquire().await.ok()?;
            let state = stored::state(&mut connection, CHAIN).await.ok()??;
            (state.head == Some(head)).then_some(head)
        })
        .await
    }

    /// The next updates of the chain's channel; checks that the seqs have no gap.
    pub(super) async fn received(&mut self, count: usize) -> Vec<Update> {
        let mut received = Vec::new();
        while received.len() < count {
            let commit = tokio::time::timeout(TEST_TIMEOUT, self.commits.next())
                .await
                .unwrap_or_else(|_| {
                    panic!("timed out waiting for {count} updates, got {received:?}")
                });
            received.extend(commit.unwrap().iter().cloned());
        }
        for pair in received.windows(2) {
            assert_eq!(pair[0].seq + 1, pair[1].seq);
        }
        received
    }

    /// The next announced block; skips finality updates.
    pub(super) async fn next_block(&mut self) -> serde_json::Value {
        loop {
            if self.pending.is_empty() {
                self.pending = self.received(1).await.into();
            }
            let update = self.pending.pop_front().unwrap();
            if update.event == "new-block" {
                return data(&update);
            }
        }
    }

    /// Checks that the stored chain is linked and equals the node's.
    pub(super) async fn assert_equals_node(&self) {
        let mut connection = self.connection().await;
        let rows = sqlx::query("SELECT number, hash, parent_hash FROM blocks ORDER BY number")
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        let mut parent = None;
        for row in &rows {
            let number = row.get::<i64, _>("number") as u64;
            let hash = B256::from_slice(row.get("hash"));
            assert_eq!(
                hash,
                self.node.block_hash(number).await.unwrap(),
                "block {number}"
            );
            if let Some((below, parent)) = parent {
                assert_eq!(number, below + 1);
                assert_eq!(B256::from_slice(row.get("parent_hash")), parent);
            }
            parent = Some((number, hash));
        }
        let state = self.state().await;
        assert_eq!(
            parent.map(|(number, hash)| BlockRef { number, hash }),
            state.head
        );
    }

    pub(super) async fn count(&self, query: &str) -> i64 {
        count(&mut *self.connection().await, query).await
    }
}

pub(super) async fn count(connection: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(connection)
        .await
        .unwrap()
}

pub(super) struct RunningWriter {
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<Result<(), IngestError>>,
    pub(super) queue: PriceSignalQueue,
}

impl RunningWriter {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(TEST_TIMEOUT, self.task)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }

    /// The error with which it ends.
    pub(super) async fn failed(self) -> IngestError {
        tokio::time::timeout(TEST_TIMEOUT, self.task)
            .await
            .expect("it ends")
            .unwrap()
            .expect_err("it fails")
    }
}

pub(super) fn data(update: &Update) -> serde_json::Value {
    serde_json::from_str(&update.data).unwrap()
}
