//! Ticks from feeds, which the price writer stores itself.

use chaincast_prices::{FeedState, PriceConfig};

use super::{LONG, config, price, quote, tick};
use crate::support::{PriceFixture, eventually};

/// As [`config`], with a venue's feed for BTC in place of the on-chain feed.
fn venue_config() -> PriceConfig {
    let mut config = config(LONG);
    let text = "[[tokens]]\nsymbol = 'BTC'\n[[sources]]\nkind = 'http'\ntoken = 'BTC'\nname = 'feed'\n\
                url = 'http://127.0.0.1:1/'\npointer = '/price'\nquote = 'USD'\nmax_age_ms = 3600000\n";
    let venue: PriceConfig = toml::from_str(text).unwrap();
    config.sources[1] = venue.sources[0].clone();
    config
}

/// The state of the BTC feed, and its reason.
async fn btc_state(fixture: &PriceFixture) -> (Option<String>, Option<String>) {
    sqlx::query_as(
        "SELECT state, state_reason FROM price_sources WHERE token = 'BTC' AND source = 'feed'",
    )
    .fetch_one(fixture.store.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn feed_tick_is_stored_with_its_price() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(venue_config());
    let sink = writer.feed.sink().await;
    sink.send(quote("BTC", "60000.5"));
    let (update, data) = fixture.next().await;
    assert_eq!((update.seq, &*update.channel.to_string()), (1, "price:BTC"));
    assert_eq!(data["price"].to_string(), "60000.5");
    let detail = &data["details"][0];
    assert_eq!(detail["source"], "feed");
    assert!(detail["ageMs"].as_i64().unwrap() >= 0, "{detail}");
    assert!(
        detail["block"].is_null() && detail["outlier"] == false,
        "{detail}"
    );
    assert_eq!(fixture.count_ticks().await, 1);

    // Together with a chain's tick, which names its block.
    fixture
        .send(&writer, vec![tick("ETH", "pool", "BTC", "0.05", 3)])
        .await;
    let (_, data) = fixture.next().await;
    let block = serde_json::json!({"chainId": PriceFixture::CHAIN, "number": 3});
    assert_eq!(data["details"][0]["block"], block);
    let token = "ETH".parse().unwrap();
    let row = fixture.store.read_price(&token).await.unwrap().unwrap();
    assert_eq!(row.details[0].block.unwrap().number, 3);

    // Ticks of unknown tokens and impossible prices are skipped.
    sink.send(quote("DOGE", "1"));
    sink.send(quote("BTC", "0"));
    sink.send(quote("BTC", "1e100000"));
    sink.send(quote("BTC", "61000"));
    let expected = ["price:ETH", "price:BTC"];
    let commit = fixture.next_commit().await;
    let channels = commit.iter().map(|update| update.channel.to_string());
    assert_eq!(channels.collect::<Vec<_>>(), expected);
    assert_eq!(fixture.count_ticks().await, 3);
    writer.end().await;
}

#[tokio::test]
async fn queued_ticks_are_stored_in_one_transaction() {
    const TICKS: i64 = 500;
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(venue_config());
    let sink = writer.feed.sink().await;

    let mut slow = fixture.store.pool().begin().await.unwrap();
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
        .fetch_one(fixture.store.pool())
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
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    let newest = (60_000 + TICKS).to_string();
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 2, &newest, "ok")
    );
    let (stored, transactions): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(DISTINCT xmin::text) FROM ticks")
            .fetch_one(fixture.store.pool())
            .await
            .unwrap();
    assert_eq!((stored, transactions), (TICKS + 1, 2));
    writer.end().await;
}

#[tokio::test]
async fn ticks_are_stored_after_a_database_outage() {
    let mut fixture = PriceFixture::new().await;
    let writer = fixture.writer(venue_config());
    let sink = writer.feed.sink().await;
    sink.send(quote("BTC", "60000"));
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 1, "60000", "ok")
    );
    fixture.end_lock_connection().await;
    sink.send(quote("BTC", "61000"));
    assert_eq!(
        fixture.next_price().await,
        price("price:BTC", 2, "61000", "ok")
    );
    assert_eq!(fixture.count_ticks().await, 2);
    // The feed did not notice the outage.
    assert!(writer.feed.is_connected());
    writer.end().await;
}

#[tokio::test]
async fn feeds_run_in_the_writer_and_store_their_last_state() {
    let fixture = PriceFixture::new().await;
    let writer = fixture.writer(venue_config());
    let sink = writer.feed.sink().await;
    let standby = fixture.writer(venue_config());
    sink.set_state(
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
        (btc_state(&fixture).await == refused).then_some(())
    })
    .await;
    assert!(!standby.feed.is_connected());

    sink.send(quote("BTC", "60000"));
    let first = writer.feed.clone();
    writer.end().await;
    assert!(!first.is_connected());
    assert_eq!(fixture.count_ticks().await, 1);
    let sink = standby.feed.sink().await;
    sink.set_state(&"BTC".parse().unwrap(), &"feed".into(), FeedState::Live);
    eventually("the new state is stored", || async {
        (btc_state(&fixture).await == (Some("live".to_owned()), None)).then_some(())
    })
    .await;
    standby.end().await;
}

#[tokio::test]
async fn off_chain_source_stores_the_name_of_its_feed() {
    let fixture = PriceFixture::new().await;
    let writer = fixture.writer(venue_config());
    // The feed runs once the sources are stored.
    writer.feed.sink().await;
    let sources = fixture.store.read_sources(10).await.unwrap();
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
