//! Whatever a venue says, it is read or refused.

use bigdecimal::BigDecimal;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::{Exchange, Said, binance::Binance, coinbase::Coinbase, kraken::Kraken};
use crate::dev::venue::{Speaks, Told};

const EXCHANGES: [&dyn Exchange; 3] = [&Binance, &Coinbase, &Kraken];
/// What is put into messages.
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

/// A message of each kind that the venues have.
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
    for (speaks, stream, symbol) in [
        (Speaks::Binance, "btcusdt@bookTicker", "BTCUSDT"),
        (Speaks::Binance, "btcusdt@trade", "BTCUSDT"),
        (Speaks::Coinbase, "BTC-USD", "BTC-USD"),
        (Speaks::Kraken, "BTC/USD", "BTC/USD"),
    ] {
        let told = Told {
            time_ms: Some(1_700_000_000_000),
            ..Told::at(symbol, "64000.1")
        };
        shapes.push(speaks.tick(stream, &told, 7, true));
        shapes.extend(speaks.greeting());
        shapes.extend(speaks.heartbeat(stream));
    }
    shapes
}

/// Reads a text as each venue's; how many prices are in it.
fn prices_in(text: &str) -> usize {
    let mut prices = 0;
    for exchange in EXCHANGES {
        exchange.read(text, &mut |said| {
            if let Said::Quote(quote) = said {
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
fn a_message_that_was_garbled_is_read_or_refused() {
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
    // Some of it still is a price: what was checked above was reached.
    assert!(garbled > 0);
}
