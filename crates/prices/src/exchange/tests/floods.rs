//! Venues and pages that would cause endless connecting or logging.

use std::time::{Duration, Instant};

use super::{
    super::super::{
        log_lines::LogLines,
        running_feeds::{RunningFeeds, within_limit},
    },
    fixture::Fixture,
};
use chaincast_testkit::{
    price_servers::{PageAnswer, PricePage},
    venue::{Action, Venue, VenueProtocol},
};

#[tokio::test]
async fn announced_shutdowns_increase_backoff() {
    let venue = Venue::start(VenueProtocol::Binance).await.unwrap();
    venue.perform(&Action::Farewells(u64::MAX));
    let config = format!(
        "[exchanges]\nbackoff_ms = 50\nbackoff_max_ms = 400\n[[tokens]]\nsymbol = 'T0'\n[[sources]]\n\
         kind = 'binance'\ntoken = 'T0'\nsymbol = 'BTCUSDT'\nquote = 'USD'\nurl = '{}'\n",
        venue.url()
    );
    let began = Instant::now();
    let feeds = RunningFeeds::start(&config);
    let mut fixture = Fixture { venue, feeds };
    let connections = 7;
    within_limit(
        "the seventh connection",
        fixture
            .venue
            .wait_until(|seen| seen.connections >= connections),
    )
    .await;
    // At least half of 50, 100, 200 and three times 400 ms: no connection was stable.
    let least = Duration::from_millis(25 + 50 + 100 + 3 * 200);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    // The feed works meanwhile.
    fixture.connected(connections, &["BTCUSDT"]).await;
    fixture.venue.send_price("BTCUSDT", "1");
    assert_eq!(fixture.feeds.price().await, "T0 1");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn flood_of_notices_is_one_log_line() {
    let log = LogLines::capture();
    let keys = "missed_heartbeats = 100";
    let mut fixture = Fixture::start(VenueProtocol::Kraken, &["BTC/USD"], keys).await;
    fixture.connected(1, &["BTC/USD"]).await;
    for system in ["maintenance", "maintenance", "cancel_only", "maintenance"] {
        let item = format!(r#"{{"system":"{system}"}}"#);
        let items = vec![item; 1_000].join(",");
        let text = format!(r#"{{"channel":"status","type":"update","data":[{items}]}}"#);
        fixture.venue.perform(&Action::Say(text));
    }
    fixture.venue.send_price("BTC/USD", "1");
    assert_eq!(fixture.feeds.price().await, "T0 1");
    assert_eq!(log.count("trading engine is"), 1);
    assert_eq!(log.count("maintenance"), 1);
    fixture.feeds.end().await;
}

#[tokio::test]
async fn repeated_page_failure_is_one_log_line() {
    const DOCUMENT: &str = r#"{"p":1}"#;
    let log = LogLines::capture();
    let page = PricePage::start(DOCUMENT).await.unwrap();
    let feeds = RunningFeeds::start(&format!(
        "[[tokens]]\nsymbol = 'T0'\n[[sources]]\nkind = 'http'\ntoken = 'T0'\nquote = 'USD'\nurl = '{}'\n\
         interval_ms = 100\npointer = '/p'\n",
        page.url()
    ));
    for _ in 0..4 {
        feeds.until_state(0, "live").await;
        page.answer(PageAnswer::Status(500, Vec::new()));
        feeds.until_state(0, "connecting").await;
        page.answer(PageAnswer::Document(DOCUMENT.to_owned()));
    }
    assert_eq!(log.count("cannot fetch a document of prices"), 1);
    feeds.end().await;
}
