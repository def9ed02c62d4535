use metrics_exporter_prometheus::PrometheusBuilder;

use super::{
    super::{
        super::{PriceConfig, TickQueue, Unit, log_lines::LogLines, seldom::LOG_EVERY, tick_queue},
        connection::Ended,
        group::Reader,
    },
    *,
};
use crate::model::Token;

const NOW: i64 = 1_700_000_000_000;

fn reader(token: &str, source: &str) -> Reader {
    Reader {
        token: token.parse().unwrap(),
        source: source.into(),
        quote: "USD".into(),
        unit: Unit::default(),
    }
}

fn stage() -> (Book, TickSink, TickQueue) {
    let (sink, queue) = tick_queue(1_000);
    let streams = Streams::from([
        (
            "BTC-USD".to_owned(),
            vec![reader("BTC", "coinbase"), reader("WBTC", "coinbase")],
        ),
        ("ETH-USD".to_owned(), vec![reader("ETH", "coinbase")]),
    ]);
    (Book::new("coinbase", streams, sink.clone()), sink, queue)
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
async fn every_reader_of_a_stream_gets_its_tick_and_the_state_is_told_once() {
    let (mut book, sink, mut queue) = stage();
    let mut heard = vec![Heard::default(); 2];
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
    book.quote(
        quote("BTC-USD", "64000.10", Some(NOW - 5), Some(1)),
        &mut heard,
        NOW,
    );
    assert_eq!(
        ticks_of(&mut queue).await,
        ["BTC 64000.10 -5", "WBTC 64000.10 -5"]
    );
    book.silent(&heard, Instant::now());
    assert_eq!(states(), ["BTC live", "ETH silent", "WBTC live"]);
    let eth = book.find("ETH-USD").unwrap();
    book.refused(eth, "no more");
    book.lost(&Ended::Closed(" with code 1001".to_owned()));
    assert_eq!(
        states(),
        ["BTC connecting", "ETH connecting", "WBTC connecting"]
    );
    let states_now = sink.states();
    let key: (Token, Arc<str>) = ("ETH".parse().unwrap(), "coinbase".into());
    let state = &states_now[&key];
    assert_eq!(
        state.reason(),
        Some("it closed the connection with code 1001")
    );
    book.lost(&Ended::Rejected("slow down".to_owned()));
    assert_eq!(states(), ["BTC refused", "ETH refused", "WBTC refused"]);
}

#[tokio::test]
async fn older_ticks_are_left_out_by_order_and_by_time_and_a_new_connection_counts_anew() {
    let (mut book, _, mut queue) = stage();
    let mut heard = vec![Heard::default(); 2];
    let mut take = |heard: &mut Vec<Heard>, price, at, order| {
        book.quote(quote("ETH-USD", price, at, order), heard, NOW);
    };
    take(&mut heard, "10", Some(NOW - 100), Some(5));
    // A gap is nothing; neither is another one with the same number and time.
    take(&mut heard, "11", Some(NOW - 90), Some(70));
    take(&mut heard, "11", Some(NOW - 90), Some(70));
    // The venue's own order, whatever the time says.
    take(&mut heard, "12", Some(NOW - 80), Some(69));
    // Time, where there is no order.
    take(&mut heard, "13", Some(NOW - 91), None);
    // Another connection: its numbers are its own.
    let mut heard = vec![Heard::default(); 2];
    take(&mut heard, "14", Some(NOW - 91), Some(1));
    take(&mut heard, "15", Some(NOW - 90), Some(2));
    // A clock that runs ahead is as of now.
    take(&mut heard, "16", Some(NOW + 5_000), Some(3));
    take(&mut heard, "17", None, Some(4));
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
fn a_feed_that_was_stopped_is_neither_limited_nor_connected() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let shown = |gauge: &str, value: u8| {
        let line = format!("chaincast_price_feed_{gauge}{{feed=\"coinbase\"}} {value}");
        handle.render().lines().any(|found| found == line)
    };
    metrics::with_local_recorder(&recorder, || {
        let (mut book, _sink, _queue) = stage();
        book.connected();
        book.notice("cancel only");
        assert!(
            shown("limited", 1) && shown("connected", 1),
            "{}",
            handle.render()
        );
        drop(book);
        for gauge in ["limited", "connected", "connections"] {
            assert!(shown(gauge, 0), "{gauge}");
        }
    });
}

#[test]
fn a_connection_behind_another_one_is_measured_from_its_second_price() {
    let (book, _sink, _queue) = stage();
    let mut book = book.shared();
    let [mut ahead, mut behind] = [0, 1].map(|slot| vec![Heard::on(slot); 2]);
    let mut late = |heard: &mut [Heard], number: u64, said: i64, now: i64| {
        let told = quote("BTC-USD", "64000", Some(NOW + said), Some(number));
        book.quote(told, heard, NOW + now)
    };
    for second in 0..4_i64 {
        let at = second * 1_000;
        let number = second.unsigned_abs();
        let of_ahead = late(&mut ahead, 100 + number, 60_000 + at, 60_000 + at);
        assert_eq!(of_ahead, (second > 0).then_some(0), "{second}");
        // A minute late, so that no price of it is a tick.
        let of_behind = late(&mut behind, number, at, 60_000 + at);
        assert_eq!(of_behind, (second > 0).then_some(60_000), "{second}");
    }
}

#[tokio::test]
async fn a_venue_that_numbers_anew_is_heard_again_after_a_few_messages() {
    let (mut book, _, mut queue) = stage();
    let mut heard = vec![Heard::default(); 2];
    let mut take = |price: &str, order| {
        book.quote(quote("ETH-USD", price, None, Some(order)), &mut heard, NOW);
    };
    take("1", u64::MAX);
    for number in 1..16 {
        take("2", number);
    }
    // Another message in order, and the count begins anew.
    take("3", u64::MAX);
    for number in 1..=16 {
        take("4", number);
    }
    // By the new numbers.
    take("5", 17);
    take("6", 16);
    assert_eq!(
        ticks_of(&mut queue).await,
        ["ETH 1 0", "ETH 3 0", "ETH 4 0", "ETH 5 0"]
    );
}

#[test]
fn what_gave_no_tick_is_counted_by_its_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    ::metrics::with_local_recorder(&recorder, || {
        let (mut book, _, _) = stage();
        let mut heard = vec![Heard::default(); 2];
        book.quote(quote("DOGE-USD", "1", None, None), &mut heard, NOW);
        book.quote(quote("ETH-USD", "1", Some(0), None), &mut heard, NOW);
        book.quote(quote("ETH-USD", "1", Some(NOW - 5), None), &mut heard, NOW);
        book.quote(quote("ETH-USD", "1", Some(NOW - 6), None), &mut heard, NOW);
        book.refuse("ETH-USD", &PriceFault::NotPositive("0".to_owned()));
        book.metrics.reconnect(&Ended::Old);
        book.metrics.message(NOW);
        let shown = handle.render();
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
            assert!(shown.contains(line), "no {line} in {shown}");
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_logged_when_it_is_news_and_seldom_in_any_case() {
    let log = LogLines::listen();
    let (mut book, _, _) = stage();
    let lines = || (log.count("maintenance"), log.count("cancel_only"));
    book.notice("maintenance");
    assert_eq!(lines(), (1, 0));
    // While it is said on and on it is no news, however long that lasts.
    for _ in 0..5 {
        tokio::time::advance(LOG_EVERY / 2).await;
        book.notice("maintenance");
    }
    assert_eq!(lines(), (1, 0));
    for _ in 0..100 {
        book.notice("cancel_only");
        book.notice("maintenance");
    }
    assert_eq!(lines(), (1, 1));
    // It was not said for a while.
    tokio::time::advance(LOG_EVERY).await;
    book.notice("cancel_only");
    assert_eq!(lines(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn how_a_symbol_stands_is_told_each_time_and_logged_seldom() {
    let log = LogLines::listen();
    let (mut book, sink, _queue) = stage();
    let lines = || {
        let refused = log.count("a venue refuses a symbol");
        (refused, log.count("a venue sends nothing for a symbol"))
    };
    let eth = book.find("ETH-USD").unwrap();
    let key: (Token, Arc<str>) = ("ETH".parse().unwrap(), "coinbase".into());
    for _ in 0..100 {
        book.refused(eth, "no more");
        assert_eq!(sink.states()[&key].name(), "refused");
        book.silent(&[Heard::default(), Heard::default()], Instant::now());
        assert_eq!(sink.states()[&key].name(), "silent");
    }
    // One of each kind a symbol.
    assert_eq!(lines(), (1, 2));
    tokio::time::advance(LOG_EVERY).await;
    book.refused(eth, "no more");
    assert_eq!(lines(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_document_without_a_price_is_logged_seldom_and_once_and_so_is_that_it_has_one() {
    let log = LogLines::listen();
    let (mut book, sink, _queue) = stage();
    let lines = || {
        let lacks = log.count("a document has no price");
        (lacks, log.count("a document has a price now"))
    };
    let fault = PriceFault::Malformed("N/A".to_owned());
    let eth = book.find("ETH-USD").unwrap();
    let key: (Token, Arc<str>) = ("ETH".parse().unwrap(), "coinbase".into());
    let mut heard = vec![Heard::default(); 2];
    for later in 0..100 {
        book.lacks(eth, &fault, "malformed", "N/A");
        assert_eq!(sink.states()[&key].reason(), Some("N/A"));
        let price = quote("ETH-USD", "1", Some(NOW + later), None);
        book.quote(price, &mut heard, NOW + later);
        assert_eq!(sink.states()[&key].name(), "live");
    }
    assert_eq!(lines(), (1, 1));
    // What came too soon for a line has one if it lasts, and no other.
    book.lacks(eth, &fault, "malformed", "N/A");
    assert_eq!(lines(), (1, 1));
    tokio::time::advance(LOG_EVERY).await;
    book.lacks(eth, &fault, "malformed", "n/a");
    assert_eq!(lines(), (2, 1));
    assert_eq!(sink.states()[&key].reason(), Some("N/A"));
    // A fetch that fails between is no price.
    tokio::time::advance(LOG_EVERY).await;
    book.lost(&Ended::Rejected("HTTP 404".to_owned()));
    book.lacks(eth, &fault, "malformed", "N/A");
    assert_eq!(sink.states()[&key].reason(), Some("N/A"));
    assert_eq!(lines(), (2, 1));
    // Trouble of another kind is news.
    book.lacks(eth, &fault, "nothing", "gone");
    assert_eq!(sink.states()[&key].reason(), Some("gone"));
    assert_eq!(lines(), (3, 1));
    let price = quote("ETH-USD", "1", Some(NOW + 100), None);
    book.quote(price, &mut heard, NOW + 100);
    assert_eq!(lines(), (3, 2));
}

#[tokio::test]
async fn each_reader_has_its_own_unit() {
    let (sink, mut queue) = tick_queue(10);
    let in_units = |token: &str, keys: &str| {
        let unit: PriceConfig = toml::from_str(&format!(
            "[[sources]]\nkind = 'kraken'\ntoken = 'A'\nsymbol = 'A/USD'\nquote = 'USD'\n{keys}"
        ))
        .unwrap();
        Reader {
            unit: unit.sources[0].unit.clone(),
            ..reader(token, "kraken")
        }
    };
    let readers = vec![
        in_units("PLAIN", ""),
        in_units("SHIB", "scale = 1000"),
        in_units("JPY", "invert = true"),
        in_units("TINY", "scale = '1000000000000000000'"),
    ];
    let streams = Streams::from([("X".to_owned(), readers)]);
    let mut book = Book::new("kraken", streams, sink);
    let mut heard = vec![Heard::default()];
    let mut told = quote("X", "0.00000016", Some(NOW), None);
    told.confidence = Some("0.00000006".parse().unwrap());
    book.quote(told, &mut heard, NOW);
    let ticks = queue.next().await;
    let shown: Vec<String> = ticks
        .iter()
        .map(|tick| {
            let confidence = tick.confidence.as_ref().unwrap().normalized();
            let price = tick.price.normalized().to_plain_string();
            format!("{} {price} {}", tick.token, confidence.to_plain_string())
        })
        .collect();
    // What is too small to be a price is refused for its reader alone.
    assert_eq!(
        shown,
        [
            "PLAIN 0.00000016 0.00000006",
            "SHIB 0.00000000016 0.00000000006",
            "JPY 6250000 3750000",
        ]
    );
}

#[tokio::test]
async fn a_venue_may_name_a_symbol_in_another_case() {
    let (mut book, _, mut queue) = stage();
    let mut heard = vec![Heard::default(); 2];
    let price = |stream: &str, price: &str| quote(stream, price, Some(NOW), None);
    book.quote(price("eth-usd", "1"), &mut heard, NOW);
    assert!(queue.take().is_empty(), "it was not said to be the same");
    book.named("eth-usd");
    // One name a symbol: what comes after is of nothing that was asked for.
    book.named("Eth-Usd");
    for stream in ["eth-usd", "ETH-USD", "Eth-Usd"] {
        book.quote(price(stream, "2"), &mut heard, NOW);
    }
    assert_eq!(ticks_of(&mut queue).await, ["ETH 2 0", "ETH 2 0"]);
}

#[tokio::test]
async fn a_limited_venue_is_told_until_it_is_as_usual() {
    let (mut book, sink, _queue) = stage();
    let mut heard = vec![Heard::default(); 2];
    let states = || {
        let states = sink.states().into_values();
        states.map(|state| state.name()).collect::<Vec<_>>()
    };
    book.quote(quote("BTC-USD", "1", Some(NOW), None), &mut heard, NOW);
    book.notice("its trading engine is \"maintenance\"");
    assert_eq!(states(), ["limited", "limited", "limited"]);
    let limited = sink.states().into_values().next().unwrap();
    assert_eq!(
        limited.reason(),
        Some("its trading engine is \"maintenance\"")
    );
    // A tick changes nothing of it, and a refusal comes before it.
    book.quote(quote("BTC-USD", "2", Some(NOW), None), &mut heard, NOW);
    book.refused(book.find("ETH-USD").unwrap(), "no more");
    assert_eq!(states(), ["limited", "refused", "limited"]);
    book.usual();
    assert_eq!(states(), ["live", "refused", "live"]);
    book.notice("its trading engine is \"emergency\"");
    book.lost(&Ended::Closed(String::new()));
    assert_eq!(states(), ["connecting", "connecting", "connecting"]);
}
