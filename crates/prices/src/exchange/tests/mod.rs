//! The supervisor against a faulty local venue. `scenarios` plays sequences of behaviors and ticks; other tests are
//! here.

mod clocks;
mod fixture;
mod floods;
mod garbled;
mod handshakes;
mod scenarios;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use self::fixture::{Fixture, venues, venues_with_heartbeat_messages};
use super::super::{
    FeedState, PriceConfig, feeds,
    running_feeds::{RunningFeeds, eventually, token, within_limit},
    tick_queue,
};
use chaincast_protocol::now_ms;
use chaincast_testkit::venue::{Action, Venue, VenueProtocol, VenueTick};

#[tokio::test]
async fn tick_has_digits_spread_and_time_of_venue() {
    for (protocol, symbol) in venues() {
        let mut fixture = Fixture::start(protocol, &[symbol], "").await;
        fixture.connected(1, &[symbol]).await;
        let at = now_ms() - 1_000;
        fixture.venue.perform(&Action::Tick(VenueTick {
            bid: Some("64000.123456789012345".to_owned()),
            ask: Some("64000.123456789012347".to_owned()),
            time_ms: Some(at),
            ..VenueTick::new(symbol, "64000.123456789012346")
        }));
        let tick = fixture.feeds.tick().await;
        assert_eq!(tick.token, token(0));
        assert_eq!(&*tick.quote, "USD");
        let price = tick.price.normalized().to_plain_string();
        assert_eq!(price, "64000.123456789012346");
        assert_eq!(tick.confidence, Some("0.000000000000001".parse().unwrap()));
        // A book ticker of Binance has no time: the arrival time counts.
        if protocol == VenueProtocol::Binance {
            assert!(tick.observed_at > at);
        } else {
            assert_eq!(tick.observed_at, at);
        }
        assert_eq!(fixture.feeds.until_state(0, "live").await, FeedState::Live);
        fixture.feeds.end().await;
    }
}

#[tokio::test]
async fn reads_trades_of_binance() {
    let venue = Venue::start(VenueProtocol::Binance).await.unwrap();
    let more = "stream = 'trade'";
    let mut fixture = Fixture::with_venue(venue, VenueProtocol::Binance, &["BTCUSDT"], "", more);
    fixture.connected(1, &["BTCUSDT"]).await;
    fixture.venue.send_price("BTCUSDT", "64000.10");
    let tick = fixture.feeds.tick().await;
    assert_eq!(tick.price.to_plain_string(), "64000.10");
    assert_eq!(tick.confidence, None);
    fixture.feeds.end().await;
}

#[tokio::test]
async fn keeps_old_connection_until_new_is_live() {
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let mut fixture =
        Fixture::start(VenueProtocol::Binance, &symbols, "first_tick_ms = 3600000").await;
    fixture.connected(1, &symbols).await;
    // The successor connects without answers: ticks keep arriving from the old connection.
    fixture.venue.perform(&Action::Hold);
    fixture.venue.perform(&Action::Announce);
    let successor = fixture.venue.wait_until(|seen| seen.connections == 2);
    within_limit("a successor", successor).await;
    fixture.venue.send_price("BTCUSDT", "1");
    assert_eq!(fixture.feeds.price().await, "T0 1");
    assert_eq!(fixture.venue.observed().open, 2);
    assert_eq!(fixture.feeds.state(0), Some(FeedState::Live));
    fixture.venue.perform(&Action::Release);
    fixture.connected(2, &symbols).await;
    within_limit(
        "the end of the old one",
        fixture.venue.wait_until(|seen| seen.open == 1),
    )
    .await;
    fixture.venue.send_price("ETHUSDT", "2");
    assert_eq!(fixture.feeds.price().await, "T1 2");
    assert_eq!(fixture.feeds.state(0), Some(FeedState::Live));
    fixture.feeds.end().await;
}

#[tokio::test]
async fn replaces_connection_at_maximum_age() {
    let keys = "rotate_after_ms = 800\nmissed_heartbeats = 100";
    let mut fixture = Fixture::start(VenueProtocol::Kraken, &["BTC/USD"], keys).await;
    fixture.connected(1, &["BTC/USD"]).await;
    fixture.venue.send_price("BTC/USD", "1");
    assert_eq!(fixture.feeds.price().await, "T0 1");
    fixture.connected(4, &["BTC/USD"]).await;
    fixture.venue.send_price("BTC/USD", "2");
    // Each connection starts with a snapshot of the same price.
    let mut price = fixture.feeds.price().await;
    while price == "T0 1" {
        price = fixture.feeds.price().await;
    }
    assert_eq!(price, "T0 2");
    assert_eq!(fixture.feeds.state(0), Some(FeedState::Live));
    fixture.feeds.end().await;
}

#[tokio::test]
async fn orders_by_time_without_numbers() {
    let keys = "missed_heartbeats = 100";
    let mut fixture = Fixture::start(VenueProtocol::Kraken, &["BTC/USD"], keys).await;
    fixture.connected(1, &["BTC/USD"]).await;
    let at = now_ms() - 10_000;
    for (price, time_ms) in [("1", at + 2), ("2", at + 1), ("3", at + 2), ("4", at + 3)] {
        fixture.venue.perform(&Action::Tick(VenueTick {
            time_ms: Some(time_ms),
            ..VenueTick::new("BTC/USD", price)
        }));
    }
    for expected in ["T0 1", "T0 3", "T0 4"] {
        assert_eq!(fixture.feeds.price().await, expected);
    }
    fixture.feeds.end().await;
}

#[tokio::test]
async fn reconnects_after_missed_heartbeats() {
    for (protocol, symbol) in venues_with_heartbeat_messages() {
        let mut fixture = Fixture::start(protocol, &[symbol], "missed_heartbeats = 3").await;
        fixture.connected(1, &[symbol]).await;
        let sent_at = Instant::now();
        fixture.venue.send_price(symbol, "1");
        assert_eq!(fixture.feeds.price().await, "T0 1");
        let connections = fixture.venue.observed().connections;
        fixture.venue.perform(&Action::Stall);
        fixture.connected(connections + 1, &[symbol]).await;
        assert!(
            sent_at.elapsed() >= Duration::from_secs(3),
            "{:?}",
            sent_at.elapsed()
        );
        fixture.venue.send_price(symbol, "2");
        let mut price = fixture.feeds.price().await;
        while price == "T0 1" {
            price = fixture.feeds.price().await;
        }
        assert_eq!(price, "T0 2");
        fixture.feeds.end().await;
    }
}

#[tokio::test]
async fn answers_pings() {
    let mut fixture = Fixture::start(VenueProtocol::Binance, &["BTCUSDT"], "").await;
    fixture.connected(1, &["BTCUSDT"]).await;
    for _ in 0..3 {
        fixture.venue.perform(&Action::Ping);
    }
    within_limit("pongs", fixture.venue.wait_until(|seen| seen.pongs >= 3)).await;
    fixture.venue.send_price("BTCUSDT", "7");
    assert_eq!(fixture.feeds.price().await, "T0 7");
    assert_eq!(fixture.venue.observed().connections, 1);
    fixture.feeds.end().await;
}

async fn ping_repeatedly(venue: &Venue) -> Infallible {
    loop {
        venue.perform(&Action::Ping);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn pings_do_not_replace_heartbeat_messages() {
    for (protocol, symbol) in venues_with_heartbeat_messages() {
        let venue = Venue::start(protocol).await.unwrap();
        // Without answers there are no heartbeats.
        venue.perform(&Action::Hold);
        let fixture = Fixture::with_venue(venue, protocol, &[symbol], "missed_heartbeats = 2", "");
        within_limit("another connection", async {
            tokio::select! {
                never = ping_repeatedly(&fixture.venue) => match never {},
                _ = fixture.venue.wait_until(|seen| seen.connections >= 2) => {}
            }
        })
        .await;
        assert!(fixture.venue.observed().pongs > 0);
        let state = fixture.feeds.state(0).unwrap();
        let reason = state.reason().unwrap_or_default();
        assert!(reason.contains("no data"), "{state:?}");
        fixture.feeds.end().await;
    }
}

#[tokio::test]
async fn local_venue_enforces_limits() {
    use futures_util::SinkExt;
    for (protocol, messages) in [(VenueProtocol::Coinbase, 0), (VenueProtocol::Binance, 6)] {
        let venue = Venue::start(protocol).await.unwrap();
        let connected = tokio_tungstenite::connect_async(venue.url()).await;
        let (mut socket, _) = connected.unwrap();
        for _ in 0..messages {
            socket.feed(Message::text("{}")).await.unwrap();
        }
        socket.flush().await.unwrap();
        let code = within_limit("a close", async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                    Some(Ok(_)) => {}
                    other => panic!("{protocol:?}: {other:?}"),
                }
            }
        });
        assert_eq!(code.await, 1_008, "{protocol:?}");
    }
}

#[tokio::test]
async fn subscribes_many_symbols_within_limits() {
    let symbols: Vec<String> = (0..450).map(|at| format!("T{at}USDT")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let began = Instant::now();
    let mut fixture = Fixture::start(VenueProtocol::Binance, &symbols, "").await;
    fixture.connected(1, &symbols).await;
    let seen = fixture.venue.observed();
    assert_eq!(seen.messages.len(), 3, "200 streams a message");
    let last = seen.messages[2].0;
    assert!(last.duration_since(began) >= Duration::from_millis(2 * 350));
    fixture.venue.send_price("T449USDT", "3");
    assert_eq!(fixture.feeds.price().await, "T449 3");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn oversized_message_ends_connection() {
    let mut fixture = Fixture::start(
        VenueProtocol::Coinbase,
        &["BTC-USD"],
        "message_bytes = 4096",
    )
    .await;
    fixture.connected(1, &["BTC-USD"]).await;
    let large = format!(r#"{{"type":"{}"}}"#, "x".repeat(5_000));
    fixture.venue.perform(&Action::Say(large));
    fixture.connected(2, &["BTC-USD"]).await;
    fixture.venue.send_price("BTC-USD", "1");
    assert_eq!(fixture.feeds.price().await, "T0 1");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn state_is_connecting_until_first_data() {
    let venue = Venue::start(VenueProtocol::Coinbase).await.unwrap();
    venue.perform(&Action::Hold);
    let keys = "missed_heartbeats = 60";
    let mut fixture = Fixture::with_venue(venue, VenueProtocol::Coinbase, &["BTC-USD"], keys, "");
    within_limit(
        "a request",
        fixture.venue.wait_until(|seen| !seen.messages.is_empty()),
    )
    .await;
    let state = fixture.feeds.state(0).unwrap();
    assert_eq!(state, FeedState::Connecting { reason: None });
    fixture.venue.perform(&Action::Release);
    fixture.connected(1, &["BTC-USD"]).await;
    fixture.venue.send_price("BTC-USD", "1");
    assert_eq!(fixture.feeds.price().await, "T0 1");
    fixture.feeds.end().await;
}

#[tokio::test]
async fn short_connections_increase_backoff() {
    let venue = Venue::start(VenueProtocol::Kraken).await.unwrap();
    venue.perform(&Action::Storm(6));
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
    let last = venue.wait_until(|seen| seen.connections >= 7);
    within_limit("the connection that lasts", last).await;
    // At least half of 50, 100, 200 and three times 400 ms: each connection opened, but none was stable.
    let least = Duration::from_millis(25 + 50 + 100 + 3 * 200);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    stop.cancel();
    within_limit("the end of the feed", running).await.unwrap();
}

#[tokio::test]
async fn sends_user_agent_and_reports_status() {
    let venue = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let feeds = RunningFeeds::start(&format!(
        "[exchanges]\nbackoff_ms = 600\nbackoff_max_ms = 600\n[[tokens]]\nsymbol = 'T0'\n[[sources]]\n\
         kind = 'kraken'\ntoken = 'T0'\nsymbol = 'BTC/USD'\nquote = 'USD'\nurl = 'ws://{}'\n",
        venue.local_addr().unwrap()
    ));
    let (mut socket, _) = within_limit("a connection", venue.accept()).await.unwrap();
    let mut head = Vec::new();
    within_limit("a request", async {
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
                && state.reason() == Some("answered HTTP 429 Too Many Requests")
        })
    })
    .await;
    feeds.end().await;
}

#[tokio::test]
async fn connect_error_hides_url() {
    // A bound port without a listener, so that no other test can use it.
    let unused = tokio::net::TcpSocket::new_v4().unwrap();
    unused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = unused.local_addr().unwrap();
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
    assert!(reason.starts_with("cannot connect"), "{reason}");
    assert!(!reason.contains("a-secret-key"), "{reason}");
    stop.cancel();
    within_limit("the end of the feed", running).await.unwrap();
}
