use metrics_exporter_prometheus::PrometheusBuilder;

use super::{super::readers::StreamReader, *};
use crate::{
    PriceConfig, TickQueue, Unit, disconnect::Disconnect, log_lines::LogLines, tick_queue,
};
use chaincast_base::telemetry::log_limit::LOG_INTERVAL;
use chaincast_protocol::Token;

const NOW: i64 = 1_700_000_000_000;

fn reader(token: &str, source: &str) -> StreamReader {
    StreamReader {
        token: token.parse().unwrap(),
        source: source.into(),
        quote: "USD".into(),
        unit: Unit::default(),
    }
}

fn fixture() -> (StreamTable, TickSink, TickQueue) {
    let (sink, queue) = tick_queue(1_000);
    let streams = Streams::from([
        (
            "BTC-USD".to_owned(),
            vec![reader("BTC", "coinbase"), reader("WBTC", "coinbase")],
        ),
        ("ETH-USD".to_owned(), vec![reader("ETH", "coinbase")]),
    ]);
    (
        StreamTable::new("coinbase", streams, sink.clone()),
        sink,
        queue,
    )
}

fn quote(
    stream: &str,
    price: &str,
    observed_at: Option<i64>,
    order: Option<u64>,
) -> Quote<'static> {
    Quote {
        stream: stream.to_owned().into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at,
        order,
    }
}

async fn ticks_of(queue: &mut TickQueue) -> Vec<String> {
    let ticks = queue.next().await;
    ticks
        .iter()
        .map(|tick| format!("{} {} {}", tick.token, tick.price, tick.observed_at - NOW))
        .collect()
}

#[tokio::test]
async fn sends_tick_to_every_reader_and_sets_state() {
    let (mut table, sink, mut queue) = fixture();
    let mut progress = vec![StreamProgress::default(); 2];
    let states = || {
        let states = sink.states();
        states
            .iter()
            .map(|((token, _), state)| format!("{token} {}", state.name()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(),
        ["BTC connecting", "ETH connecting", "WBTC connecting"]
    );
    table.quote(
        quote("BTC-USD", "64000.10", Some(NOW - 5), Some(1)),
        &mut progress,
        NOW,
    );
    assert_eq!(
        ticks_of(&mut queue).await,
        ["BTC 64000.10 -5", "WBTC 64000.10 -5"]
    );
    table.mark_silent(&progress, Instant::now());
    assert_eq!(states(), ["BTC live", "ETH silent", "WBTC live"]);
    let eth = table.find("ETH-USD").unwrap();
    table.stream_rejected(eth, "no more");
    table.connection_lost(&Disconnect::Closed(" with code 1001".to_owned()));
    assert_eq!(
        states(),
        ["BTC connecting", "ETH connecting", "WBTC connecting"]
    );
    let states_now = sink.states();
    let key: (Token, Arc<str>) = ("ETH".parse().unwrap(), "coinbase".into());
    let state = &states_now[&key];
    assert_eq!(
        state.reason(),
        Some("the venue closed the connection with code 1001")
    );
    table.connection_lost(&Disconnect::Rejected("slow down".to_owned()));
    assert_eq!(states(), ["BTC refused", "ETH refused", "WBTC refused"]);
}

#[tokio::test]
async fn drops_older_ticks_by_number_and_time() {
    let (mut table, _, mut queue) = fixture();
    let mut progress = vec![StreamProgress::default(); 2];
    let mut send = |progress: &mut Vec<StreamProgress>, price, at, order| {
        table.quote(quote("ETH-USD", price, at, order), progress, NOW);
    };
    send(&mut progress, "10", Some(NOW - 100), Some(5));
    // Gaps and repeated numbers are allowed.
    send(&mut progress, "11", Some(NOW - 90), Some(70));
    send(&mut progress, "11", Some(NOW - 90), Some(70));
    // The venue's order number counts, whatever the time.
    send(&mut progress, "12", Some(NOW - 80), Some(69));
    // Without a number the time counts.
    send(&mut progress, "13", Some(NOW - 91), None);
    // Another connection has its own numbers.
    let mut progress = vec![StreamProgress::default(); 2];
    send(&mut progress, "14", Some(NOW - 91), Some(1));
    send(&mut progress, "15", Some(NOW - 90), Some(2));
    // A time ahead of this clock counts as now.
    send(&mut progress, "16", Some(NOW + 5_000), Some(3));
    send(&mut progress, "17", None, Some(4));
    assert_eq!(
        ticks_of(&mut queue).await,
        [
            "ETH 10 -100",
            "ETH 11 -90",
            "ETH 11 -90",
            "ETH 15 -90",
            "ETH 16 0",
            "ETH 17 0"
        ]
    );
}

#[test]
fn drop_resets_gauges() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let rendered = |gauge: &str, value: u8| {
        let line = format!("chaincast_price_feed_{gauge}{{feed=\"coinbase\"}} {value}");
        handle.render().lines().any(|found| found == line)
    };
    metrics::with_local_recorder(&recorder, || {
        let (mut table, _sink, _queue) = fixture();
        table.connected();
        table.notice("cancel only");
        assert!(
            rendered("limited", 1) && rendered("connected", 1),
            "{}",
            handle.render()
        );
        drop(table);
        for gauge in ["limited", "connected", "connections"] {
            assert!(rendered(gauge, 0), "{gauge}");
        }
    });
}

#[test]
fn lateness_is_measured_from_second_price() {
    let (table, _sink, _queue) = fixture();
    let mut table = table.deduplicated();
    let [mut fast, mut slow] = [0, 1].map(|slot| vec![StreamProgress::for_slot(slot); 2]);
    let mut late = |progress: &mut [StreamProgress], number: u64, event_ms: i64, now: i64| {
        let received = quote("BTC-USD", "64000", Some(NOW + event_ms), Some(number));
        table.quote(received, progress, NOW + now)
    };
    for second in 0..4_i64 {
        let at = second * 1_000;
        let number = second.unsigned_abs();
        let lateness_fast = late(&mut fast, 100 + number, 60_000 + at, 60_000 + at);
        assert_eq!(lateness_fast, (second > 0).then_some(0), "{second}");
        // A minute late, so none of its prices is a tick.
        let lateness_slow = late(&mut slow, number, at, 60_000 + at);
        assert_eq!(lateness_slow, (second > 0).then_some(60_000), "{second}");
    }
}

#[tokio::test]
async fn accepts_restarted_numbering() {
    let (mut table, _, mut queue) = fixture();
    let mut progress = vec![StreamProgress::default(); 2];
    let mut send = |price: &str, order| {
        table.quote(
            quote("ETH-USD", price, None, Some(order)),
            &mut progress,
            NOW,
        );
    };
    send("1", u64::MAX);
    for number in 1..16 {
        send("2", number);
    }
    // A message in order resets the count.
    send("3", u64::MAX);
    for number in 1..=16 {
        send("4", number);
    }
    // By the new numbering.
    send("5", 17);
    send("6", 16);
    assert_eq!(
        ticks_of(&mut queue).await,
        ["ETH 1 0", "ETH 3 0", "ETH 4 0", "ETH 5 0"]
    );
}

#[test]
fn rejected_prices_are_counted_by_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    ::metrics::with_local_recorder(&recorder, || {
        let (mut table, _, _) = fixture();
        let mut progress = vec![StreamProgress::default(); 2];
        table.quote(quote("DOGE-USD", "1", None, None), &mut progress, NOW);
        table.quote(quote("ETH-USD", "1", Some(0), None), &mut progress, NOW);
        table.quote(
            quote("ETH-USD", "1", Some(NOW - 5), None),
            &mut progress,
            NOW,
        );
        table.quote(
            quote("ETH-USD", "1", Some(NOW - 6), None),
            &mut progress,
            NOW,
        );
        table.reject("ETH-USD", &PriceFault::NotPositive("0".to_owned()));
        table.metrics.reconnect(&Disconnect::Old);
        table.metrics.message(NOW);
        let rendered = handle.render();
        for line in [
            r#"price_feed_refused_total{feed="coinbase",reason="unknown_symbol"} 1"#,
            r#"price_feed_refused_total{feed="coinbase",reason="timestamp"} 1"#,
            r#"price_feed_refused_total{feed="coinbase",reason="older"} 1"#,
            r#"price_feed_refused_total{feed="coinbase",reason="not_positive"} 1"#,
            r#"price_feed_refused_total{feed="coinbase",reason="absurd"} 0"#,
            r#"price_feed_reconnects_total{feed="coinbase",reason="rotated"} 1"#,
            r#"price_feed_reconnects_total{feed="coinbase",reason="silent"} 0"#,
            r#"price_ticks_total{token="ETH",source="coinbase"} 1"#,
            r#"price_feed_messages_total{feed="coinbase"} 1"#,
            r#"price_feed_last_message_timestamp_seconds{feed="coinbase"} 1700000000"#,
            r#"price_feed_connected{feed="coinbase"} 0"#,
        ] {
            assert!(rendered.contains(line), "no {line} in {rendered}");
        }
    });
}

#[tokio::test(start_paused = true)]
async fn notice_is_logged_once_per_interval() {
    let log = LogLines::capture();
    let (mut table, _, _) = fixture();
    let lines = || (log.count("maintenance"), log.count("cancel_only"));
    table.notice("maintenance");
    assert_eq!(lines(), (1, 0));
    // A repeated notice is not logged again, however long it lasts.
    for _ in 0..5 {
        tokio::time::advance(LOG_INTERVAL / 2).await;
        table.notice("maintenance");
    }
    assert_eq!(lines(), (1, 0));
    for _ in 0..100 {
        table.notice("cancel_only");
        table.notice("maintenance");
    }
    assert_eq!(lines(), (1, 1));
    // It was not sent for a while.
    tokio::time::advance(LOG_INTERVAL).await;
    table.notice("cancel_only");
    assert_eq!(lines(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn symbol_state_is_logged_once_per_interval() {
    let log = LogLines::capture();
    let (mut table, sink, _queue) = fixture();
    let lines = || {
        let stream_rejected = log.count("venue rejected a symbol");
        (stream_rejected, log.count("no data received for symbol"))
    };
    let eth = table.find("ETH-USD").unwrap();
    let key: (Token, Arc<str>) = ("ETH".parse().unwrap(), "coinbase".into());
    for _ in 0..100 {
        table.stream_rejected(eth, "no more");
        assert_eq!(sink.states()[&key].name(), "refused");
        table.mark_silent(
            &[StreamProgress::default(), StreamProgress::default()],
            Instant::now(),
        );
        assert_eq!(sink.states()[&key].name(), "silent");
    }
    // One line per kind and symbol.
    assert_eq!(lines(), (1, 2));
    tokio::time::advance(LOG_INTERVAL).await;
    table.stream_rejected(eth, "no more");
    assert_eq!(lines(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn missing_price_is_logged_once_per_interval() {
    let log = LogLines::capture();
    let (mut table, sink, _queue) = fixture();
    let lines = || {
        let missing_price = log.count("no price in the document");
        (missing_price, log.count("document has a price again"))
    };
    let fault = PriceFault::Malformed("N/A".to_owned());
    let eth = table.find("ETH-USD").unwrap();
    let key: (Token, Arc<str>) = ("ETH".parse().unwrap(), "coinbase".into());
    let mut progress = vec![StreamProgress::default(); 2];
    for later in 0..100 {
        table.missing_price(eth, &fault, "malformed", "N/A");
        assert_eq!(sink.states()[&key].reason(), Some("N/A"));
        let price = quote("ETH-USD", "1", Some(NOW + later), None);
        table.quote(price, &mut progress, NOW + later);
        assert_eq!(sink.states()[&key].name(), "live");
    }
    assert_eq!(lines(), (1, 1));
    // A fault within the interval is logged later if it lasts.
    table.missing_price(eth, &fault, "malformed", "N/A");
    assert_eq!(lines(), (1, 1));
    tokio::time::advance(LOG_INTERVAL).await;
    table.missing_price(eth, &fault, "malformed", "n/a");
    assert_eq!(lines(), (2, 1));
    assert_eq!(sink.states()[&key].reason(), Some("N/A"));
    // A failed fetch in between is not a price.
    tokio::time::advance(LOG_INTERVAL).await;
    table.connection_lost(&Disconnect::Rejected("HTTP 404".to_owned()));
    table.missing_price(eth, &fault, "malformed", "N/A");
    assert_eq!(sink.states()[&key].reason(), Some("N/A"));
    assert_eq!(lines(), (2, 1));
    // A fault of another kind is logged.
    table.missing_price(eth, &fault, "nothing", "gone");
    assert_eq!(sink.states()[&key].reason(), Some("gone"));
    assert_eq!(lines(), (3, 1));
    let price = quote("ETH-USD", "1", Some(NOW + 100), None);
    table.quote(price, &mut progress, NOW + 100);
    assert_eq!(lines(), (3, 2));
}

#[tokio::test]
async fn each_reader_has_its_own_unit() {
    let (sink, mut queue) = tick_queue(10);
    let in_unit = |token: &str, keys: &str| {
        let unit: PriceConfig = toml::from_str(&format!(
            "[[sources]]\nkind = 'kraken'\ntoken = 'A'\nsymbol = 'A/USD'\nquote = 'USD'\n{keys}"
        ))
        .unwrap();
        StreamReader {
            unit: unit.sources[0].unit.clone(),
            ..reader(token, "kraken")
        }
    };
    let readers = vec![
        in_unit("PLAIN", ""),
        in_unit("SHIB", "scale = 1000"),
        in_unit("JPY", "invert = true"),
        in_unit("TINY", "scale = '1000000000000000000'"),
    ];
    let streams = Streams::from([("X".to_owned(), readers)]);
    let mut table = StreamTable::new("kraken", streams, sink);
    let mut progress = vec![StreamProgress::default()];
    let mut received = quote("X", "0.00000016", Some(NOW), None);
    received.confidence = Some("0.00000006".parse().unwrap());
    table.quote(received, &mut progress, NOW);
    let ticks = queue.next().await;
    let rendered: Vec<String> = ticks
        .iter()
        .map(|tick| {
            let confidence = tick.confidence.as_ref().unwrap().normalized();
            let price = tick.price.normalized().to_plain_string();
            format!("{} {price} {}", tick.token, confidence.to_plain_string())
        })
        .collect();
    // Too small a price is rejected for its reader only.
    assert_eq!(
        rendered,
        [
            "PLAIN 0.00000016 0.00000006",
            "SHIB 0.00000000016 0.00000000006",
            "JPY 6250000 3750000",
        ]
    );
}

#[tokio::test]
async fn alias_may_differ_in_case() {
    let (mut table, _, mut queue) = fixture();
    let mut progress = vec![StreamProgress::default(); 2];
    let price = |stream: &str, price: &str| quote(stream, price, Some(NOW), None);
    table.quote(price("eth-usd", "1"), &mut progress, NOW);
    assert!(queue.take().is_empty(), "the alias is not confirmed yet");
    table.add_alias("eth-usd");
    // One alias per symbol: others are unknown symbols.
    table.add_alias("Eth-Usd");
    for stream in ["eth-usd", "ETH-USD", "Eth-Usd"] {
        table.quote(price(stream, "2"), &mut progress, NOW);
    }
    assert_eq!(ticks_of(&mut queue).await, ["ETH 2 0", "ETH 2 0"]);
}

#[tokio::test]
async fn limited_state_lasts_until_normal_trading() {
    let (mut table, sink, _queue) = fixture();
    let mut progress = vec![StreamProgress::default(); 2];
    let states = || {
        let states = sink.states().into_values();
        states.map(|state| state.name()).collect::<Vec<_>>()
    };
    table.quote(quote("BTC-USD", "1", Some(NOW), None), &mut progress, NOW);
    table.notice("its trading engine is \"maintenance\"");
    assert_eq!(states(), ["limited", "limited", "limited"]);
    let limited = sink.states().into_values().next().unwrap();
    assert_eq!(
        limited.reason(),
        Some("its trading engine is \"maintenance\"")
    );
    // A tick does not end the restriction, and a rejection overrides it.
    table.quote(quote("BTC-USD", "2", Some(NOW), None), &mut progress, NOW);
    table.stream_rejected(table.find("ETH-USD").unwrap(), "no more");
    assert_eq!(states(), ["limited", "refused", "limited"]);
    table.clear_notice();
    assert_eq!(states(), ["live", "refused", "live"]);
    table.notice("its trading engine is \"emergency\"");
    table.connection_lost(&Disconnect::Closed(String::new()));
    assert_eq!(states(), ["connecting", "connecting", "connecting"]);
}
