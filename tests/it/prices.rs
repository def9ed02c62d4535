//! The price writer alone, between a real PostgreSQL and the bus, with ticks that are stored and signalled as a chain's
//! writer does it.

mod feeds;
mod nodes;

use chaincast::{
    ingest::PriceSignal,
    model::{Channel, Tick, Update},
    source::price::PriceConfig,
};
use serde_json::Value;
use sqlx::Row;

use crate::support::{PriceStage, PriceWriter, eventually, price_tick};

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
        // What is about jumps is in tests of its own.
        "max_jump_bps = 0\nmax_confidence_bps = 0\n\
         [[tokens]]\nsymbol = 'ETH'\nname = 'Ether'\n[[tokens]]\nsymbol = 'BTC'\n"
            .to_owned(),
        source("chainlink", "ETH", "feed", 1, "decimals = 8"),
        source("chainlink", "BTC", "feed", 2, "decimals = 8"),
        source("uniswap-v2", "ETH", "pool", 3, pool),
    ];
    toml::from_str(&text.concat()).unwrap()
}

const LONG: u64 = 3_600_000;

/// Of a block.
fn tick(token: &str, source: &str, quote: &str, price: &str, block_number: u64) -> Tick {
    price_tick(token, source, quote, price, Some(block_number))
}

fn feed(token: &str, price: &str, block_number: u64) -> Tick {
    tick(token, "feed", "USD", price, block_number)
}

/// A tick that no chain stores.
fn quote(token: &str, price: &str) -> Tick {
    price_tick(token, "feed", "USD", price, None)
}

impl PriceStage {
    /// Ticks in the store.
    async fn stored(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM ticks")
            .fetch_one(self.store.pool())
            .await
            .unwrap()
    }

    /// Cuts the connection that has the writer's lock.
    async fn cut(&self) {
        let cut = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_locks
             WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_all(self.store.pool())
        .await
        .unwrap();
        assert_eq!(cut.len(), 1);
    }

    async fn send(&self, writer: &PriceWriter, ticks: Vec<Tick>) {
        self.index(&ticks).await;
        writer.signals.send(PriceSignal::Ticks(ticks));
    }

    /// The next commit that announces prices: those updates. Candles come with them and by themselves.
    async fn next_commit(&mut self) -> Vec<Update> {
        loop {
            let mut prices = self.published().await;
            prices.retain(|update| !matches!(update.channel, Channel::Candle(..)));
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
        self.index(&[feed("ETH", eth, block_number)]).await;
        let found = self.next_price().await;
        assert_eq!(found, price("price:ETH", seq, eth, "ok"));
    }
}

fn price(channel: &str, seq: u64, price: &str, status: &str) -> (String, u64, String, String) {
    (channel.to_owned(), seq, price.to_owned(), status.to_owned())
}

#[tokio::test]
async fn each_tick_becomes_a_stored_price_and_one_update_in_seq_order() {
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config(LONG));

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
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config(LONG));
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

    stage.reorg(&writer, 1).await;
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
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config(MAX_AGE_MS));
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
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config(LONG));
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
    stage.index(std::slice::from_ref(&signalled)).await;
    writer
        .signals
        .send(PriceSignal::Ticks(vec![signalled.clone()]));
    assert_eq!(observed(signalled.observed_at).await, 1);
    stage.index(std::slice::from_ref(&found)).await;
    assert_eq!(observed(found.observed_at).await, 1);
    stage.nothing_but_eth_is_news("3000", 4, 1).await;
    assert_eq!(stage.newest_seq("BTC").await, 1);
    writer.end().await;
}

#[tokio::test]
async fn a_restart_announces_only_what_changed_while_nobody_wrote() {
    let mut stage = PriceStage::new().await;
    let first = stage.writer(config(LONG));
    stage.send(&first, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    first.end().await;

    let second = stage.writer(config(LONG));
    stage.nothing_but_eth_is_news("3000", 1, 1).await;
    assert_eq!(stage.newest_seq("BTC").await, 1);
    second.end().await;

    stage.index(&[feed("BTC", "61000", 2)]).await;
    let third = stage.writer(config(LONG));
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    third.end().await;
}

#[tokio::test]
async fn ticks_that_no_signal_told_of_are_found_in_the_store() {
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config(LONG));
    stage.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    stage.index(&[feed("BTC", "61000", 2)]).await;
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
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config(LONG));
    stage.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );

    stage.cut().await;
    stage.send(&writer, vec![feed("BTC", "61000", 2)]).await;
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );

    // Both are told of every tick, and one writes.
    let standby = stage.writer(config(LONG));
    let news = vec![feed("BTC", "62000", 3)];
    stage.index(&news).await;
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
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(config(LONG));
    let ticks: Vec<Tick> = (1..=TICKS)
        .map(|block| feed("BTC", &(60_000 + block).to_string(), block))
        .collect();
    stage.index(&ticks).await;
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
    let stage = PriceStage::new().await;
    let sources = async || -> Vec<(String, String, bool)> {
        sqlx::query_as("SELECT token, source, active FROM price_sources ORDER BY 1, 2")
            .fetch_all(stage.store.pool())
            .await
            .unwrap()
    };
    let row = |token: &str, source: &str, active| (token.to_owned(), source.to_owned(), active);
    let writer = stage.writer(config(LONG));
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
    let writer = stage.writer(fewer);
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
    let stage = PriceStage::new().await;
    let ticks = [
        feed("BTC", "60000", 1),
        tick("ETH", "pool", "BTC", "0.05", 1),
    ];
    stage.index(&ticks).await;
    stage.index(&ticks).await;
    stage.index(&[quote("BTC", "60000")]).await;
    assert_eq!(stage.stored().await, 3);
}
