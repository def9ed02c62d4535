//! The actions of a venue: prices and faults.

use serde::Deserialize;

/// One action of the venue.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Publishes a price in the venue's format, on every connection that subscribed to the symbol. The last price of
    /// each symbol is the snapshot of later subscriptions, if the venue has snapshots.
    Tick(VenueTick),
    /// Sends this text unchanged on every connection.
    Say(String),
    /// Sends a WebSocket ping on every connection.
    Ping,
    /// Breaks every connection in the middle of a frame.
    Cut,
    /// The same for the oldest connection only.
    CutOldest,
    /// Closes every connection with WebSocket code 1001.
    Close,
    /// Open connections stay open, but receive nothing any more.
    Stall,
    /// The same for the oldest connection only.
    StallOldest,
    /// Announces the end of every connection, if the venue has a message for that.
    Announce,
    /// Rejects subscriptions to this symbol from now on, with the venue's error.
    Refuse(String),
    /// Accepts all symbols again.
    Admit,
    /// Holds all requests until `Release`.
    Hold,
    /// Handles the requests that `Hold` holds, and no longer holds later ones.
    Release,
    /// Closes this many of the next connections immediately.
    Storm(u64),
    /// Sends the message of [`Self::Announce`] right after the answers to this many of the next requests.
    Farewells(u64),
}

/// A published price. Numbers are strings and sent unchanged, even if they are not numbers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueTick {
    /// As in the venue's messages, such as `BTCUSDT`, `BTC-USD` or `BTC/USD`.
    pub symbol: String,
    /// The price of a trade; also the best bid and ask if they are omitted.
    pub price: String,
    /// The best bid; the price if omitted.
    #[serde(default)]
    pub bid: Option<String>,
    /// The best ask; the price if omitted.
    #[serde(default)]
    pub ask: Option<String>,
    /// Time in ms since 1970, if the venue sends one; if omitted here, it is omitted from the message, or the current
    /// time if the message requires it.
    #[serde(default)]
    pub time_ms: Option<i64>,
    /// The venue's sequence number; the previous one plus 1 if omitted.
    #[serde(default)]
    pub order: Option<u64>,
}

impl VenueTick {
    /// A trade at a price, which is also the best bid and ask.
    pub fn new(symbol: &str, price: &str) -> Self {
        Self {
            symbol: symbol.to_owned(),
            price: price.to_owned(),
            bid: None,
            ask: None,
            time_ms: None,
            order: None,
        }
    }

    pub(super) fn bid(&self) -> &str {
        self.bid.as_deref().unwrap_or(&self.price)
    }

    pub(super) fn ask(&self) -> &str {
        self.ask.as_deref().unwrap_or(&self.price)
    }
}
