//! Ticks that feeds tell the price writer, which stores them itself.

use chaincast::source::price::{FeedState, PriceConfig};

use super::{LONG, config, price, quote, tick};
use crate::support::{PriceStage, eventually};

/// As [`config`], with a venue's feed for BTC in place of the one on the chain.
fn venue_config() -> PriceConfig {
    let mut config = config(LONG);
    let text = "[[tokens]]\nsymbol = 'BTC'\n[[sources]]\nkind = 'http'\ntoken = 'BTC'\nname = 'feed'\n\
                url = 'http://127.0.0.1:1/'\npointer = '/price'\nquote = 'USD'\nmax_age_ms = 3600000\n";
    let venue: PriceConfig = toml::from_str(text).unwrap();
    config.sources[1] = venue.sources[0].clone();
    config
}

/// How the feed of BTC stands, and why.
async fn btc_state(stage: &PriceStage) -> (Option<String>, Option<String>) {
    sqlx::query_as(
        "SELECT state, state_reason FROM price_sources WHERE token = 'BTC' AND source = 'feed'",
    )
    .fetch_one(stage.store.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_tick_of_a_feed_is_stored_with_the_price_that_it_makes() {
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(venue_config());
    let sink = writer.feed.sink().await;
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
    let block = serde_json::json!({"chainId": PriceStage::CHAIN, "number": 3});
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
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(venue_config());
    let sink = writer.feed.sink().await;

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
    let mut stage = PriceStage::new().await;
    let writer = stage.writer(venue_config());
    let sink = writer.feed.sink().await;
    sink.send(quote("BTC", "60000"));
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    stage.cut().await;
    sink.send(quote("BTC", "61000"));
    assert_eq!(
        stage.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    assert_eq!(stage.stored().await, 2);
    // The feed saw nothing of it.
    assert!(writer.feed.is_connected());
    writer.end().await;
}

#[tokio::test]
async fn feeds_run_in_the_process_that_writes_and_what_they_told_last_is_stored_at_its_end() {
    let stage = PriceStage::new().await;
    let writer = stage.writer(venue_config());
    let sink = writer.feed.sink().await;
    let standby = stage.writer(venue_config());
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
        (btc_state(&stage).await == refused).then_some(())
    })
    .await;
    assert!(!standby.feed.is_connected());

    sink.send(quote("BTC", "60000"));
    let first = writer.feed.clone();
    writer.end().await;
    assert!(!first.is_connected());
    assert_eq!(stage.stored().await, 1);
    let sink = standby.feed.sink().await;
    sink.tell(&"BTC".parse().unwrap(), &"feed".into(), FeedState::Live);
    eventually("the new state is stored", || async {
        (btc_state(&stage).await == (Some("live".to_owned()), None)).then_some(())
    })
    .await;
    standby.end().await;
}

#[tokio::test]
async fn a_source_outside_the_chains_says_what_the_feed_that_reads_it_is_called() {
    let stage = PriceStage::new().await;
    let writer = stage.writer(venue_config());
    // It runs once the sources are stored.
    writer.feed.sink().await;
    let sources = stage.store.read_sources(10).await.unwrap();
    let named: Vec<(&str, &str, Option<&str>)> = sources
        .iter()
        .map(|one| (one.token.as_str(), &*one.source, one.feed.as_deref()))
        .collect();
    assert!(
        named.contains(&("BTC", "feed", Some("http@127.0.0.1:1"))),
        "{named:?}"
    );
    let others = named.iter().filter(|(token, ..)| *token == "ETH");
    assert!(others.clone().count() > 0, "{named:?}");
    for other in others {
        assert_eq!(other.2, None, "{named:?}");
    }
    writer.end().await;
}
