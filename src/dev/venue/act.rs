//! What a venue tells, and what it does wrong.

use serde::Deserialize;

/// One thing that the venue does now.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// Tells a price, as the venue tells prices, on every connection that asked for the symbol. The last one of each
    /// symbol is the snapshot for who asks later, where the venue gives one.
    Tick(Told),
    /// Says this text on every connection, whatever it is.
    Say(String),
    /// Sends a WebSocket ping on every connection.
    Ping,
    /// Ends every connection in the middle of a frame.
    Cut,
    /// The same, of the oldest connection alone.
    CutOldest,
    /// Ends every connection as WebSocket has it, with code 1001.
    Close,
    /// The connections that there are stay open, and nothing is said on them any more.
    Stall,
    /// The same, of the oldest connection alone.
    StallOldest,
    /// Announces on every connection that the venue will close it, where the venue has a message for that.
    Announce,
    /// From now on requests for this symbol are refused, in the words of the venue.
    Refuse(String),
    /// The venue trades everything again.
    Admit,
    /// Requests are not answered until they are released.
    Hold,
    Release,
    /// The next so many connections end as soon as they are open.
    Storm(u64),
    /// The answers to the next so many requests are followed at once by what [`Self::Announce`] says.
    Farewells(u64),
}

/// A price that is told. Numbers are text, and sent as they are: also what is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub symbol: String,
    /// The price of a trade; the best bid and ask, where they are left out.
    pub price: String,
    #[serde(default)]
    pub bid: Option<String>,
    #[serde(default)]
    pub ask: Option<String>,
    /// When it was, in ms since 1970, where the venue tells that; left out of the message when left out here, or now
    /// where the message needs it.
    #[serde(default)]
    pub time_ms: Option<i64>,
    /// The venue's own number of it; one more than the last when left out.
    #[serde(default)]
    pub order: Option<u64>,
}

impl Told {
    /// A trade at a price, with a book of one price.
    pub fn at(symbol: &str, price: &str) -> Self {
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
