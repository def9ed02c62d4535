//! The keys of `binance`, `coinbase` and `kraken` sources, and `[prices.exchanges]`.

use serde::Deserialize;

use super::{
    super::{SourceKind, config::upper_case},
    Exchange,
    binance::Binance,
    coinbase::Coinbase,
    kraken::Kraken,
};

/// `[prices.exchanges]`: how connections to exchanges are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExchangeConfig {
    /// How long connecting may take, TLS and handshake included, in ms: 100 to 60000.
    pub connect_timeout_ms: u64,
    /// The first wait before connecting again, in ms: 10 to `backoff_max_ms`. It doubles up to that.
    pub backoff_ms: u64,
    /// The longest wait, in ms: at most 600000.
    pub backoff_max_ms: u64,
    /// A connection that lasted this long begins the waits anew, in ms: 0 to 3600000.
    pub stable_ms: u64,
    /// A connection that missed this many heartbeats of its venue is given up: 2 to 100.
    pub missed_heartbeats: u32,
    /// A source that gave nothing for this long after connecting is told to be silent, in ms: 100 to 3600000.
    pub first_tick_ms: u64,
    /// A connection this old is replaced, in ms, while it still works: 100 to 84600000 (23.5 hours; venues end theirs
    /// after 24).
    pub rotate_after_ms: u64,
    /// Connections to a venue at one time, 1 to 4, each with all symbols: what comes first counts.
    pub connections: u32,
    /// A connection whose prices all come later than this after the venue's own time is replaced, in ms: 0 (never), or 100
    /// to 3600000.
    pub late_ms: u64,
    /// For how long they may, in ms: 100 to 3600000.
    pub late_for_ms: u64,
    /// This machine's clock is off when the prices of every venue come later than this, or as much too early, in ms: 100
    /// to 3600000.
    pub clock_off_ms: u64,
    /// Instead of `connections`, for one venue.
    pub binance: VenueConfig,
    pub coinbase: VenueConfig,
    pub kraken: VenueConfig,
    /// Most bytes of one message, 1024 to 67108864; a longer one ends the connection.
    pub message_bytes: usize,
}

/// `[prices.exchanges.binance]` and so on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueConfig {
    /// Connections to this venue at one time, 1 to 4.
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

/// A key of `[prices.exchanges]` outside its limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("prices.exchanges.{key}: must be {wanted}, not {given}")]
pub struct ExchangeKeyError {
    pub key: &'static str,
    pub wanted: String,
    pub given: u64,
}

impl ExchangeConfig {
    /// Refuses the first key that is outside its limits.
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
                let wanted = format!("{least} to {most}");
                return Err(ExchangeKeyError { key, wanted, given });
            }
        }
        // 0 switches it off.
        if self.late_ms != 0 && !(100..=3_600_000).contains(&self.late_ms) {
            let wanted = "0, or 100 to 3600000".to_owned();
            let (key, given) = ("late_ms", self.late_ms);
            return Err(ExchangeKeyError { key, wanted, given });
        }
        for (key, given) in [
            ("connections", Some(self.connections)),
            ("binance.connections", self.binance.connections),
            ("coinbase.connections", self.coinbase.connections),
            ("kraken.connections", self.kraken.connections),
        ] {
            if let Some(given) = given.filter(|given| !(1..=MOST_CONNECTIONS).contains(given)) {
                let (wanted, given) = (format!("1 to {MOST_CONNECTIONS}"), u64::from(given));
                return Err(ExchangeKeyError { key, wanted, given });
            }
        }
        Ok(())
    }

    /// How many connections there are to a venue at one time.
    pub(super) fn connections_to(&self, venue: &str) -> u32 {
        let own = match venue {
            "binance" => self.binance.connections,
            "coinbase" => self.coinbase.connections,
            "kraken" => self.kraken.connections,
            _ => None,
        };
        own.unwrap_or(self.connections)
    }

    /// One connection a venue, for who tries each once.
    pub(in super::super) fn without_spares(mut self) -> Self {
        self.connections = 1;
        for venue in [&mut self.binance, &mut self.coinbase, &mut self.kraken] {
            venue.connections = None;
        }
        self
    }
}

/// A symbol that Binance trades.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinanceConfig {
    /// As Binance writes it, such as `BTCUSDT`, in any case; letters of any script.
    pub symbol: String,
    /// What the symbol is counted in: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// Another place that speaks as Binance does; `ws://…` or `wss://…`, of which the path is kept.
    pub url: Option<String>,
    #[serde(default)]
    pub stream: BinanceStream,
}

/// Which of Binance's streams gives the price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum BinanceStream {
    /// The middle of the best bid and the best ask, with half the spread as confidence.
    #[default]
    #[serde(rename = "bookTicker")]
    BookTicker,
    /// The price of each trade.
    #[serde(rename = "trade")]
    Trade,
}

/// A symbol that Coinbase Exchange or Kraken trades.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingConfig {
    /// As the venue writes it: `BTC-USD` at Coinbase, in any case; `BTC/USD` or `AAPLx/USD` at Kraken, whose symbols are
    /// case-sensitive.
    pub symbol: String,
    /// What the symbol is counted in: `USD`, or a tracked token whose own price converts. Upper case.
    #[serde(deserialize_with = "upper_case")]
    pub quote: String,
    /// Another place that speaks as the venue does; `ws://…` or `wss://…`.
    pub url: Option<String>,
}

/// The most connections to a venue at one time. Each has a successor now and then, and a mark of 8 bits tells all.
const MOST_CONNECTIONS: u32 = 4;
/// The longest symbol, in characters.
const MAX_SYMBOL: usize = 50;

/// What a source asks of an exchange.
pub(in super::super) struct Listing<'a> {
    pub(super) exchange: &'static dyn Exchange,
    pub(in super::super) symbol: &'a str,
    url: Option<&'a str>,
    /// What the venue calls it; one stream of one URL is one source.
    pub(in super::super) stream: String,
    /// A symbol as this venue writes one.
    pub(in super::super) example: &'static str,
    well_formed: bool,
}

impl<'a> Listing<'a> {
    /// `None` for a source that is no exchange's.
    pub(in super::super) fn of(kind: &'a SourceKind) -> Option<Self> {
        Some(match kind {
            SourceKind::Binance(listing) => Self {
                exchange: &Binance,
                symbol: &listing.symbol,
                url: listing.url.as_deref(),
                stream: Binance::stream(&listing.symbol, listing.stream),
                example: "BTCUSDT",
                well_formed: is_word(&listing.symbol, is_binance),
            },
            SourceKind::Coinbase(listing) => Self {
                exchange: &Coinbase,
                symbol: &listing.symbol,
                url: listing.url.as_deref(),
                stream: listing.symbol.to_ascii_uppercase(),
                example: "BTC-USD",
                well_formed: is_pair(&listing.symbol, '-', |c| c.is_ascii_alphanumeric()),
            },
            SourceKind::Kraken(listing) => Self {
                exchange: &Kraken,
                symbol: &listing.symbol,
                url: listing.url.as_deref(),
                // Case-sensitive there: `AAPLx/USD` is a market and `AAPLX/USD` is none.
                stream: listing.symbol.clone(),
                example: "BTC/USD",
                well_formed: is_pair(&listing.symbol, '/', is_kraken),
            },
            SourceKind::Chainlink(_)
            | SourceKind::UniswapV2(_)
            | SourceKind::UniswapV3(_)
            | SourceKind::Pyth(_)
            | SourceKind::Http(_) => return None,
        })
    }

    /// Where the venue is reached.
    pub(in super::super) fn url(&self) -> &'a str {
        self.url.unwrap_or_else(|| self.exchange.url())
    }

    /// Where the venue itself listens.
    pub(in super::super) fn own_url(&self) -> &'static str {
        self.exchange.url()
    }

    /// Whether the symbol is written as the venue writes symbols, and is no longer than any.
    pub(in super::super) fn has_symbol(&self) -> bool {
        self.well_formed && self.symbol.chars().count() <= MAX_SYMBOL
    }

    /// Whether the URL is one that a WebSocket can be opened to.
    pub(in super::super) fn has_url(&self) -> bool {
        let url = self.url();
        ["ws://", "wss://"].iter().any(|scheme| {
            url.strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        }) && !url.contains(char::is_whitespace)
    }
}

/// Letters and digits of any script, with what Binance has in the names of dated contracts.
fn is_binance(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}

/// Kraken writes staked assets with a point.
fn is_kraken(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.'
}

fn is_word(text: &str, has: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(has)
}

fn is_pair(text: &str, between: char, has: impl Fn(char) -> bool) -> bool {
    let is_word = |text: &str| is_word(text, &has);
    let pair = text.split_once(between);
    pair.is_some_and(|(base, quote)| is_word(base) && is_word(quote))
}
