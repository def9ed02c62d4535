//! The price writer with a real PostgreSQL and the bus, with ticks that are stored and signalled as a chain writer
//! does.

mod feeds;
mod nodes;

use chaincast_ingest::PriceSignal;
use chaincast_model::Tick;
use chaincast_prices::PriceConfig;
use chaincast_protocol::{Channel, Update};
use serde_json::Value;
use sqlx::Row;

use crate::support::{PriceFixture, PriceWriter, eventually, price_tick};

/// ETH has a feed and a pool quoted in BTC; BTC has a feed.
fn config(max_age_ms: u64) -> PriceConfig {
    let source = |kind: &str, token: &str, name: &str, address: u8, more: &str| {
        format!(
            "[[sources]]\nkind = '{kind}'\ntoken = '{token}'\nname = '{name}'\naddress = '0x{address:040x}'\n\
             max_age_ms = {max_age_ms}\n{more}\n"
        )
    };
    let pool = "base = 0\nbase_decimals = 18\nquote_decimals = 8\nquote = 'BTC'";
    let text = [
        // Jumps have their own tests.
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

/// A tick of a block.
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

impl PriceFixture {
    /// The number of stored ticks.
    async fn count_ticks(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM ticks")
            .fetch_one(self.store.pool())
            .await
            .unwrap()
    }

    /// Ends the database connection that holds the writer's lock.
    async fn end_lock_connection(&self) {
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

    /// The price updates of the next commit that has any. Candles are committed with prices and on their own.
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
        assert_eq!(update.event, "price-update");
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

    /// Makes the writer read everything again, and checks that it publishes nothing but the ETH tick that is stored
    /// here.
    async fn expect_only_eth_update(&mut self, eth: &str, block_number: u64, seq: u64) {
        self.index(&[feed("ETH", eth, block_number)]).await;
        let found = self.next_price().await;
        assert_eq!(found, price("price:ETH", seq, eth, "ok"));
    }
}

fn price(channel: &str, seq: u64, price: &str, status: &str) -> (String, u64, String, String) {
    (channel.to_owned(), seq, price.to_owned(), status.to_owned())
}

#[tokio::test]
async fn each_tick_becomes_a_price_and_one_update() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(LONG));

    fixture.send(&writer, vec![feed("BTC", "60000.5", 1)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000.5", "ok")
    );
    fixture.send(&writer, vec![feed("ETH", "3000", 2)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:ETH", 1, "3000", "ok")
    );
    fixture
        .send(&writer, vec![tick("ETH", "pool", "BTC", "0.05", 3)])
        .await;
    let (update, data) = fixture.next().await;
    assert_eq!((update.seq, &*update.channel.to_string()), (2, "price:ETH"));
    assert_eq!(data["price"].to_string(), "3000.0125");
    assert_eq!(data["confidence"].to_string(), "0.0125");
    assert_eq!(data["sources"], serde_json::json!(["feed", "pool"]));
    assert_eq!(data["quote"], "USD");
    assert!(data["ageMs"].as_i64().unwrap() >= 0);

    // Every digit is in the text and in the row.
    fixture
        .send(
            &writer,
            vec![feed("BTC", "60000.000000000000000000000001", 4)],
        )
        .await;
    let commit = fixture.next_commit().await;
    // BTC changed, and ETH with it, in one commit.
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
    .fetch_all(fixture.store.pool())
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
async fn reorg_removes_the_price_of_a_dropped_block() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(LONG));
    fixture.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    fixture.send(&writer, vec![feed("BTC", "90000", 2)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 2, "90000", "ok")
    );

    fixture.reorg(&writer, 1).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 3, "60000", "ok")
    );
    writer.end().await;
}

#[tokio::test]
async fn stale_price_is_published_once() {
    // Long enough for a slow machine to see the price fresh.
    const MAX_AGE_MS: u64 = 12_000;
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(MAX_AGE_MS));
    fixture.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    let (update, data) = fixture.next().await;
    assert_eq!((update.seq, &data["status"]), (2, &Value::from("stale")));
    assert_eq!(data["price"].to_string(), "60000");
    assert!(data["ageMs"].as_i64().unwrap() > MAX_AGE_MS as i64);
    fixture.expect_only_eth_update("3000", 2, 1).await;
    assert_eq!(fixture.newest_seq("BTC").await, 2);
    // The same price, fresh again, is a change.
    fixture.send(&writer, vec![feed("BTC", "60000", 2)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 3, "60000", "ok")
    );
    writer.end().await;
}

#[tokio::test]
async fn confirming_tick_only_refreshes_the_stored_price() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(LONG));
    let aged = |price: &str, block, age_ms| {
        let mut tick = feed("BTC", price, block);
        tick.observed_at -= age_ms;
        tick
    };
    let first = aged("60000", 1, LONG as i64 / 2);
    fixture.send(&writer, vec![first]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    // By a signal, and by the store alone.
    let signalled = aged("60000.0", 2, 1_000);
    let found = aged("60000", 3, 0);
    let token = "BTC".parse().unwrap();
    let observed = async |at: i64| {
        eventually("the price is confirmed", || async {
            let row = fixture.store.read_price(&token).await.unwrap().unwrap();
            (row.observed_at == at).then_some(row.seq)
        })
        .await
    };
    fixture.index(std::slice::from_ref(&signalled)).await;
    writer
        .signals
        .send(PriceSignal::Ticks(vec![signalled.clone()]));
    assert_eq!(observed(signalled.observed_at).await, 1);
    fixture.index(std::slice::from_ref(&found)).await;
    assert_eq!(observed(found.observed_at).await, 1);
    fixture.expect_only_eth_update("3000", 4, 1).await;
    assert_eq!(fixture.newest_seq("BTC").await, 1);
    writer.end().await;
}

#[tokio::test]
async fn restart_publishes_only_missed_changes() {
    let mut fixture = PriceFixture::new().await;
    let first = fixture.writer(config(LONG));
    fixture.send(&first, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    first.end().await;

    let second = fixture.writer(config(LONG));
    fixture.expect_only_eth_update("3000", 1, 1).await;
    assert_eq!(fixture.newest_seq("BTC").await, 1);
    second.end().await;

    fixture.index(&[feed("BTC", "61000", 2)]).await;
    let third = fixture.writer(config(LONG));
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    third.end().await;
}

#[tokio::test]
async fn ticks_without_a_signal_are_found_in_the_store() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(LONG));
    fixture.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    fixture.index(&[feed("BTC", "61000", 2)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    // A late tick of an older block changes nothing.
    let late = PriceSignal::Ticks(vec![feed("BTC", "1", 1)]);
    writer.signals.send(late);
    fixture.send(&writer, vec![feed("BTC", "62000", 3)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 3, "62000", "ok")
    );
    writer.end().await;
}

#[tokio::test]
async fn writer_or_standby_continues_after_lost_connection() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(LONG));
    fixture.send(&writer, vec![feed("BTC", "60000", 1)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );

    fixture.end_lock_connection().await;
    fixture.send(&writer, vec![feed("BTC", "61000", 2)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );

    // Both receive every tick, and one writes.
    let standby = fixture.writer(config(LONG));
    let ticks = vec![feed("BTC", "62000", 3)];
    fixture.index(&ticks).await;
    writer.signals.send(PriceSignal::Ticks(ticks.clone()));
    standby.signals.send(PriceSignal::Ticks(ticks));
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 3, "62000", "ok")
    );
    writer.end().await;
    fixture.send(&standby, vec![feed("BTC", "63000", 4)]).await;
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 4, "63000", "ok")
    );
    standby.end().await;
}

#[tokio::test]
async fn signal_flood_ends_at_newest_price_without_seq_gap() {
    const TICKS: u64 = 3_000;
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(config(LONG));
    let ticks: Vec<Tick> = (1..=TICKS)
        .map(|block| feed("BTC", &(60_000 + block).to_string(), block))
        .collect();
    fixture.index(&ticks).await;
    // More than the queue holds, without a pause.
    for tick in ticks {
        writer.signals.send(PriceSignal::Ticks(vec![tick]));
    }
    let mut seq = 0;
    loop {
        let (_, next, value, _) = fixture.next_price().await;
        assert_eq!(next, seq + 1);
        seq = next;
        if value == (60_000 + TICKS).to_string() {
            break;
        }
    }
    fixture.expect_only_eth_update("3000", 1, 1).await;
    assert_eq!(fixture.newest_seq("BTC").await, seq);
    writer.end().await;
}

#[tokio::test]
async fn untracked_tokens_stay_in_tables_without_position() {
    let fixture = PriceFixture::new().await;
    let sources = async || -> Vec<(String, String, bool)> {
        sqlx::query_as("SELECT token, source, active FROM price_sources ORDER BY 1, 2")
            .fetch_all(fixture.store.pool())
            .await
            .unwrap()
    };
    let row = |token: &str, source: &str, active| (token.to_owned(), source.to_owned(), active);
    let writer = fixture.writer(config(LONG));
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
    let writer = fixture.writer(fewer);
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
            .fetch_all(fixture.store.pool())
            .await
            .unwrap();
    let token = |symbol: &str, name: &str, at| (symbol.to_owned(), name.to_owned(), Some(at));
    assert_eq!(tokens, [token("BTC", "BTC", 0), token("ETH", "Ether", 1)]);
    writer.end().await;
}

#[tokio::test]
async fn block_stored_twice_keeps_its_ticks_once() {
    let fixture = PriceFixture::new().await;
    let ticks = [
        feed("BTC", "60000", 1),
        tick("ETH", "pool", "BTC", "0.05", 1),
    ];
    fixture.index(&ticks).await;
    fixture.index(&ticks).await;
    fixture.index(&[quote("BTC", "60000")]).await;
    assert_eq!(fixture.count_ticks().await, 3);
}
