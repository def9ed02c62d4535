//! Fuzzes the codecs with modified messages.

use bigdecimal::BigDecimal;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    super::{
        VenueEvent,
        venues::{VENUES, find},
    },
    fixture::venues,
};
use chaincast_testkit::venue::{VenueProtocol, VenueTick};

/// Pieces inserted into messages.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "0",
    "9",
    "-",
    "+",
    ".",
    "e",
    "E9",
    "null",
    "true",
    "NaN",
    "é",
    "\u{0}",
    "1e999999999",
    "99999999999999999999",
    "\"e\":\"serverShutdown\"",
];

/// A message of each kind of the venues.
fn shapes() -> Vec<String> {
    let mut shapes: Vec<String> = [
        r#"{"result":null,"id":1}"#,
        r#"{"e":"serverShutdown","E":1770123456789}"#,
        r#"{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1}"#,
        r#"{"type":"subscriptions","channels":[{"name":"ticker","product_ids":["ETH-USD"]}]}"#,
        r#"{"type":"error","message":"Failed to subscribe","reason":"DOGE-BTC is not a valid product"}"#,
        r#"{"error":"Currency pair not supported XBT/EUR","method":"subscribe","success":false,"symbol":"XBT/EUR"}"#,
    ]
    .map(str::to_owned)
    .into();
    for (protocol, stream) in streams() {
        let tick = VenueTick {
            time_ms: Some(1_700_000_000_000),
            ..VenueTick::new(&protocol.symbol_of(&stream), "64000.1")
        };
        shapes.push(protocol.tick(&stream, &tick, 7, true));
        shapes.extend(protocol.greeting());
        shapes.extend(protocol.heartbeat(&stream));
    }
    shapes
}

/// A stream of every kind.
fn streams() -> Vec<(VenueProtocol, String)> {
    let mut streams: Vec<(VenueProtocol, String)> = venues()
        .map(|(protocol, symbol)| (protocol, find(protocol.name()).unwrap().stream(symbol)))
        .collect();
    streams.push((VenueProtocol::Binance, "btcusdt@trade".to_owned()));
    streams
}

/// Decodes a text with each codec; returns the number of prices.
fn prices_in(text: &str) -> usize {
    let mut prices = 0;
    for exchange in VENUES {
        exchange.read(text, &mut |event| {
            if let VenueEvent::Quote(quote) = event {
                let zero = BigDecimal::default();
                assert!(quote.price > zero, "{text}");
                assert!(quote.confidence.is_none_or(|width| width >= zero), "{text}");
                prices += 1;
            }
        });
    }
    prices
}

#[test]
fn modified_messages_do_not_panic() {
    let mut random = StdRng::seed_from_u64(9);
    let shapes = shapes();
    let whole: usize = shapes.iter().map(|text| prices_in(text)).sum();
    assert_eq!(whole, streams().len(), "one of each stream");
    let mut garbled = 0;
    for _ in 0..20_000 {
        let shape = &shapes[random.random_range(0..shapes.len())];
        let mut text: Vec<char> = shape.chars().collect();
        for _ in 0..random.random_range(1..5) {
            let from = random.random_range(0..=text.len());
            let until = (from + random.random_range(0..4)).min(text.len());
            let piece = PIECES[random.random_range(0..PIECES.len())];
            drop(text.splice(from..until, piece.chars()));
        }
        text.truncate(random.random_range(text.len() / 2..=2 * text.len()));
        garbled += prices_in(&text.into_iter().collect::<String>());
    }
    // Some modified messages are still prices, so the checks above were reached.
    assert!(garbled > 0);
}
