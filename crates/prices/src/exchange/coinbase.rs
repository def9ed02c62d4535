//! Coinbase Exchange, following "Exchange WebSocket Overview", "Channels", "Rate Limits" and "Best Practices".
//!
//! A connection must subscribe within 5 seconds. `ticker` reports each match, several together if one order causes
//! many, so gaps in `sequence` are normal. `heartbeat` arrives every second for each subscribed product; one product a
//! request is enough to detect a dead connection. An unknown product makes the venue reject the whole request, with an
//! `error` that names it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    super::{
        price_text::{mid_price, price_from_json},
        venue_time,
    },
    Exchange, Limits, PriceFault, Quote, Request, VenueEvent,
    json::Text,
    symbol::is_pair,
};

pub(super) const VENUE: &dyn Exchange = &Coinbase;

#[derive(Debug)]
struct Coinbase;

/// Any message; unknown types must be ignored.
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

    fn aliases(&self) -> &'static [&'static str] {
        &["ws-direct.exchange.coinbase.com"]
    }

    fn example(&self) -> &'static str {
        "BTC-USD"
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        is_pair(symbol, '-', |c| c.is_ascii_alphanumeric())
    }

    fn stream(&self, symbol: &str) -> String {
        symbol.to_ascii_uppercase()
    }

    fn text(&self) -> &'static str {
        "ticker of Coinbase Exchange: the price of the last trade"
    }

    fn limits(&self) -> Limits {
        Limits {
            // The venue documents no limit; this many heartbeats and tickers are easy to process.
            streams: 500,
            streams_a_request: 50,
            // The limit is 100 a second for all connections of one address.
            min_interval: Duration::from_millis(50),
            heartbeat: Duration::from_secs(1),
            pings_count: false,
            keepalive: None,
            refuses_whole_requests: true,
        }
    }

    fn subscribe(&self, streams: &[&str], _id: u64) -> Request {
        let first = &streams[..streams.len().min(1)];
        let channels = json!([
            { "name": "ticker", "product_ids": streams },
            { "name": "heartbeat", "product_ids": first },
        ]);
        Request {
            text: json!({ "type": "subscribe", "channels": channels }).to_string(),
            answers: 1,
        }
    }

    fn read<'a>(&self, text: &'a str, emit: &mut dyn FnMut(VenueEvent<'a>)) {
        let frame = match serde_json::from_str::<Frame<'a>>(text) {
            Ok(frame) => frame,
            Err(error) => return emit(VenueEvent::Unreadable(error.to_string())),
        };
        emit(match &*frame.kind {
            "ticker" => ticker(frame),
            "subscriptions" => VenueEvent::Accepted,
            "error" => error_event(frame),
            _ => VenueEvent::Alive,
        });
    }
}

fn ticker(frame: Frame<'_>) -> VenueEvent<'_> {
    let Some(product) = frame.product_id else {
        return VenueEvent::Unreadable("ticker without product_id".to_owned());
    };
    let last = match frame.price {
        Some(text) => price_from_json(text),
        None => Err(PriceFault::Malformed("ticker without price".to_owned())),
    };
    let observed_at = frame.time.map(venue_time::from_json).transpose();
    // The trade is the price; the book around it gives the confidence. An empty side of the book is not a fault.
    let confidence = match (
        frame.best_bid.map(price_from_json),
        frame.best_ask.map(price_from_json),
    ) {
        (Some(Ok(bid)), Some(Ok(ask))) => mid_price(bid, ask).ok().map(|(_, half)| half),
        _ => None,
    };
    match (last, observed_at) {
        (Ok(price), Ok(observed_at)) => VenueEvent::Quote(Quote {
            stream: product.0,
            price,
            confidence,
            observed_at,
            order: frame.sequence,
        }),
        (Err(fault), _) | (_, Err(fault)) => VenueEvent::Unusable {
            stream: product.0,
            fault,
        },
    }
}

fn error_event(frame: Frame<'_>) -> VenueEvent<'_> {
    let text_of = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().trim().to_owned();
    let (message, reason) = (text_of(&frame.message), text_of(&frame.reason));
    match refused_product(&reason) {
        Some(product) => VenueEvent::Refused {
            stream: product.to_owned().into(),
            reason,
        },
        None => VenueEvent::Rejected {
            reason: match (message.as_str(), reason.as_str()) {
                ("", "") => "error without a message".to_owned(),
                (only, "") | ("", only) => only.to_owned(),
                (message, reason) => format!("{message}: {reason}"),
            },
        },
    }
}

/// The product that an error is about: the first word of `ETH-XYZ is not a valid product`, if it is written like a
/// product. Whatever the rest says, such as that it is delisted, only this product is rejected.
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
