//! The event of `candle:TOKEN:INTERVAL`.

use serde::{Deserialize, Serialize};

use crate::{Candle, CandleInterval, JsonNumber, Token};

/// A candle was updated, closed, or corrected after its close. Each update has the whole candle, which replaces the one
/// with the same `timestamp`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CandleUpdate {
    /// The token whose price it summarizes.
    pub token: Token,
    /// Length of the candle.
    pub interval: CandleInterval,
    /// Start of the candle, in ms since the Unix epoch.
    pub timestamp: i64,
    /// The first price, in USD.
    pub open: JsonNumber,
    /// The highest price, in USD.
    pub high: JsonNumber,
    /// The lowest price, in USD.
    pub low: JsonNumber,
    /// The last price so far, in USD.
    pub close: JsonNumber,
    /// Number of prices in the candle.
    pub count: u64,
    /// Whether its interval has ended. The update is sent again if a late price corrects the candle.
    pub closed: bool,
    /// Whether it only fills a gap; always false on the channel.
    #[cfg_attr(feature = "schema", schemars(extend("const" = false)))]
    pub synthetic: bool,
}

impl CandleUpdate {
    /// An update with the current state of a candle.
    pub fn new(token: &Token, interval: CandleInterval, candle: &Candle, closed: bool) -> Self {
        Self {
            token: token.clone(),
            interval,
            timestamp: candle.start,
            open: JsonNumber(candle.open.clone()),
            high: JsonNumber(candle.high.clone()),
            low: JsonNumber(candle.low.clone()),
            close: JsonNumber(candle.close.clone()),
            count: candle.count,
            closed,
            synthetic: candle.is_synthetic(),
        }
    }
}
