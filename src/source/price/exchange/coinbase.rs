//! Coinbase Exchange, as its "Exchange WebSocket Overview", "Channels", "Rate Limits" and "Best Practices" have it.
//!
//! A connection must ask for something within 5 seconds. `ticker` tells each match, several at once when one order
//! makes many; so its `sequence` has gaps, which mean nothing. `heartbeat` comes every second for each product that is
//! asked for: the first of each request is enough to know that the connection lives. One product that is not traded
//! makes the venue ignore the whole request, with an `error` that names it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    super::venue_time,
    Exchange, Limits, PriceFault, Quote, Request, Said,
    json::Text,
    number::{middle, price},
};

pub(super) struct Coinbase;

/// Every message there is; messages of other types are to be ignored.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    product_id: Option<Text<'a>>,
    sequence: Option<u64>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    best_bid: Option<&'a RawValue>,
    #[serde(borrow)]
    best_ask: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
}

impl Exchange for Coinbase {
    fn name(&self) -> &'static str {
        "coinbase"
    }

    fn url(&self) -> &'static str {
        "wss://ws-feed.exchange.coinbase.com"
    }

    fn limits(&self) -> Limits {
        Limits {
            // The venue names no number; this many heartbeats and tickers are read with ease.
            streams: 500,
            streams_a_request: 50,
            // 100 a second are allowed, for all connections of one address.
            pace: Duration::from_millis(50),
            heartbeat: Duration::from_secs(1),
            pings_count: false,
            keepalive: None,
            refuses_whole_requests: true,
        }
    }

    fn subscribe(&self, streams: &[&str], _id: u64) -> Request {
        let alive = &streams[..streams.len().min(1)];
        let channels = json!([
            { "name": "ticker", "product_ids": streams },
            { "name": "heartbeat", "product_ids": alive },
        ]);
        Request {
            text: json!({ "type": "subscribe", "channels": channels }).to_string(),
            answers: 1,
        }
    }

    fn read<'a>(&self, text: &'a str, say: &mut dyn FnMut(Said<'a>)) {
        let frame = match serde_json::from_str::<Frame<'a>>(text) {
            Ok(frame) => frame,
            Err(error) => return say(Said::Unreadable(error.to_string())),
        };
        say(match &*frame.kind {
            "ticker" => ticker(frame),
            "subscriptions" => Said::Accepted,
            "error" => refusal(frame),
            _ => Said::Alive,
        });
    }
}

fn ticker(frame: Frame<'_>) -> Said<'_> {
    let Some(product) = frame.product_id else {
        return Said::Unreadable("a ticker without product_id".to_owned());
    };
    let last = match frame.price {
        Some(text) => price(text),
        None => Err(PriceFault::Malformed("a ticker without price".to_owned())),
    };
    let observed_at = frame.time.map(venue_time::of_json).transpose();
    // The trade is the price; the book around it says how far that may be off. An empty side is no fault of it.
    let confidence = match (frame.best_bid.map(price), frame.best_ask.map(price)) {
        (Some(Ok(bid)), Some(Ok(ask))) => middle(bid, ask).ok().map(|(_, half)| half),
        _ => None,
    };
    match (last, observed_at) {
        (Ok(price), Ok(observed_at)) => Said::Quote(Quote {
            stream: product.0,
            price,
            confidence,
            observed_at,
            order: frame.sequence,
        }),
        (Err(fault), _) | (_, Err(fault)) => Said::Unusable {
            stream: product.0,
            fault,
        },
    }
}

fn refusal(frame: Frame<'_>) -> Said<'_> {
    let words = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().trim().to_owned();
    let (message, reason) = (words(&frame.message), words(&frame.reason));
    match refused_product(&reason) {
        Some(product) => Said::Refused {
            stream: product.to_owned().into(),
            reason,
        },
        None => Said::Rejected {
            reason: match (message.as_str(), reason.as_str()) {
                ("", "") => "an error without words".to_owned(),
                (only, "") | ("", only) => only.to_owned(),
                (message, reason) => format!("{message}: {reason}"),
            },
        },
    }
}

/// The product that a refusal is about, as in `ETH-XYZ is not a valid product`: its first word, when that is written as
/// products are. What the venue says behind it, that the product is delisted or whatever else, costs that product alone.
fn refused_product(reason: &str) -> Option<&str> {
    let (product, _) = reason.split_once(' ')?;
    let (base, quote) = product.split_once('-')?;
    let is_word = |text: &str| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    (is_word(base) && is_word(quote)).then_some(product)
}

#[cfg(test)]
#[path = "coinbase_tests.rs"]
mod tests;
