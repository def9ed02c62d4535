//! What a venue is: its name, its symbols and its protocol.

use std::{borrow::Cow, fmt::Debug, time::Duration};

use toml::Value;

use super::{
    super::{PriceFault, stream::Quote},
    config::ListingConfig,
};
use chaincast_base::settings::{Key, Problems, Setting};

/// One venue. Implement it in a file of its own, export it as `VENUE`, and add the file to `exchanges!`.
///
/// A *stream* is the venue's name for one kind of data about one symbol: `btcusdt@bookTicker`, `BTC-USD`.
pub(super) trait Exchange: Debug + Sync {
    /// The kind in the configuration, metrics and logs: the name of the module.
    fn name(&self) -> &'static str;

    /// The default URL.
    fn url(&self) -> &'static str;

    /// Further hosts of the venue with the same prices, in lower case: no second venue.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// An example of a symbol, for error messages.
    fn example(&self) -> &'static str;

    /// Whether a symbol has the venue's format.
    fn is_symbol(&self, symbol: &str) -> bool;

    /// The stream of a symbol.
    fn stream(&self, symbol: &str) -> String {
        symbol.to_owned()
    }

    /// What a stream prices, if the venue has several streams of a symbol.
    fn instrument<'a>(&self, stream: &'a str) -> &'a str {
        stream
    }

    /// The prices of its sources, for `config/default.toml`; also the format of its symbols, unless the text of the key
    /// `symbol` has it.
    fn text(&self) -> &'static str;

    /// The keys of a source of this venue. For a venue with further keys.
    fn keys(&self) -> &'static [Key] {
        ListingConfig::KEYS
    }

    /// Reads these keys and finds the stream. For a venue with further keys.
    fn read_listing(
        &self,
        keys: Value,
        key: &Key,
        path: &str,
        problems: &mut Problems,
    ) -> Option<(ListingConfig, String)> {
        let listing = ListingConfig::read(keys, key, path, problems)?;
        let stream = self.stream(&listing.symbol);
        Some((listing, stream))
    }

    fn limits(&self) -> Limits;

    /// The request that subscribes to these streams; at most [`Limits::streams_a_request`] of them.
    fn subscribe(&self, streams: &[&str], id: u64) -> Request;

    /// A suggestion for a rejected symbol, for people.
    fn hint(&self, _stream: &str) -> Option<String> {
        None
    }

    /// Decodes one text message into events. Returns for any input.
    fn read<'a>(&self, text: &'a str, emit: &mut dyn FnMut(VenueEvent<'a>));
}

/// The limits of a venue, and its signs of life.
pub(super) struct Limits {
    /// Maximum streams of a connection.
    pub(super) streams: usize,
    /// Maximum streams of a request.
    pub(super) streams_a_request: usize,
    /// Minimum interval between two of our messages.
    pub(super) min_interval: Duration,
    /// Maximum interval between two signs of life.
    pub(super) heartbeat: Duration,
    /// Whether a WebSocket ping is a sign of life. It is not if heartbeats are messages: a venue with a dead feed may
    /// keep pinging.
    pub(super) pings_count: bool,
    /// A message to send at this interval to keep the connection open.
    pub(super) keepalive: Option<(Duration, &'static str)>,
    /// Whether one unknown stream makes the venue reject the whole request.
    pub(super) refuses_whole_requests: bool,
}

/// A subscription message.
pub(super) struct Request {
    pub(super) text: String,
    /// Number of answers to it, positive or negative.
    pub(super) answers: usize,
}

/// One event in a message of a venue.
#[derive(Debug, PartialEq)]
pub(super) enum VenueEvent<'a> {
    Quote(Quote<'a>),
    /// An unusable price.
    Unusable {
        stream: Cow<'a, str>,
        fault: PriceFault,
    },
    /// A sign of life, or an irrelevant message.
    Alive,
    /// A positive answer to a request.
    Accepted,
    /// A positive answer for one stream, with the venue's name for it.
    AcceptedAs {
        stream: Cow<'a, str>,
    },
    /// A negative answer for one stream.
    Refused {
        stream: Cow<'a, str>,
        reason: String,
    },
    /// An error that is not about one stream: the connection is useless.
    Rejected {
        reason: String,
    },
    /// The venue is about to close the connection.
    Closing,
    /// Restricted trading, such as maintenance. For people.
    Notice(String),
    /// Normal trading.
    Normal,
    /// An unreadable message.
    Unreadable(String),
}
