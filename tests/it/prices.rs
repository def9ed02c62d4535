//! The price writer alone, between a real PostgreSQL and the bus: ticks are stored and signalled as a chain's writer
//! does it, or sent by a feed.

use std::sync::Arc;

use chaincast::{
    bus::{Bus, BusConfig, Feed},
    ingest::{PriceIngest, PriceSignal, PriceSignals},
    model::{B256, Channel, LogOrigin, Secret, Tick, Update, now_ms},
    shutdown::Tasks,
    source::price::{Feed as PriceFeed, FeedState, PriceConfig, TickSink},
    store::{Store, StoreConfig, ticks},
};
use futures_util::future::BoxFuture;
use serde_json::Value;
use sqlx::Row;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, eventually, fresh_database};

const CHAIN: u64 = 1;

/// A database and a bus; writers come and go.
struct Stage {
    store: Store,
    bus: Bus,
    feed: Feed,
    _tasks: Tasks,
}

struct Writer {
    signals: PriceSignals,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// ETH has a feed and a pool in BTC; BTC has a feed.
fn config(max_age_ms: u64) -> PriceConfig {
    let source = |kind: &str, token: &str, name: &str, address: u8, more: &str| {
        format!(
            "[[sources]]\nkind = '{kind}'\ntoken = '{token}'\nname = '{name}'\naddress = '0x{address:040x}'\n\
             max_age_ms = {max_age_ms}\n{more}\n"
        )
    };
    let pool = "base = 0\nbase_decimals = 18\nquote_decimals = 8\nquote = 'BTC'";
    let text = [
        "[[tokens]]\nsymbol = 'ETH'\nname = 'Ether'\n[[tokens]]\nsymbol = 'BTC'\n".to_owned(),
        source("chainlink", "ETH", "feed", 1, "decimals = 8"),
        source("chainlink", "BTC", "feed", 2, "decimals = 8"),
        source("uniswap-v2", "ETH", "pool", 3, pool),
    ];
    toml::from_str(&text.concat()).unwrap()
}

/// As [`config`], with a venue's feed for BTC in place of the one on the chain.
fn venue_config() -> PriceConfig {
    let mut config = config(LONG);
    let text = "[[tokens]]\nsymbol = 'BTC'\n[[sources]]\nkind = 'http'\ntoken = 'BTC'\nname = 'feed'\n\
                url = 'http://127.0.0.1:1/'\npointer = '/price'\nquote = 'USD'\nmax_age_ms = 3600000\n";
    let venue: PriceConfig = toml::from_str(text).unwrap();
    config.sources[1] = venue.sources[0].clone();
    config
}

const LONG: u64 = 3_600_000;

/// A tick observed now.
fn tick(token: &str, source: &str, quote: &str, price: &str, block_number: u64) -> Tick {
    Tick {
        token: token.parse().unwrap(),
        source: source.into(),
        quote: quote.into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at: now_ms(),
        origin: Some(LogOrigin {
            chain_id: CHAIN,
            block_number,
            block_hash: B256::repeat_byte(block_number as u8),
            log_index: 0,
        }),
    }
}

fn feed(token: &str, price: &str, block_number: u64) -> Tick {
    tick(token, "feed", "USD", price, block_number)
}

/// A venue that tells what the test has it tell, while the writer is connected to it.
#[derive(Clone)]
struct Venue(Arc<watch::Sender<Option<TickSink>>>);

struct Line(Venue);

impl PriceFeed for Line {
    fn name(&self) -> &str {
        "venue"
    }

    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.0.0.send_replace(Some(sink));
            stop.cancelled().await;
            self.0.0.send_replace(None);
        })
    }
}

impl Venue {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// The writer's end, once it is connected.
    async fn sink(&self) -> TickSink {
        let mut line = self.0.subscribe();
        let connected = tokio::time::timeout(PATIENCE, line.wait_for(Option::is_some)).await;
        connected
            .expect("a connection in time")
            .unwrap()
            .clone()
            .unwrap()
    }

    fn is_connected(&self) -> bool {
        self.0.borrow().is_some()
    }
}

/// A tick that no chain stores.
fn quote(token: &str, price: &str) -> Tick {
    Tick {
        origin: None,
        ..feed(token, price, 0)
    }
}

impl Stage {
    async fn new() -> Self {
        let config = StoreConfig {
            url: Secret::new(fresh_database().await),
            ..StoreConfig::default()
        };
        let store = Store::connect(&config).await.unwrap();
        let (tasks, _) = Tasks::new();
        // Far between, so that what arrives was published and not found by polling.
        let bus_config = BusConfig {
            poll_interval_ms: 3_600_000,
            ..BusConfig::default()
        };
        let bus = Bus::connect(&bus_config, store.clone(), &tasks)
            .await
            .unwrap();
        let feed = bus.feed().await.unwrap();
        Self {
            store,
            bus,
            feed,
            _tasks: tasks,
        }
    }

    /// A price writer that has read where prices stand.
    async fn writer(&self, config: PriceConfig) -> Writer {
        self.writer_of(config, None).await
    }

    /// A price writer that reads this venue too.
    async fn writer_of(&self, config: PriceConfig, venue: Option<&Venue>) -> Writer {
        let (signals, incoming) = PriceSignals::new();
        let publisher = self.bus.publisher();
        let mut ingest =
            PriceIngest::new(config, CHAIN, self.store.clone(), publisher, incoming).unwrap();
        if let Some(venue) = venue.cloned() {
            ingest = ingest.with_feeds(move || -> Vec<Box<dyn PriceFeed>> {
                vec![Box::new(Line(venue.clone()))]
            });
        }
        let stop = CancellationToken::new();
        let run = ingest.run(stop.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        Writer {
            signals,
            stop,
            task,
        }
    }

    /// Stores ticks as the writer of a chain does, with its cursor, and without telling anyone.
    async fn store_ticks(&self, ticks: &[Tick]) {
        let mut transaction = self.store.pool().begin().await.unwrap();
        ticks::insert(&mut transaction, ticks).await.unwrap();
        sqlx::query(
            "INSERT INTO chains AS c (chain_id, genesis_hash, start_block, head_number, head_hash)
             VALUES ($1, $2, 0, 0, $2)
             ON CONFLICT (chain_id) DO UPDATE SET head_number = c.head_number + 1",
        )
        .bind(CHAIN as i64)
        .bind(&[7_u8; 32][..])
        .execute(&mut *transaction)
        .await
        .unwrap();
        transaction.commit().await.unwrap();
    }

    /// Ticks in the store.
    async fn stored(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM ticks")
            .fetch_one(self.store.pool())
            .await
            .unwrap()
    }

    /// How the feed of BTC stands, and why.
    async fn btc_state(&self) -> (Option<String>, Option<String>) {
        sqlx::query_as(
            "SELECT state, state_reason FROM price_sources WHERE token = 'BTC' AND source = 'feed'",
        )
        .fetch_one(self.store.pool())
        .await
        .unwrap()
    }

    async fn send(&self, writer: &Writer, ticks: Vec<Tick>) {
        self.store_ticks(&ticks).await;
        writer.signals.send(PriceSignal::Ticks(ticks));
    }

    /// The next commit that announces prices: those updates. Candles come with them and by themselves.
    async fn next_commit(&mut self) -> Vec<Update> {
        loop {
            let commit = tokio::time::timeout(PATIENCE, self.feed.next()).await;
            let commit = commit.expect("an update in time").unwrap();
            let prices = commit
                .iter()
                .filter(|update| !matches!(update.channel, Channel::Candle(..)))
                .cloned();
            let prices: Vec<Update> = prices.collect();
            if !prices.is_empty() {
                return prices;
            }
        }
    }

    /// The next published update of a price.
    async fn next(&mut self) -> (Update, Value) {
        let commit = self.next_commit().await;
        assert_eq!(commit.len(), 1, "{commit:?}");
        let update = commit[0].clone();
        let data = serde_json::from_str(&update.data).unwrap();
        (update, data)
    }

    /// The next update as (channel, seq, price, status).
    async fn next_price(&mut self) -> (String, u64, String, String) {
        let (update, data) = self.next().await;
        assert_eq!(&*update.event, "price-update");
        (
            update.channel.to_string(),
            update.seq,
            data["price"].to_string(),
            data["status"].as_str().unwrap().to_owned(),
        )
    }

    async fn newest_seq(&self, token: &str) -> u64 {
        let channel: Channel = format!("price:{token}").parse().unwrap();
        self.store.channel_extent(&channel).await.unwrap().newest
    }

    /// Lets the writer look at everything once more, and makes sure that it finds nothing to say but of the ETH tick
    /// that is stored for it here.
    async fn nothing_but_eth_is_news(&mut self, eth: &str, block_number: u64, seq: u64) {
        self.store_ticks(&[feed("ETH", eth, block_number)]).await;
        let found = self.next_price().await;
        assert_eq!(found, price("price:ETH", seq, eth, "ok"));
    }
}

impl Writer {
    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the writer stops in time")
            .unwrap();
    }
}

fn price(channel: &str, seq: u64, price: &str, status: &str) -> (String, u64, String, String) {
    (channel.to_owned(), seq, price.to_owned(), status.to_owned())
}

#[tokio::test]
async fn each_tick_becomes_a_stored_price_and_one_update_in_seq_order() {
    let mut stage = Stage::new().await;
    let writer = stage.writer(config(LONG)).await;

    stage.send(&writer, vec![feed("BTC", "60000.5", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000.5", "ok")
    );
    stage.send(&writer, vec![feed("ETH", "3000", 2)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:ETH", 1, "3000", "ok")
    );
    stage
        .send(&writer, vec![tick("ETH", "pool", "BTC", "0.05", 3)])
        .await;
    let (update, data) = stage.next().await;
    assert_eq!((update.seq, &*update.channel.to_string()), (2, "price:ETH"));
    assert_eq!(data["price"].to_string(), "3000.0125");
    assert_eq!(data["confidence"].to_string(), "0.0125");
    assert_eq!(data["sources"], serde_json::json!(["feed", "pool"]));
    assert_eq!(data["quote"], "USD");
    assert!(data["ageMs"].as_i64().unwrap() >= 0);

    // Every digit is in the text, and in the row.
    stage
        .send(
            &writer,
            vec![feed("BTC", "60000.000000000000000000000001", 4)],
        )
        .await;
    let commit = stage.next_commit().await;
    // BTC moved, and ETH with it, in one commit.
    let names: Vec<String> = commit
        .iter()
        .map(|update| update.channel.to_string())
        .collect();
    assert_eq!(names, ["price:ETH", "price:BTC"]);
    assert!(
        commit[1]
            .data
            .contains("\"price\":60000.000000000000000000000001,"),
        "{}",
        commit[1].data
    );
    let rows = sqlx::query(
        "SELECT p.seq, p.price::text, p.status, p.sources, u.data::text AS data
         FROM prices p JOIN channels c ON c.name = 'price:' || p.token
         JOIN updates u ON u.channel_id = c.id AND u.seq = p.seq
         WHERE p.token = 'BTC' ORDER BY p.seq",
    )
    .fetch_all(stage.store.pool())
    .await
    .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[1].get::<String, _>("price"),
        "60000.000000000000000000000001"
    );
    assert_eq!(rows[1].get::<Vec<String>, _>("sources"), ["feed"]);
    assert_eq!(rows[1].get::<String, _>("data"), *commit[1].data);
    writer.end().await;
}

#[tokio::test]
async fn a_reorg_takes_back_the_price_of_the_dropped_block() {
    let mut stage = Stage::new().await;
    let writer = stage.writer(config(LONG)).await;
    stage.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    stage.send(&writer, vec![feed("BTC", "90000", 2)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "90000", "ok")
    );

    let mut transaction = stage.store.pool().begin().await.unwrap();
    sqlx::query("DELETE FROM ticks WHERE chain_id = 1 AND block_number > 1")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    writer
        .signals
        .send(PriceSignal::Reorged { chain_id: CHAIN });
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 3, "60000", "ok")
    );
    writer.end().await;
}

#[tokio::test]
async fn a_price_without_fresh_ticks_is_announced_as_stale_once() {
    // Long enough for a slow machine to see it fresh.
    const MAX_AGE_MS: u64 = 12_000;
    let mut stage = Stage::new().await;
    let writer = stage.writer(config(MAX_AGE_MS)).await;
    stage.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    let (update, data) = stage.next().await;
    assert_eq!((update.seq, &data["status"]), (2, &Value::from("stale")));
    assert_eq!(data["price"].to_string(), "60000");
    assert!(data["ageMs"].as_i64().unwrap() > MAX_AGE_MS as i64);
    stage.nothing_but_eth_is_news("3000", 2, 1).await;
    assert_eq!(stage.newest_seq("BTC").await, 2);
    // The same price, fresh again, is news.
    stage.send(&writer, vec![feed("BTC", "60000", 2)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 3, "60000", "ok")
    );
    writer.end().await;
}

#[tokio::test]
async fn a_tick_that_confirms_a_price_is_not_announced_and_keeps_the_stored_price_young() {
    let mut stage = Stage::new().await;
    let writer = stage.writer(config(LONG)).await;
    let aged = |price: &str, block, age_ms| {
        let mut tick = feed("BTC", price, block);
        tick.observed_at -= age_ms;
        tick
    };
    let first = aged("60000", 1, LONG as i64 / 2);
    stage.send(&writer, vec![first]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    // By a signal, and found in the store.
    let signalled = aged("60000.0", 2, 1_000);
    let found = aged("60000", 3, 0);
    let token = "BTC".parse().unwrap();
    let observed = async |at: i64| {
        eventually("the price is confirmed", || async {
            let row = stage.store.read_price(&token).await.unwrap().unwrap();
            (row.observed_at == at).then_some(row.seq)
        })
        .await
    };
    stage.store_ticks(std::slice::from_ref(&signalled)).await;
    writer
        .signals
        .send(PriceSignal::Ticks(vec![signalled.clone()]));
    assert_eq!(observed(signalled.observed_at).await, 1);
    stage.store_ticks(std::slice::from_ref(&found)).await;
    assert_eq!(observed(found.observed_at).await, 1);
    stage.nothing_but_eth_is_news("3000", 4, 1).await;
    assert_eq!(stage.newest_seq("BTC").await, 1);
    writer.end().await;
}

#[tokio::test]
async fn a_restart_announces_only_what_changed_while_nobody_wrote() {
    let mut stage = Stage::new().await;
    let first = stage.writer(config(LONG)).await;
    stage.send(&first, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    first.end().await;

    let second = stage.writer(config(LONG)).await;
    stage.nothing_but_eth_is_news("3000", 1, 1).await;
    assert_eq!(stage.newest_seq("BTC").await, 1);
    second.end().await;

    stage.store_ticks(&[feed("BTC", "61000", 2)]).await;
    let third = stage.writer(config(LONG)).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    third.end().await;
}

#[tokio::test]
async fn ticks_that_no_signal_told_of_are_found_in_the_store() {
    let mut stage = Stage::new().await;
    let writer = stage.writer(config(LONG)).await;
    stage.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    stage.store_ticks(&[feed("BTC", "61000", 2)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    // A late one of an older block changes nothing.
    let late = PriceSignal::Ticks(vec![feed("BTC", "1", 1)]);
    writer.signals.send(late);
    stage.send(&writer, vec![feed("BTC", "62000", 3)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 3, "62000", "ok")
    );
    writer.end().await;
}

#[tokio::test]
async fn the_writer_goes_on_after_its_connection_was_cut_and_a_standby_takes_over() {
    let mut stage = Stage::new().await;
    let writer = stage.writer(config(LONG)).await;
    stage.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );

    let cut = sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
         WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_all(stage.store.pool())
    .await
    .unwrap();
    assert_eq!(cut.len(), 1);
    stage.send(&writer, vec![feed("BTC", "61000", 2)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );

    // Both are told of every tick, and one writes.
    let standby = stage.writer(config(LONG)).await;
    let news = vec![feed("BTC", "62000", 3)];
    stage.store_ticks(&news).await;
    writer.signals.send(PriceSignal::Ticks(news.clone()));
    standby.signals.send(PriceSignal::Ticks(news));
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 3, "62000", "ok")
    );
    writer.end().await;
    stage.send(&standby, vec![feed("BTC", "63000", 4)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 4, "63000", "ok")
    );
    standby.end().await;
}

#[tokio::test]
async fn a_flood_of_signals_ends_at_the_newest_price_and_no_seq_is_missing() {
    const TICKS: u64 = 3_000;
    let mut stage = Stage::new().await;
    let writer = stage.writer(config(LONG)).await;
    let ticks: Vec<Tick> = (1..=TICKS)
        .map(|block| feed("BTC", &(60_000 + block).to_string(), block))
        .collect();
    stage.store_ticks(&ticks).await;
    // More than the queue holds, without a pause.
    for tick in ticks {
        writer.signals.send(PriceSignal::Ticks(vec![tick]));
    }
    let mut seq = 0;
    loop {
        let (_, next, value, _) = stage.next_price().await;
        assert_eq!(next, seq + 1);
        seq = next;
        if value == (60_000 + TICKS).to_string() {
            break;
        }
    }
    stage.nothing_but_eth_is_news("3000", 1, 1).await;
    assert_eq!(stage.newest_seq("BTC").await, seq);
    writer.end().await;
}

#[tokio::test]
async fn what_is_tracked_is_in_the_tables_and_what_no_longer_is_stays_without_a_place() {
    let stage = Stage::new().await;
    let sources = async || -> Vec<(String, String, bool)> {
        sqlx::query_as("SELECT token, source, active FROM price_sources ORDER BY 1, 2")
            .fetch_all(stage.store.pool())
            .await
            .unwrap()
    };
    let row = |token: &str, source: &str, active| (token.to_owned(), source.to_owned(), active);
    let writer = stage.writer(config(LONG)).await;
    let all = [
        row("BTC", "feed", true),
        row("ETH", "feed", true),
        row("ETH", "pool", true),
    ];
    eventually("the sources are stored", || async {
        (sources().await == all).then_some(())
    })
    .await;
    writer.end().await;

    let mut fewer = config(LONG);
    fewer.tokens.reverse();
    fewer.sources.truncate(2);
    let writer = stage.writer(fewer).await;
    let now = [
        row("BTC", "feed", true),
        row("ETH", "feed", true),
        row("ETH", "pool", false),
    ];
    eventually("the pool is inactive", || async {
        (sources().await == now).then_some(())
    })
    .await;
    let tokens: Vec<(String, String, Option<i32>)> =
        sqlx::query_as("SELECT symbol, name, position FROM tokens ORDER BY position")
            .fetch_all(stage.store.pool())
            .await
            .unwrap();
    let token = |symbol: &str, name: &str, at| (symbol.to_owned(), name.to_owned(), Some(at));
    assert_eq!(tokens, [token("BTC", "BTC", 0), token("ETH", "Ether", 1)]);
    writer.end().await;
}

#[tokio::test]
async fn a_block_given_twice_leaves_its_ticks_once() {
    let stage = Stage::new().await;
    let ticks = [
        feed("BTC", "60000", 1),
        tick("ETH", "pool", "BTC", "0.05", 1),
    ];
    let off_chain = Tick {
        origin: None,
        ..feed("BTC", "60000", 1)
    };
    stage.store_ticks(&ticks).await;
    stage.store_ticks(&ticks).await;
    stage.store_ticks(&[off_chain]).await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM ticks")
        .fetch_one(stage.store.pool())
        .await
        .unwrap();
    assert_eq!(stored, 3);
}

#[tokio::test]
async fn a_tick_of_a_feed_is_stored_with_the_price_that_it_makes() {
    let mut stage = Stage::new().await;
    let venue = Venue::new();
    let writer = stage.writer_of(venue_config(), Some(&venue)).await;
    let sink = venue.sink().await;
    sink.send(quote("BTC", "60000.5"));
    let (update, data) = stage.next().await;
    assert_eq!((update.seq, &*update.channel.to_string()), (1, "price:BTC"));
    assert_eq!(data["price"].to_string(), "60000.5");
    let detail = &data["details"][0];
    assert_eq!(detail["source"], "feed");
    assert!(detail["ageMs"].as_i64().unwrap() >= 0, "{detail}");
    assert!(
        detail["block"].is_null() && detail["outlier"] == false,
        "{detail}"
    );
    assert_eq!(stage.stored().await, 1);

    // Beside one of a chain, which says its block.
    stage
        .send(&writer, vec![tick("ETH", "pool", "BTC", "0.05", 3)])
        .await;
    let (_, data) = stage.next().await;
    let block = serde_json::json!({"chainId": CHAIN, "number": 3});
    assert_eq!(data["details"][0]["block"], block);
    let token = "ETH".parse().unwrap();
    let row = stage.store.read_price(&token).await.unwrap().unwrap();
    assert_eq!(row.details[0].block.unwrap().number, 3);

    // What is not configured, and what can be no price, holds nothing up.
    sink.send(quote("DOGE", "1"));
    sink.send(quote("BTC", "0"));
    sink.send(quote("BTC", "1e100000"));
    sink.send(quote("BTC", "61000"));
    let expected = ["price:ETH", "price:BTC"];
    let commit = stage.next_commit().await;
    let channels = commit.iter().map(|update| update.channel.to_string());
    assert_eq!(channels.collect::<Vec<_>>(), expected);
    assert_eq!(stage.stored().await, 3);
    writer.end().await;
}

#[tokio::test]
async fn what_gathers_while_the_database_is_slow_goes_into_one_transaction() {
    const TICKS: i64 = 500;
    let mut stage = Stage::new().await;
    let venue = Venue::new();
    let writer = stage.writer_of(venue_config(), Some(&venue)).await;
    let sink = venue.sink().await;

    let mut slow = stage.store.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE ticks IN SHARE MODE")
        .execute(&mut *slow)
        .await
        .unwrap();
    sink.send(quote("BTC", "60000"));
    eventually("the writer waits for the lock", || async {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ticks'::regclass
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(stage.store.pool())
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    for number in 1..=TICKS {
        sink.send(quote("BTC", &(60_000 + number).to_string()));
    }
    slow.commit().await.unwrap();

    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    let newest = (60_000 + TICKS).to_string();
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, &newest, "ok")
    );
    let (stored, transactions): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(DISTINCT xmin::text) FROM ticks")
            .fetch_one(stage.store.pool())
            .await
            .unwrap();
    assert_eq!((stored, transactions), (TICKS + 1, 2));
    writer.end().await;
}

#[tokio::test]
async fn ticks_that_came_while_the_database_was_away_are_stored_when_it_is_back() {
    let mut stage = Stage::new().await;
    let venue = Venue::new();
    let writer = stage.writer_of(venue_config(), Some(&venue)).await;
    let sink = venue.sink().await;
    sink.send(quote("BTC", "60000"));
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
         WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .execute(stage.store.pool())
    .await
    .unwrap();
    sink.send(quote("BTC", "61000"));
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    assert_eq!(stage.stored().await, 2);
    // The venue saw nothing of it.
    assert!(venue.is_connected());
    writer.end().await;
}

#[tokio::test]
async fn feeds_run_in_the_process_that_writes_and_what_they_told_last_is_stored_at_its_end() {
    let stage = Stage::new().await;
    let (first, second) = (Venue::new(), Venue::new());
    let writer = stage.writer_of(venue_config(), Some(&first)).await;
    let sink = first.sink().await;
    let standby = stage.writer_of(venue_config(), Some(&second)).await;
    sink.tell(
        &"BTC".parse().unwrap(),
        &"feed".into(),
        FeedState::Refused {
            reason: "no such market".into(),
        },
    );
    let refused = (
        Some("refused".to_owned()),
        Some("no such market".to_owned()),
    );
    eventually("the state is stored", || async {
        (stage.btc_state().await == refused).then_some(())
    })
    .await;
    assert!(!second.is_connected());

    sink.send(quote("BTC", "60000"));
    writer.end().await;
    assert!(!first.is_connected());
    assert_eq!(stage.stored().await, 1);
    let sink = second.sink().await;
    sink.tell(&"BTC".parse().unwrap(), &"feed".into(), FeedState::Live);
    eventually("the new state is stored", || async {
        (stage.btc_state().await == (Some("live".to_owned()), None)).then_some(())
    })
    .await;
    standby.end().await;
}
