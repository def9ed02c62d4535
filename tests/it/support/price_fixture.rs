//! The price writer with a real PostgreSQL and the bus: ticks are stored and signalled as a chain writer does, or sent
//! by a feed.

use std::sync::Arc;

use chaincast_base::{Secret, shutdown::Tasks};
use chaincast_bus::{Bus, BusConfig, CommitStream};
use chaincast_ingest::{PriceIngest, PriceSignal, PriceSignals};
use chaincast_model::{LogOrigin, Tick};
use chaincast_prices::{Feed as PriceFeed, PriceConfig, SourceKey, TickSink};
use chaincast_protocol::{B256, ChainLimits, Update, now_ms};
use chaincast_store::{Store, StoreConfig, ticks};
use futures_util::future::BoxFuture;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{TIMEOUT, fresh_database};

/// A database and a bus, for one or several writers.
pub struct PriceFixture {
    pub store: Store,
    bus: Bus,
    commits: CommitStream,
    _tasks: Tasks,
}

/// A price writer with one feed, whose ticks the test sends.
pub struct PriceWriter {
    pub signals: PriceSignals,
    pub feed: TestFeed,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The sink of a feed, while the writer has started it.
#[derive(Clone)]
pub struct TestFeed(Arc<watch::Sender<Option<TickSink>>>);

/// A tick observed now, of a block or without one.
pub fn price_tick(
    token: &str,
    source: &str,
    quote: &str,
    price: &str,
    block_number: Option<u64>,
) -> Tick {
    Tick {
        token: token.parse().unwrap(),
        source: source.into(),
        quote: quote.into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at: now_ms(),
        origin: block_number.map(|block_number| LogOrigin {
            chain_id: PriceFixture::CHAIN,
            block_number,
            block_hash: B256::repeat_byte(block_number as u8),
            log_index: 0,
        }),
    }
}

impl PriceFixture {
    /// The chain of all ticks that have a block.
    pub const CHAIN: u64 = 1;

    pub async fn new() -> Self {
        let config = StoreConfig {
            url: Secret::new(fresh_database().await),
            ..StoreConfig::default()
        };
        let store = Store::connect(&config).await.unwrap();
        let (tasks, _) = Tasks::new();
        // A long interval, so that updates arrive by publication and not by polling.
        let bus_config = BusConfig {
            poll_interval_ms: 3_600_000,
            ..BusConfig::default()
        };
        let bus = Bus::connect(&bus_config, store.clone(), &tasks)
            .await
            .unwrap();
        let commits = bus.commit_stream().await.unwrap();
        Self {
            store,
            bus,
            commits,
            _tasks: tasks,
        }
    }

    /// Starts a writer.
    pub fn writer(&self, config: PriceConfig) -> PriceWriter {
        self.writer_watching(config, Vec::new())
    }

    /// As [`Self::writer`]; it marks prices of these chains stale while their nodes do not answer.
    pub fn writer_watching(&self, config: PriceConfig, chains: Vec<ChainLimits>) -> PriceWriter {
        let (signals, incoming) = PriceSignals::new();
        let publisher = self.bus.publisher();
        let feed = TestFeed(Arc::new(watch::Sender::new(None)));
        let feed_of_writer = feed.clone();
        let ingest = PriceIngest::new(config, Self::CHAIN, self.store.clone(), publisher, incoming)
            .unwrap()
            .with_chain_limits(chains)
            .with_feeds(move || -> Vec<Box<dyn PriceFeed>> {
                vec![Box::new(feed_of_writer.clone())]
            });
        let stop = CancellationToken::new();
        let run = ingest.run(stop.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        PriceWriter {
            signals,
            feed,
            stop,
            task,
        }
    }

    /// Stores ticks and moves the cursor as a chain writer does, without a signal.
    pub async fn index(&self, ticks: &[Tick]) {
        let mut transaction = self.store.pool().begin().await.unwrap();
        ticks::insert(&mut transaction, ticks).await.unwrap();
        sqlx::query(
            "INSERT INTO chains AS c (chain_id, genesis_hash, start_block, head_number, head_hash)
             VALUES ($1, $2, 0, 0, $2)
             ON CONFLICT (chain_id) DO UPDATE SET head_number = c.head_number + 1",
        )
        .bind(Self::CHAIN as i64)
        .bind(&[7_u8; 32][..])
        .execute(&mut *transaction)
        .await
        .unwrap();
        transaction.commit().await.unwrap();
    }

    /// Drops the blocks above `after` and signals the reorg. The cursor does not move.
    pub async fn reorg(&self, writer: &PriceWriter, after: u64) {
        sqlx::query("DELETE FROM ticks WHERE chain_id = $1 AND block_number > $2")
            .bind(Self::CHAIN as i64)
            .bind(after as i64)
            .execute(self.store.pool())
            .await
            .unwrap();
        writer.signals.send(PriceSignal::Reorged {
            chain_id: Self::CHAIN,
        });
    }

    /// The updates of the next published commit.
    pub async fn published(&mut self) -> Vec<Update> {
        let commit = tokio::time::timeout(TIMEOUT, self.commits.next()).await;
        commit.expect("an update in time").unwrap().to_vec()
    }
}

impl PriceWriter {
    /// Sends a tick from the feed, once the writer has started it.
    pub async fn send_tick(&self, tick: Tick) {
        self.feed.sink().await.send(tick);
    }

    pub async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(TIMEOUT, self.task).await;
        ended.expect("the writer stops in time").unwrap();
    }
}

impl TestFeed {
    /// The sink of the feed, once the writer has started it.
    pub async fn sink(&self) -> TickSink {
        let mut sinks = self.0.subscribe();
        let connected = tokio::time::timeout(TIMEOUT, sinks.wait_for(Option::is_some)).await;
        let sink = connected.expect("a connection in time").unwrap().clone();
        sink.expect("it waited for one")
    }

    pub fn is_connected(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl PriceFeed for TestFeed {
    fn name(&self) -> &str {
        "venue"
    }

    // Any source that a test uses.
    fn sources(&self) -> Vec<SourceKey> {
        Vec::new()
    }

    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.0.send_replace(Some(sink));
            stop.cancelled().await;
            self.0.send_replace(None);
        })
    }
}
