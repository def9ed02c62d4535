//! The supervisor against a venue on this machine that does what venues do wrong. `scenarios` plays what can be told
//! as acts and ticks; here is what needs more.

mod clocks;
mod floods;
mod garbled;
mod handshakes;
mod scenarios;
mod stage;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use self::stage::Stage;
use super::super::{
    FeedState, PriceConfig, feeds,
    running_feeds::{RunningFeeds, eventually, soon, token},
    tick_queue,
};
use crate::{
    dev::venue::{Act, Speaks, Told, Venue},
    model::now_ms,
};

#[tokio::test]
async fn a_tick_has_every_digit_the_spread_and_the_time_of_the_venue() {
    for (speaks, symbol) in [
        (Speaks::Binance, "BTCUSD"),
        (Speaks::Coinbase, "BTC-USD"),
        (Speaks::Kraken, "BTC/USD"),
    ] {
        let mut stage = Stage::start(speaks, &[symbol], "").await;
        stage.connected(1, &[symbol]).await;
        let at = now_ms() - 1_000;
        stage.venue.act(&Act::Tick(Told {
            bid: Some("64000.123456789012345".to_owned()),
            ask: Some("64000.123456789012347".to_owned()),
            time_ms: Some(at),
            ..Told::at(symbol, "64000.123456789012346")
        }));
        let tick = stage.feeds.tick().await;
        assert_eq!(tick.token, token(0));
        assert_eq!(&*tick.quote, "USD");
        let price = tick.price.normalized().to_plain_string();
        assert_eq!(price, "64000.123456789012346");
        assert_eq!(tick.confidence, Some("0.000000000000001".parse().unwrap()));
        // A book ticker of Binance has no time: it is as of when it was heard.
        if speaks == Speaks::Binance {
            assert!(tick.observed_at > at);
        } else {
            assert_eq!(tick.observed_at, at);
        }
        assert_eq!(stage.feeds.until_state(0, "live").await, FeedState::Live);
        stage.feeds.end().await;
    }
}

#[tokio::test]
async fn trades_of_binance_are_read_where_they_are_asked_for() {
    let venue = Venue::start(Speaks::Binance).await.unwrap();
    let more = "stream = 'trade'";
    let mut stage = Stage::reading(venue, Speaks::Binance, &["BTCUSDT"], "", more);
    stage.connected(1, &["BTCUSDT"]).await;
    stage.venue.tell("BTCUSDT", "64000.10");
    let tick = stage.feeds.tick().await;
    assert_eq!(tick.price.to_plain_string(), "64000.10");
    assert_eq!(tick.confidence, None);
    stage.feeds.end().await;
}

#[tokio::test]
async fn the_old_connection_is_kept_until_the_new_one_is_answered() {
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let mut stage = Stage::start(Speaks::Binance, &symbols, "first_tick_ms = 3600000").await;
    stage.connected(1, &symbols).await;
    // The successor connects and is not answered: what is told goes on coming by the old one.
    stage.venue.act(&Act::Hold);
    stage.venue.act(&Act::Announce);
    let successor = stage.venue.until(|seen| seen.connections == 2);
    soon("a successor", successor).await;
    stage.venue.tell("BTCUSDT", "1");
    assert_eq!(stage.feeds.price().await, "T0 1");
    assert_eq!(stage.venue.seen().open, 2);
    assert_eq!(stage.feeds.state(0), Some(FeedState::Live));
    stage.venue.act(&Act::Release);
    stage.connected(2, &symbols).await;
    soon(
        "the end of the old one",
        stage.venue.until(|seen| seen.open == 1),
    )
    .await;
    stage.venue.tell("ETHUSDT", "2");
    assert_eq!(stage.feeds.price().await, "T1 2");
    assert_eq!(stage.feeds.state(0), Some(FeedState::Live));
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_connection_that_grew_old_is_replaced_again_and_again() {
    let keys = "rotate_after_ms = 800\nmissed_heartbeats = 100";
    let mut stage = Stage::start(Speaks::Kraken, &["BTC/USD"], keys).await;
    stage.connected(1, &["BTC/USD"]).await;
    stage.venue.tell("BTC/USD", "1");
    assert_eq!(stage.feeds.price().await, "T0 1");
    stage.connected(4, &["BTC/USD"]).await;
    stage.venue.tell("BTC/USD", "2");
    // Each connection began with the snapshot, which is the same state once more.
    let mut price = stage.feeds.price().await;
    while price == "T0 1" {
        price = stage.feeds.price().await;
    }
    assert_eq!(price, "T0 2");
    assert_eq!(stage.feeds.state(0), Some(FeedState::Live));
    stage.feeds.end().await;
}

#[tokio::test]
async fn where_a_venue_has_no_numbers_time_says_what_is_older() {
    let keys = "missed_heartbeats = 100";
    let mut stage = Stage::start(Speaks::Kraken, &["BTC/USD"], keys).await;
    stage.connected(1, &["BTC/USD"]).await;
    let at = now_ms() - 10_000;
    for (price, time_ms) in [("1", at + 2), ("2", at + 1), ("3", at + 2), ("4", at + 3)] {
        stage.venue.act(&Act::Tick(Told {
            time_ms: Some(time_ms),
            ..Told::at("BTC/USD", price)
        }));
    }
    for expected in ["T0 1", "T0 3", "T0 4"] {
        assert_eq!(stage.feeds.price().await, expected);
    }
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_venue_that_is_silent_is_left_after_the_heartbeats_that_it_missed() {
    for (speaks, symbol) in [(Speaks::Coinbase, "BTC-USD"), (Speaks::Kraken, "BTC/USD")] {
        let mut stage = Stage::start(speaks, &[symbol], "missed_heartbeats = 3").await;
        stage.connected(1, &[symbol]).await;
        let told = Instant::now();
        stage.venue.tell(symbol, "1");
        assert_eq!(stage.feeds.price().await, "T0 1");
        let connections = stage.venue.seen().connections;
        stage.venue.act(&Act::Stall);
        stage.connected(connections + 1, &[symbol]).await;
        assert!(
            told.elapsed() >= Duration::from_secs(3),
            "{:?}",
            told.elapsed()
        );
        stage.venue.tell(symbol, "2");
        let mut price = stage.feeds.price().await;
        while price == "T0 1" {
            price = stage.feeds.price().await;
        }
        assert_eq!(price, "T0 2");
        stage.feeds.end().await;
    }
}

#[tokio::test]
async fn pings_are_answered_and_cost_nothing() {
    let mut stage = Stage::start(Speaks::Binance, &["BTCUSDT"], "").await;
    stage.connected(1, &["BTCUSDT"]).await;
    for _ in 0..3 {
        stage.venue.act(&Act::Ping);
    }
    soon("pongs", stage.venue.until(|seen| seen.pongs >= 3)).await;
    stage.venue.tell("BTCUSDT", "7");
    assert_eq!(stage.feeds.price().await, "T0 7");
    assert_eq!(stage.venue.seen().connections, 1);
    stage.feeds.end().await;
}

async fn keep_pinging(venue: &Venue) -> Infallible {
    loop {
        venue.act(&Act::Ping);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn pings_are_no_sign_of_life_of_a_venue_whose_heartbeats_are_messages() {
    for (speaks, symbol) in [(Speaks::Coinbase, "BTC-USD"), (Speaks::Kraken, "BTC/USD")] {
        let venue = Venue::start(speaks).await.unwrap();
        // Nothing is answered, and so nothing beats.
        venue.act(&Act::Hold);
        let stage = Stage::reading(venue, speaks, &[symbol], "missed_heartbeats = 2", "");
        soon("another connection", async {
            tokio::select! {
                never = keep_pinging(&stage.venue) => match never {},
                _ = stage.venue.until(|seen| seen.connections >= 2) => {}
            }
        })
        .await;
        assert!(stage.venue.seen().pongs > 0);
        let state = stage.feeds.state(0).unwrap();
        let reason = state.reason().unwrap_or_default();
        assert!(reason.contains("silent"), "{state:?}");
        stage.feeds.end().await;
    }
}

#[tokio::test]
async fn the_local_venue_keeps_the_limits_that_feeds_are_to_keep() {
    use futures_util::SinkExt;
    for (speaks, messages) in [(Speaks::Coinbase, 0), (Speaks::Binance, 6)] {
        let venue = Venue::start(speaks).await.unwrap();
        let connected = tokio_tungstenite::connect_async(venue.url()).await;
        let (mut socket, _) = connected.unwrap();
        for _ in 0..messages {
            socket.feed(Message::text("{}")).await.unwrap();
        }
        socket.flush().await.unwrap();
        let code = soon("a close", async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                    Some(Ok(_)) => {}
                    other => panic!("{speaks:?}: {other:?}"),
                }
            }
        });
        assert_eq!(code.await, 1_008, "{speaks:?}");
    }
}

#[tokio::test]
async fn many_symbols_are_asked_for_in_few_messages_and_not_too_fast() {
    let symbols: Vec<String> = (0..450).map(|at| format!("T{at}USDT")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let began = Instant::now();
    let mut stage = Stage::start(Speaks::Binance, &symbols, "").await;
    stage.connected(1, &symbols).await;
    let seen = stage.venue.seen();
    assert_eq!(seen.messages.len(), 3, "200 streams a message");
    let last = seen.messages[2].0;
    assert!(last.duration_since(began) >= Duration::from_millis(2 * 350));
    stage.venue.tell("T449USDT", "3");
    assert_eq!(stage.feeds.price().await, "T449 3");
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection_and_not_the_feed() {
    let mut stage = Stage::start(Speaks::Coinbase, &["BTC-USD"], "message_bytes = 4096").await;
    stage.connected(1, &["BTC-USD"]).await;
    let large = format!(r#"{{"type":"{}"}}"#, "x".repeat(5_000));
    stage.venue.act(&Act::Say(large));
    stage.connected(2, &["BTC-USD"]).await;
    stage.venue.tell("BTC-USD", "1");
    assert_eq!(stage.feeds.price().await, "T0 1");
    stage.feeds.end().await;
}

#[tokio::test]
async fn a_slow_venue_is_waited_for_and_not_called_live_before_it_speaks() {
    let venue = Venue::start(Speaks::Coinbase).await.unwrap();
    venue.act(&Act::Hold);
    let keys = "missed_heartbeats = 60";
    let mut stage = Stage::reading(venue, Speaks::Coinbase, &["BTC-USD"], keys, "");
    soon(
        "a request",
        stage.venue.until(|seen| !seen.messages.is_empty()),
    )
    .await;
    let state = stage.feeds.state(0).unwrap();
    assert_eq!(state, FeedState::Connecting { reason: None });
    stage.venue.act(&Act::Release);
    stage.connected(1, &["BTC-USD"]).await;
    stage.venue.tell("BTC-USD", "1");
    assert_eq!(stage.feeds.price().await, "T0 1");
    stage.feeds.end().await;
}

#[tokio::test]
async fn connections_that_do_not_last_are_made_less_and_less_often() {
    let venue = Venue::start(Speaks::Kraken).await.unwrap();
    venue.act(&Act::Storm(6));
    let config = format!(
        "[exchanges]\nbackoff_ms = 50\nbackoff_max_ms = 400\n[[sources]]\nkind = 'kraken'\ntoken = 'T0'\n\
         symbol = 'BTC/USD'\nquote = 'USD'\nurl = '{}'\n",
        venue.url()
    );
    let config: PriceConfig = toml::from_str(&config).unwrap();
    let (sink, _queue) = tick_queue(10);
    let stop = CancellationToken::new();
    let feed = feeds(&config).remove(0);
    let began = Instant::now();
    let running = tokio::spawn(feed.run(sink, stop.clone()));
    let last = venue.until(|seen| seen.connections >= 7);
    soon("the connection that lasts", last).await;
    // Half of 50, 100, 200 and three times 400 ms at least: each was open, and none for long enough to begin anew.
    let least = Duration::from_millis(25 + 50 + 100 + 3 * 200);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    stop.cancel();
    soon("the end of the feed", running).await.unwrap();
}

#[tokio::test]
async fn a_venue_is_told_who_asks_and_one_that_answers_with_a_status_is_there() {
    let venue = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let feeds = RunningFeeds::start(&format!(
        "[exchanges]\nbackoff_ms = 600\nbackoff_max_ms = 600\n[[tokens]]\nsymbol = 'T0'\n[[sources]]\n\
         kind = 'kraken'\ntoken = 'T0'\nsymbol = 'BTC/USD'\nquote = 'USD'\nurl = 'ws://{}'\n",
        venue.local_addr().unwrap()
    ));
    let (mut socket, _) = soon("a connection", venue.accept()).await.unwrap();
    let mut head = Vec::new();
    soon("a request", async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
    })
    .await;
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.contains("\r\nuser-agent: chaincast/"), "{head}");
    let answer = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(answer).await.unwrap();
    eventually("a reason", || {
        let state = feeds.state(0);
        state.is_some_and(|state| {
            state.name() == "connecting"
                && state.reason() == Some("it answers HTTP 429 Too Many Requests")
        })
    })
    .await;
    feeds.end().await;
}

#[tokio::test]
async fn a_venue_that_is_not_there_is_told_without_its_url() {
    // The port is taken and nobody listens: no other test can come to listen there.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    let config = format!(
        "[exchanges]\nbackoff_ms = 10\n[[sources]]\nkind = 'kraken'\ntoken = 'T0'\nsymbol = 'BTC/USD'\n\
         quote = 'USD'\nurl = 'ws://{address}/a-secret-key'\n"
    );
    let config: PriceConfig = toml::from_str(&config).unwrap();
    let (sink, _queue) = tick_queue(10);
    let stop = CancellationToken::new();
    let feed = feeds(&config).remove(0);
    assert_eq!(feed.name(), format!("kraken@{address}"));
    let running = tokio::spawn(feed.run(sink.clone(), stop.clone()));
    let key = (token(0), Arc::<str>::from("kraken"));
    let reason = || {
        let states = sink.states();
        let state = states.get(&key);
        state.and_then(|state| state.reason().map(str::to_owned))
    };
    eventually("a reason", || reason().is_some()).await;
    let reason = reason().unwrap();
    assert!(reason.starts_with("it cannot be connected to"), "{reason}");
    assert!(!reason.contains("a-secret-key"), "{reason}");
    stop.cancel();
    soon("the end of the feed", running).await.unwrap();
}
