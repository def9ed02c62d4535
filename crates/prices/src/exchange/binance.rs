//! Binance, following "WebSocket Streams for Binance" (binance-spot-api-docs, web-socket-streams.md).
//!
//! Streams are combined: `{"stream":"<name>","data":<payload>}` at the path `/stream`. A connection carries at most
//! 1,024 streams, accepts at most 5 messages a second (including pongs) and lives for 24 hours. The venue pings every
//! 20 seconds and closes a connection that does not answer within a minute. Before a server shuts down it sends
//! `serverShutdown`. The limit is 300 connection attempts in 5 minutes from one address. Subscribing to an unknown
//! symbol succeeds but delivers no data.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use toml::Value;

use super::{
    super::{
        price_text::{mid_price, price_from_json},
        spelling::{lower_scheme, upper_case},
        venue_time,
    },
    Exchange, Limits, ListingConfig, PriceFault, Quote, Request, VenueEvent,
    json::Text,
    symbol::is_word,
};
use chaincast_base::settings::{Key, Problems, Setting, plain_settings, settings};

pub(super) const VENUE: &dyn Exchange = &Binance;

#[derive(Debug)]
struct Binance;

settings! {
    /// A symbol traded at Binance.
    pub struct BinanceConfig {
        /// Binance's symbol, in any case, letters of any script, at most 50 characters.
        symbol: String = String::new(), required(), example("\"ETHUSDT\"");
        /// `"USD"`, or a tracked token whose price converts it to USD; USDT is not USD.
        quote: String as upper_case = String::new(), required(), example("\"USDT\"");
        /// Another service with Binance's protocol, ws or wss, including the path. Default: Binance's own.
        url: Option<String> as lower_scheme = None, example("\"wss://stream.binance.com:9443/stream\"");
        /// `"bookTicker"`: midpoint of the best bid and ask; `"trade"`: the price of each trade.
        stream: BinanceStream = BinanceStream::BookTicker;
    }
}

plain_settings! { BinanceStream = |stream| match stream {
    BinanceStream::BookTicker => "\"bookTicker\"".to_owned(),
    BinanceStream::Trade => "\"trade\"".to_owned(),
} }

/// The Binance stream that gives the price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum BinanceStream {
    /// The mean of best bid and best ask, with half the spread as confidence.
    #[default]
    #[serde(rename = "bookTicker")]
    BookTicker,
    /// The price of each trade.
    #[serde(rename = "trade")]
    Trade,
}

const BOOK_TICKER: &str = "@bookTicker";
const TRADE: &str = "@trade";
const SHUTDOWN: &str = "serverShutdown";

impl Binance {
    /// The name of a stream; the venue requires symbols in lower case there, in any script. It is part of a message and
    /// needs no percent-encoding.
    fn stream_of(symbol: &str, stream: BinanceStream) -> String {
        let symbol = symbol.to_lowercase();
        match stream {
            BinanceStream::BookTicker => symbol + BOOK_TICKER,
            BinanceStream::Trade => symbol + TRADE,
        }
    }
}

/// Any message: of a stream, an answer, an error, or a connection event.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    stream: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorBody<'a>>,
    #[serde(borrow)]
    msg: Option<Text<'a>>,
    #[serde(borrow)]
    e: Option<Text<'a>>,
    #[serde(borrow)]
    event: Option<Event<'a>>,
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    msg: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    e: Option<Text<'a>>,
}

/// "Individual Symbol Book Ticker Streams". Has no time.
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
    /// Trade time in ms, or in µs if the URL requests it.
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

    fn aliases(&self) -> &'static [&'static str] {
        &["data-stream.binance.vision"]
    }

    fn example(&self) -> &'static str {
        "BTCUSDT"
    }

    /// Letters and digits of any script, and the characters in dated contracts.
    fn is_symbol(&self, symbol: &str) -> bool {
        is_word(symbol, |c| c.is_alphanumeric() || matches!(c, '_' | '.'))
    }

    fn stream(&self, symbol: &str) -> String {
        Self::stream_of(symbol, BinanceStream::default())
    }

    /// The symbol: a stream's name ends in its kind.
    fn instrument<'a>(&self, stream: &'a str) -> &'a str {
        stream.split_once('@').map_or(stream, |(symbol, _)| symbol)
    }

    fn text(&self) -> &'static str {
        "combined streams of Binance"
    }

    fn keys(&self) -> &'static [Key] {
        BinanceConfig::KEYS
    }

    fn read_listing(
        &self,
        keys: Value,
        key: &Key,
        path: &str,
        problems: &mut Problems,
    ) -> Option<(ListingConfig, String)> {
        let BinanceConfig {
            symbol,
            quote,
            url,
            stream,
        } = BinanceConfig::read(keys, key, path, problems)?;
        let stream = Self::stream_of(&symbol, stream);
        Some((ListingConfig { symbol, quote, url }, stream))
    }

    fn limits(&self) -> Limits {
        Limits {
            streams: 1_024,
            streams_a_request: 200,
            // 3 a second leave room for pongs.
            min_interval: Duration::from_millis(350),
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

    fn read<'a>(&self, text: &'a str, emit: &mut dyn FnMut(VenueEvent<'a>)) {
        let frame = match serde_json::from_str::<Frame<'a>>(text) {
            Ok(frame) => frame,
            Err(error) => return emit(VenueEvent::Unreadable(error.to_string())),
        };
        if let (Some(stream), Some(data)) = (frame.stream, frame.data) {
            return emit(stream_event(stream.0, data));
        }
        let event = frame.event.and_then(|event| event.e).or(frame.e);
        let error = match frame.error {
            Some(error) => Some(error.msg),
            None => frame.msg.map(Some),
        };
        emit(match (event, error) {
            (Some(event), _) if &*event == SHUTDOWN => VenueEvent::Closing,
            (_, Some(reason)) => VenueEvent::Rejected {
                reason: reason.map_or_else(
                    || "error without a message".to_owned(),
                    |text| text.0.into_owned(),
                ),
            },
            (None, None) if frame.id.is_some() => VenueEvent::Accepted,
            _ => VenueEvent::Alive,
        });
    }
}

/// Decodes the payload of a stream.
fn stream_event<'a>(stream: Cow<'a, str>, data: &'a RawValue) -> VenueEvent<'a> {
    let read = if stream.ends_with(BOOK_TICKER) {
        book_ticker(&stream, data)
    } else if stream.ends_with(TRADE) {
        trade(&stream, data)
    } else {
        let event = serde_json::from_str::<Event<'a>>(data.get());
        let name = event.ok().and_then(|event| event.e);
        return match name {
            Some(name) if &*name == SHUTDOWN => VenueEvent::Closing,
            _ => VenueEvent::Unusable {
                fault: PriceFault::UnknownSymbol(stream.clone().into_owned()),
                stream,
            },
        };
    };
    match read {
        Ok(quote) => VenueEvent::Quote(Quote { stream, ..quote }),
        Err(fault) => VenueEvent::Unusable { stream, fault },
    }
}

fn book_ticker<'a>(stream: &str, data: &'a RawValue) -> Result<Quote<'a>, PriceFault> {
    let ticker = payload::<BookTicker<'a>>(data)?;
    same_symbol(stream, BOOK_TICKER, &ticker.s)?;
    let (price, confidence) = mid_price(price_from_json(ticker.b)?, price_from_json(ticker.a)?)?;
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
        price: price_from_json(trade.p)?,
        confidence: None,
        observed_at: Some(venue_time::from_json(trade.time)?),
        order: Some(trade.t),
    })
}

fn payload<'a, T: Deserialize<'a>>(data: &'a RawValue) -> Result<T, PriceFault> {
    serde_json::from_str(data.get()).map_err(|error| PriceFault::Malformed(error.to_string()))
}

/// Checks that the payload's symbol, in upper case, is that of the stream.
fn same_symbol(stream: &str, kind: &str, symbol: &str) -> Result<(), PriceFault> {
    match stream.strip_suffix(kind) {
        Some(own) if own.eq_ignore_ascii_case(symbol) || own == symbol.to_lowercase() => Ok(()),
        _ => Err(PriceFault::UnknownSymbol(symbol.to_owned())),
    }
}

#[cfg(test)]
#[path = "binance_tests.rs"]
mod tests;
