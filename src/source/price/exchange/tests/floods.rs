//! Venues and pages that would make us connect, or write log lines, without end.

use std::time::{Duration, Instant};

use super::{
    super::super::{
        log_lines::LogLines,
        running_feeds::{RunningFeeds, soon},
    },
    stage::Stage,
};
use crate::dev::{
    price_web::{PageAnswer, PricePage},
    venue::{Act, Speaks, Venue},
};

#[tokio::test]
async fn a_venue_that_announces_its_end_on_every_connection_is_connected_to_less_and_less_often() {
    let venue = Venue::start(Speaks::Binance).await.unwrap();
    venue.act(&Act::Farewells(u64::MAX));
    let config = format!(
        "[exchanges]\nbackoff_ms = 50\nbackoff_max_ms = 400\n[[tokens]]\nsymbol = 'T0'\n[[sources]]\n\
         kind = 'binance'\ntoken = 'T0'\nsymbol = 'BTCUSDT'\nquote = 'USD'\nurl = '{}'\n",
        venue.url()
    );
    let began = Instant::now();
    let feeds = RunningFeeds::start(&config);
    let mut stage = Stage { venue, feeds };
    let connections = 7;
    soon(
        "the seventh connection",
        stage.venue.until(|seen| seen.connections >= connections),
    )
    .await;
    // Half of 50, 100, 200 and three times 400 ms at least: no connection was old enough to begin anew.
    let least = Duration::from_millis(25 + 50 + 100 + 3 * 200);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    // It serves all the while.
    stage.connected(connections, &["BTCUSDT"]).await;
    stage.venue.tell("BTCUSDT", "1");
    assert_eq!(stage.feeds.price().await, "T0 1");
    stage.feeds.end().await;
}

#[tokio::test]
async fn what_a_venue_says_of_itself_without_end_is_one_line_of_the_log() {
    let log = LogLines::listen();
    let keys = "missed_heartbeats = 100";
    let mut stage = Stage::start(Speaks::Kraken, &["BTC/USD"], keys).await;
    stage.connected(1, &["BTC/USD"]).await;
    for system in ["maintenance", "maintenance", "cancel_only", "maintenance"] {
        let item = format!(r#"{{"system":"{system}"}}"#);
        let items = vec![item; 1_000].join(",");
        let text = format!(r#"{{"channel":"status","type":"update","data":[{items}]}}"#);
        stage.venue.act(&Act::Say(text));
    }
    stage.venue.tell("BTC/USD", "1");
    assert_eq!(stage.feeds.price().await, "T0 1");
    assert_eq!(log.count("its trading engine is"), 1);
    assert_eq!(log.count("maintenance"), 1);
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_page_that_fails_again_and_again_is_one_line_of_the_log() {
    const DOCUMENT: &str = r#"{"p":1}"#;
    let log = LogLines::listen();
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
    assert_eq!(log.count("a document of prices cannot be fetched"), 1);
    feeds.end().await;
}
