//! Binance, as its "WebSocket Streams for Binance" (binance-spot-api-docs, web-socket-streams.md) has it.
//!
//! Streams are combined: `{"stream":"<name>","data":<payload>}`, at the path `/stream`. A connection carries at most
//! 1,024 streams, takes at most 5 messages a second (pongs included) and lives for 24 hours. The venue pings every
//! 20 seconds and closes a connection that has not answered within a minute; before it shuts a server down it says
//! `serverShutdown`. It takes 300 attempts to connect in 5 minutes from one address. A symbol that it does not trade is accepted, and then never heard of.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    super::venue_time,
    BinanceStream, Exchange, Limits, PriceFault, Quote, Request, Said,
    json::Text,
    number::{middle, price},
};

pub(super) struct Binance;

const BOOK_TICKER: &str = "@bookTicker";
const TRADE: &str = "@trade";
const SHUTDOWN: &str = "serverShutdown";

impl Binance {
    /// The name of a stream; the venue wants symbols in lower case there, in whatever script they are. It goes into a
    /// message, where it needs no percent-encoding.
    pub(super) fn stream(symbol: &str, stream: BinanceStream) -> String {
        let symbol = symbol.to_lowercase();
        match stream {
            BinanceStream::BookTicker => symbol + BOOK_TICKER,
            BinanceStream::Trade => symbol + TRADE,
        }
    }
}

/// Every message there is: of a stream, an answer, an error, an event of the connection.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    stream: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<Refusal<'a>>,
    #[serde(borrow)]
    msg: Option<Text<'a>>,
    #[serde(borrow)]
    e: Option<Text<'a>>,
    #[serde(borrow)]
    event: Option<Event<'a>>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    msg: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    e: Option<Text<'a>>,
}

/// "Individual Symbol Book Ticker Streams". It has no time.
#[derive(Deserialize)]
struct BookTicker<'a> {
    /// The book's update id.
    u: u64,
    #[serde(borrow)]
    s: Text<'a>,
    #[serde(borrow)]
    b: &'a RawValue,
    #[serde(borrow)]
    a: &'a RawValue,
}

/// "Trade Streams"
#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(borrow)]
    s: Text<'a>,
    /// The trade's id.
    t: u64,
    #[serde(borrow)]
    p: &'a RawValue,
    /// When it was traded, in ms, or in µs where the URL asks for it.
    #[serde(borrow, rename = "T")]
    time: &'a RawValue,
}

impl Exchange for Binance {
    fn name(&self) -> &'static str {
        "binance"
    }

    fn url(&self) -> &'static str {
        "wss://stream.binance.com:9443/stream"
    }

    fn limits(&self) -> Limits {
        Limits {
            streams: 1_024,
            streams_a_request: 200,
            // 3 a second leave room for pongs.
            pace: Duration::from_millis(350),
            heartbeat: Duration::from_secs(20),
            pings_count: true,
            keepalive: None,
            refuses_whole_requests: true,
        }
    }

    fn subscribe(&self, streams: &[&str], id: u64) -> Request {
        Request {
            text: json!({ "method": "SUBSCRIBE", "params": streams, "id": id }).to_string(),
            answers: 1,
        }
    }

    fn read<'a>(&self, text: &'a str, say: &mut dyn FnMut(Said<'a>)) {
        let frame = match serde_json::from_str::<Frame<'a>>(text) {
            Ok(frame) => frame,
            Err(error) => return say(Said::Unreadable(error.to_string())),
        };
        if let (Some(stream), Some(data)) = (frame.stream, frame.data) {
            return say(told(stream.0, data));
        }
        let event = frame.event.and_then(|event| event.e).or(frame.e);
        let refusal = match frame.error {
            Some(error) => Some(error.msg),
            None => frame.msg.map(Some),
        };
        say(match (event, refusal) {
            (Some(event), _) if &*event == SHUTDOWN => Said::Closing,
            (_, Some(reason)) => Said::Rejected {
                reason: reason.map_or_else(|| "an error".to_owned(), |text| text.0.into_owned()),
            },
            (None, None) if frame.id.is_some() => Said::Accepted,
            _ => Said::Alive,
        });
    }
}

/// What one message of a stream says.
fn told<'a>(stream: Cow<'a, str>, data: &'a RawValue) -> Said<'a> {
    let read = if stream.ends_with(BOOK_TICKER) {
        book_ticker(&stream, data)
    } else if stream.ends_with(TRADE) {
        trade(&stream, data)
    } else {
        let event = serde_json::from_str::<Event<'a>>(data.get());
        let name = event.ok().and_then(|event| event.e);
        return match name {
            Some(name) if &*name == SHUTDOWN => Said::Closing,
            _ => Said::Unusable {
                fault: PriceFault::UnknownSymbol(stream.clone().into_owned()),
                stream,
            },
        };
    };
    match read {
        Ok(quote) => Said::Quote(Quote { stream, ..quote }),
        Err(fault) => Said::Unusable { stream, fault },
    }
}

fn book_ticker<'a>(stream: &str, data: &'a RawValue) -> Result<Quote<'a>, PriceFault> {
    let ticker = payload::<BookTicker<'a>>(data)?;
    same_symbol(stream, BOOK_TICKER, &ticker.s)?;
    let (price, confidence) = middle(price(ticker.b)?, price(ticker.a)?)?;
    Ok(Quote {
        stream: Cow::Borrowed(""),
        price,
        confidence: Some(confidence),
        observed_at: None,
        order: Some(ticker.u),
    })
}

fn trade<'a>(stream: &str, data: &'a RawValue) -> Result<Quote<'a>, PriceFault> {
    let trade = payload::<Trade<'a>>(data)?;
    same_symbol(stream, TRADE, &trade.s)?;
    Ok(Quote {
        stream: Cow::Borrowed(""),
        price: price(trade.p)?,
        confidence: None,
        observed_at: Some(venue_time::of_json(trade.time)?),
        order: Some(trade.t),
    })
}

fn payload<'a, T: Deserialize<'a>>(data: &'a RawValue) -> Result<T, PriceFault> {
    serde_json::from_str(data.get()).map_err(|error| PriceFault::Malformed(error.to_string()))
}

/// The payload names its symbol again, in upper case: it must be the stream's.
fn same_symbol(stream: &str, kind: &str, symbol: &str) -> Result<(), PriceFault> {
    match stream.strip_suffix(kind) {
        Some(of) if of.eq_ignore_ascii_case(symbol) || of == symbol.to_lowercase() => Ok(()),
        _ => Err(PriceFault::UnknownSymbol(symbol.to_owned())),
    }
}

#[cfg(test)]
#[path = "binance_tests.rs"]
mod tests;
