//! The keys of `binance`, `coinbase` and `kraken` sources, and of `[prices.exchanges]`.

use serde::Deserialize;

use super::super::config::upper_case;

/// `[prices.exchanges]`: settings of the connections to exchanges.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExchangeConfig {
    /// Timeout of connecting, including TLS and handshake, in ms: 100 to 60000.
    pub connect_timeout_ms: u64,
    /// First delay before reconnecting, in ms: 10 to `backoff_max_ms`. Doubles up to that.
    pub backoff_ms: u64,
    /// Maximum delay, in ms: at most 600000.
    pub backoff_max_ms: u64,
    /// A connection that lasted this long resets the delay, in ms: 0 to 3600000.
    pub stable_ms: u64,
    /// A connection that missed this many heartbeats of its venue is closed: 2 to 100.
    pub missed_heartbeats: u32,
    /// A source without data for this long after connecting is reported as silent, in ms: 100 to 3600000.
    pub first_tick_ms: u64,
    /// A connection of this age is replaced while it still works, in ms: 100 to 84600000 (23.5 hours; venues close
    /// theirs after 24).
    pub rotate_after_ms: u64,
    /// Simultaneous connections to a venue, 1 to 4, each with all symbols; the first copy of a price counts.
    pub connections: u32,
    /// A connection is replaced if all its prices arrive later than this after the venue's time, in ms: 0 (never), or
    /// 100 to 3600000.
    pub late_ms: u64,
    /// How long prices may be late before the replacement, in ms: 100 to 3600000.
    pub late_for_ms: u64,
    /// This machine's clock is off if the prices of every venue are late, or early, by more than this, in ms: 100 to
    /// 3600000.
    pub clock_off_ms: u64,
    /// Overrides `connections` for one venue.
    pub binance: VenueConfig,
    pub coinbase: VenueConfig,
    pub kraken: VenueConfig,
    /// Maximum size of a message in bytes, 1024 to 67108864; a larger one ends the connection.
    pub message_bytes: usize,
}

/// `[prices.exchanges.binance]` and so on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueConfig {
    /// Simultaneous connections to this venue, 1 to 4.
    pub connections: Option<u32>,
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 10_000,
            backoff_ms: 500,
            backoff_max_ms: 30_000,
            stable_ms: 60_000,
            missed_heartbeats: 3,
            first_tick_ms: 30_000,
            rotate_after_ms: 82_800_000,
            connections: 1,
            late_ms: 10_000,
            late_for_ms: 30_000,
            clock_off_ms: 2_000,
            binance: VenueConfig::default(),
            coinbase: VenueConfig::default(),
            kraken: VenueConfig::default(),
            message_bytes: 1_048_576,
        }
    }
}

/// A key of `[prices.exchanges]` out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("prices.exchanges.{key}: must be {allowed}, not {given}")]
pub struct ExchangeKeyError {
    pub key: &'static str,
    pub allowed: String,
    pub given: u64,
}

impl ExchangeConfig {
    /// Rejects the first key that is out of range.
    pub fn validate(&self) -> Result<(), ExchangeKeyError> {
        for (key, given, least, most) in [
            ("connect_timeout_ms", self.connect_timeout_ms, 100, 60_000),
            ("backoff_max_ms", self.backoff_max_ms, 10, 600_000),
            ("backoff_ms", self.backoff_ms, 10, self.backoff_max_ms),
            ("stable_ms", self.stable_ms, 0, 3_600_000),
            (
                "missed_heartbeats",
                u64::from(self.missed_heartbeats),
                2,
                100,
            ),
            ("first_tick_ms", self.first_tick_ms, 100, 3_600_000),
            ("rotate_after_ms", self.rotate_after_ms, 100, 84_600_000),
            ("late_for_ms", self.late_for_ms, 100, 3_600_000),
            ("clock_off_ms", self.clock_off_ms, 100, 3_600_000),
            (
                "message_bytes",
                self.message_bytes as u64,
                1_024,
                64 * 1_024 * 1_024,
            ),
        ] {
            if !(least..=most).contains(&given) {
                let allowed = format!("{least} to {most}");
                return Err(ExchangeKeyError {
                    key,
                    allowed,
                    given,
                });
            }
        }
        // 0 disables it.
        if self.late_ms != 0 && !(100..=3_600_000).contains(&self.late_ms) {
            let allowed = "0, or 100 to 3600000".to_owned();
            let (key, given) = ("late_ms", self.late_ms);
            return Err(ExchangeKeyError {
                key,
                allowed,
                given,
            });
        }
        for (key, given) in [
            ("connections", Some(self.connections)),
            ("binance.connections", self.binance.connections),
            ("coinbase.connections", self.coinbase.connections),
            ("kraken.connections", self.kraken.connections),
        ] {
            if let Some(given) = given.filter(|given| !(1..=MAX_CONNECTIONS).contains(given)) {
                let (allowed, given) = (format!("1 to {MAX_CONNECTIONS}"), u64::from(given));
                return Err(ExchangeKeyError {
                    key,
                    allowed,
                    given,
                });
            }
        }
        Ok(())
    }

    /// The number of simultaneous connections to a venue.
    pub(super) fn connections_to(&self, venue: &str) -> u32 {
        let own = match venue {
            "binance" => self.binance.connections,
            "coinbase" => self.coinbase.connections,
            "kraken" => self.kraken.connections,
            _ => None,
        };
        own.unwrap_or(self.connections)
    }

    /// One connection per venue, for a single probe.
    pub(in super::super) fn single_connections(mut self) -> Self {
        self.connections = 1;
        for venue in [&mut self.binance, &mut self.coinbase, &mut self.kraken] {
            venue.connections = None;
        }
        self
    }
}

/// A symbol traded at Binance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinanceConfig {
    /// The symbol as Binance writes it, such as `BTCUSDT`, ignoring case; letters of any script.
    pub symbol: String,
    /// What the symbol is counted in: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// Another endpoint with Binance's protocol; `ws://…` or `wss://…`, including the path.
    pub url: Option<String>,
    #[serde(default)]
    pub stream: BinanceStream,
}

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

/// A symbol traded at Coinbase Exchange or Kraken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingConfig {
    /// The symbol as the venue writes it: `BTC-USD` at Coinbase, ignoring case; `BTC/USD` or `AAPLx/USD` at Kraken,
    /// whose symbols are case-sensitive.
    pub symbol: String,
    /// What the symbol is counted in: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// Another endpoint with the venue's protocol; `ws://…` or `wss://…`.
    pub url: Option<String>,
}

/// Maximum of simultaneous connections to a venue. Each can have a successor, so all slots fit into a mask of 8 bits.
const MAX_CONNECTIONS: u32 = 4;
