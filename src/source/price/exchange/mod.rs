//! Exchanges that tell their prices over a WebSocket.
//!
//! - [`Exchange`]: how one venue speaks, a codec without I/O or clock. `binance`, `coinbase` and `kraken` follow what
//!   those venues document, and name the document.
//! - `socket`: the one supervisor of all of them, over `connection` (one socket) and `book` (what was heard).
//!
//! Promises: one bad message costs that message; a symbol that a venue does not know costs that symbol; a connection
//! that ends, stalls or grows old is replaced, and never by more attempts than the backoff allows. No number passes
//! through a float: the digits that a venue sends are the digits of the tick.

mod backoff;
mod binance;
mod book;
mod coinbase;
mod config;
mod connection;
mod copies;
mod fault;
mod group;
mod handshake;
mod json;
mod kraken;
mod metrics;
mod number;
mod socket;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, time::Duration};

use bigdecimal::BigDecimal;

pub(super) use backoff::Backoff;
pub(super) use book::{Book, Heard};
pub(super) use config::Listing;
pub use config::{
    BinanceConfig, BinanceStream, ExchangeConfig, ExchangeKeyError, ListingConfig, VenueConfig,
};
pub(super) use connection::{Ended, words};
pub use fault::PriceFault;
pub(super) use group::{Reader, Streams, feeds, readers_of};
pub(super) use number::{price, price_of};

/// How one venue speaks.
///
/// A *stream* is what the venue calls one thing that it tells about one symbol: `btcusdt@bookTicker`, `BTC-USD`.
trait Exchange: Sync {
    /// The kind in the configuration, and what metrics and logs call it.
    fn name(&self) -> &'static str;

    /// Where the venue listens, when the configuration says nothing else.
    fn url(&self) -> &'static str;

    fn limits(&self) -> Limits;

    /// What to send to hear of these streams; at most [`Limits::streams_a_request`] of them.
    fn subscribe(&self, streams: &[&str], id: u64) -> Request;

    /// What to write instead of a symbol that the venue refused, in words for people.
    fn hint(&self, _stream: &str) -> Option<String> {
        None
    }

    /// Reads one text message, and says each thing that is in it. Whatever the text is, this returns.
    fn read<'a>(&self, text: &'a str, say: &mut dyn FnMut(Said<'a>));
}

/// What a venue allows, and how it shows that it is there.
struct Limits {
    /// Most streams on one connection.
    streams: usize,
    /// Most streams in one request.
    streams_a_request: usize,
    /// Least time between two messages of ours.
    pace: Duration,
    /// At most this long between two signs of life.
    heartbeat: Duration,
    /// Whether a WebSocket ping is such a sign. Where heartbeats are messages it is not: a venue whose feed is dead
    /// may well go on pinging.
    pings_count: bool,
    /// What is sent this often though there is nothing to say.
    keepalive: Option<(Duration, &'static str)>,
    /// Whether a request with one unknown stream is refused as a whole.
    refuses_whole_requests: bool,
}

/// A message that asks for streams.
struct Request {
    text: String,
    /// Answers that the venue gives to it, good or bad.
    answers: usize,
}

/// One thing in a message of a venue.
#[derive(Debug, PartialEq)]
enum Said<'a> {
    Quote(Quote<'a>),
    /// A price that cannot be used.
    Unusable {
        stream: Cow<'a, str>,
        fault: PriceFault,
    },
    /// Nothing but a sign of life, or a message that is of no use here.
    Alive,
    /// An answer to a request: it is heard.
    Accepted,
    /// The same, of one stream, under the name that the venue has for it.
    AcceptedAs {
        stream: Cow<'a, str>,
    },
    /// An answer to a request: not this stream.
    Refused {
        stream: Cow<'a, str>,
        reason: String,
    },
    /// The venue refuses something that is not one stream: the connection is of no use.
    Rejected {
        reason: String,
    },
    /// The venue is about to close the connection.
    Closing,
    /// The venue is not as usual, such as in maintenance. For people.
    Notice(String),
    /// It is as usual.
    Usual,
    /// The message cannot be read.
    Unreadable(String),
}

/// A price as a venue tells it.
#[derive(Debug, PartialEq)]
pub(super) struct Quote<'a> {
    pub(super) stream: Cow<'a, str>,
    pub(super) price: BigDecimal,
    /// Half the distance from the best bid to the best ask, where the venue tells both.
    pub(super) confidence: Option<BigDecimal>,
    /// When the venue says that it was, in ms since the Unix epoch.
    pub(super) observed_at: Option<i64>,
    /// Rises with each message about this stream on one connection. Gaps in it mean nothing.
    pub(super) order: Option<u64>,
}
