//! Fuzzes the codecs with modified messages.

use bigdecimal::BigDecimal;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::{VenueEvent, venues::VENUES};
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
    for (protocol, stream, symbol) in [
        (VenueProtocol::Binance, "btcusdt@bookTicker", "BTCUSDT"),
        (VenueProtocol::Binance, "btcusdt@trade", "BTCUSDT"),
        (VenueProtocol::Coinbase, "BTC-USD", "BTC-USD"),
        (VenueProtocol::Kraken, "BTC/USD", "BTC/USD"),
    ] {
        let tick = VenueTick {
            time_ms: Some(1_700_000_000_000),
            ..VenueTick::new(symbol, "64000.1")
        };
        shapes.push(protocol.tick(stream, &tick, 7, true));
        shapes.extend(protocol.greeting());
        shapes.extend(protocol.heartbeat(stream));
    }
    shapes
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
    assert_eq!(whole, 4, "one of each stream");
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
