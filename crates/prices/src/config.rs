//! `[prices]`: the tracked tokens and the sources of their prices.
//!
//! Reading checks each key by itself; `validate` checks whether the entries are consistent.

use std::sync::Arc;

use super::{
    ExchangeConfig, HttpConfig, Listing, PoolConfig, PoolPrice, PythConfig, Unit, exchange,
    max_age::{DEFAULT_FEED_MAX_AGE_MS, DEFAULT_MAX_AGE_MS, MAX_AGE_LIMIT_MS},
    policy::{
        self, AggregateRules, CandleRules, DEFAULT_JUMP_HOLD_MS, DEFAULT_MAX_CONFIDENCE_BPS,
        DEFAULT_MAX_JUMP_BPS, DEFAULT_OUTLIER_FLOOR_BPS, DEFAULT_OUTLIER_MADS, PublishRules,
    },
};
use chaincast_base::settings::settings;
use chaincast_protocol::{Address, ChainId, Token, USD};

settings! {
    /// `[prices]`; see [`PriceConfig::validate`] for its constraints.
    pub struct PriceConfig {
        /// A price from fewer venues is "degraded"; sources of the same instrument at the same venue count once.
        min_sources: usize = 1, range(1, MAX_SOURCES), unit("venues");
        /// With three or more sources, one farther from the median than this many median absolute deviations is excluded.
        /// 5 is about 3.4 standard deviations of normal noise.
        outlier_mads: u32 = DEFAULT_OUTLIER_MADS, range(1, policy::MAX_OUTLIER_MADS), unit("deviations");
        /// Except within this distance of the median. A correct feed on a chain may lag this much: it moves only beyond its
        /// deviation threshold.
        outlier_floor_bps: u32 = DEFAULT_OUTLIER_FLOOR_BPS, range(0, policy::MAX_BPS);
        /// A price with a wider confidence, relative to it, is "degraded"; 0 for never.
        max_confidence_bps: u32 = DEFAULT_MAX_CONFIDENCE_BPS, range(0, policy::MAX_BPS);
        /// A larger jump at a single venue is "degraded" until the new level lasts for `jump_hold_ms` or another venue
        /// confirms it; 0 for never.
        max_jump_bps: u32 = DEFAULT_MAX_JUMP_BPS, range(0, policy::MAX_BPS);
        /// How long a new price level of a single venue must last; 0: prices are never held.
        jump_hold_ms: u64 = DEFAULT_JUMP_HOLD_MS, range(0, policy::MAX_HOLD_MS);
        /// Smallest change that is published; 0 for every change.
        publish_bps: u32 = 0, range(0, policy::MAX_BPS);
        /// Interval at which an unchanged price is published again; 0 for never.
        publish_heartbeat_ms: u64 = 0, zero_or(policy::MIN_HEARTBEAT_MS, policy::MAX_HEARTBEAT_MS);
        /// Shortest interval between two updates of a token; then the newest price is sent.
        min_interval_ms: u64 = 0, range(0, policy::MAX_INTERVAL_MS);
        /// Ticks queued for the price writer; when full, a newer tick of a source replaces its older one.
        tick_queue: usize = 16_384, range(16, 1_048_576), unit("ticks");
        /// A price up to this late still counts in the candle of its own time. 30 seconds are about two blocks of Ethereum.
        candle_grace_ms: u64 = 30_000, range(0, policy::MAX_GRACE_MS);
        /// Shortest interval between two updates of an open 1m candle; 20 times that for longer ones.
        candle_publish_ms: u64 = 250, range(10, 60_000);
        /// Interval at which source contracts are read again: proxies for their aggregator; within 5 s while something is
        /// unknown.
        follow_interval_ms: u64 = 300_000, range(100, 86_400_000);
        tokens: Vec<TokenConfig> = Vec::new();
        sources: Vec<SourceConfig> = Vec::new();
        /// Connections of exchanges and pyth sources; http uses only `backoff_max_ms`.
        exchanges: ExchangeConfig = ExchangeConfig::default(), text(exchange::TEXT);
    }
}

settings! {
    /// `[[prices.tokens]]`
    pub struct TokenConfig {
        /// 1 to 32 of A-Z 0-9 . _ -, in any case; unique.
        symbol: Token = Token::unknown(), required(), example("\"ETH\"");
        /// Display name; default: the symbol.
        name: Option<String> = None, example("\"Ether\"");
        /// Chain of the token's contract, if it is on a configured chain.
        chain_id: Option<ChainId> = None, example("1");
        /// The token's contract.
        address: Option<Address> = None, example("\"0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\"");
        /// Decimals of the token.
        decimals: Option<u8> = None, example("18");
        // Each overrides the key of the same name in `[prices]`.
        min_sources: Option<usize> = None, range(1, MAX_SOURCES), unlisted();
        outlier_mads: Option<u32> = None, range(1, policy::MAX_OUTLIER_MADS), unlisted();
        outlier_floor_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        max_confidence_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        max_jump_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        jump_hold_ms: Option<u64> = None, range(0, policy::MAX_HOLD_MS), unlisted();
        publish_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        publish_heartbeat_ms: Option<u64> = None, zero_or(policy::MIN_HEARTBEAT_MS, policy::MAX_HEARTBEAT_MS), unlisted();
        min_interval_ms: Option<u64> = None, range(0, policy::MAX_INTERVAL_MS), unlisted();
    }
    label(token_label)
}

fn token_label(entry: &toml::Value) -> String {
    let symbol = entry.get("symbol").and_then(toml::Value::as_str);
    symbol.map_or_else(String::new, |symbol| format!(" ({symbol})"))
}

/// `[[prices.sources]]`; read by `source_entry`, with the keys of [`SourceKeys`](super::SourceKeys) and of its kind.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    pub token: Token,
    /// Name in the `sources` of a price; the name of the kind if omitted. Unique within the token.
    pub name: Option<String>,
    /// A tick older than this is not used, in ms: 1 to [`MAX_AGE_LIMIT_MS`].
    pub max_age_ms: u64,
    /// `scale` and `invert`: convert the reported price to the price of one token.
    pub unit: Unit,
    pub kind: SourceKind,
}

/// The kind of a source, with its settings.
#[derive(Debug, Clone)]
pub enum SourceKind {
    Chainlink(ChainlinkConfig),
    UniswapV2(PoolConfig),
    UniswapV3(PoolConfig),
    Pyth(PythConfig),
    Http(Box<HttpConfig>),
    /// A symbol of any registered exchange.
    Exchange(Listing),
}

settings! {
    /// A Chainlink aggregator that emits `AnswerUpdated`, or the proxy in front of it; priced in USD.
    pub struct ChainlinkConfig {
        /// Default: the first configured chain; it must have logs.
        chain_id: Option<ChainId> = None, example("1");
        /// The proxy, whose current aggregator is used, or an aggregator.
        address: Address = Address::ZERO, required(), example("\"0x…\"");
        /// Decimals of the answer; read from the contract. If it is set and differs, the source is rejected.
        decimals: Option<u8> = None, example("8");
        /// An answer older than this at the time of its block is rejected; use the feed's own heartbeat plus some minutes.
        /// It is also the default of `max_age_ms`.
        heartbeat_ms: Option<u64> = None, range(1, MAX_AGE_LIMIT_MS), example("4000000");
    }
}

/// Most `min_sources`.
const MAX_SOURCES: u64 = 1_000;

impl PriceConfig {
    /// The aggregation rules of a token.
    pub fn aggregate_rules(&self, token: &TokenConfig) -> AggregateRules {
        AggregateRules {
            min_sources: token.min_sources.unwrap_or(self.min_sources),
            outlier_mads: token.outlier_mads.unwrap_or(self.outlier_mads),
            outlier_floor_bps: token.outlier_floor_bps.unwrap_or(self.outlier_floor_bps),
            max_confidence_bps: token.max_confidence_bps.unwrap_or(self.max_confidence_bps),
            max_jump_bps: token.max_jump_bps.unwrap_or(self.max_jump_bps),
            jump_hold_ms: token.jump_hold_ms.unwrap_or(self.jump_hold_ms),
        }
    }

    /// The publication rules of a token.
    pub fn publish_rules(&self, token: &TokenConfig) -> PublishRules {
        PublishRules {
            bps: token.publish_bps.unwrap_or(self.publish_bps),
            heartbeat_ms: token
                .publish_heartbeat_ms
                .unwrap_or(self.publish_heartbeat_ms),
            min_interval_ms: token.min_interval_ms.unwrap_or(self.min_interval_ms),
        }
    }

    /// The candle rules of a validated configuration.
    pub fn candle_rules(&self) -> CandleRules {
        CandleRules {
            grace_ms: self.candle_grace_ms.cast_signed(),
            publish_ms: self.candle_publish_ms.cast_signed(),
        }
    }
}

impl SourceConfig {
    /// The name of the source that clients see.
    pub fn source_name(&self) -> Arc<str> {
        match &self.name {
            Some(name) => name.as_str().into(),
            None => self.kind.default_name().into(),
        }
    }
}

impl SourceKind {
    /// The kind as written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Chainlink(_) => "chainlink",
            Self::UniswapV2(_) => "uniswap-v2",
            Self::UniswapV3(_) => "uniswap-v3",
            Self::Pyth(_) => "pyth",
            Self::Http(_) => "http",
            Self::Exchange(listing) => listing.kind(),
        }
    }

    /// The default name of a source: the kind, and whether it is an average.
    pub fn default_name(&self) -> &'static str {
        match self {
            Self::UniswapV2(pool) if pool.price == PoolPrice::Twap => "uniswap-v2-twap",
            Self::UniswapV3(pool) if pool.price == PoolPrice::Twap => "uniswap-v3-twap",
            other => other.name(),
        }
    }

    /// The default `max_age_ms`.
    pub(super) fn default_max_age_ms(&self) -> u64 {
        match self {
            // An answer rejected at this age cannot be used for longer.
            Self::Chainlink(feed) => feed.heartbeat_ms.unwrap_or(DEFAULT_MAX_AGE_MS),
            Self::UniswapV2(_) | Self::UniswapV3(_) => DEFAULT_MAX_AGE_MS,
            Self::Http(page) => DEFAULT_FEED_MAX_AGE_MS.max(page.interval_ms.saturating_mul(3)),
            Self::Pyth(_) | Self::Exchange(_) => DEFAULT_FEED_MAX_AGE_MS,
        }
    }

    /// The quote currency of the ticks.
    pub fn quote(&self) -> &str {
        match self {
            Self::Chainlink(_) => USD,
            Self::UniswapV2(pool) | Self::UniswapV3(pool) => &pool.quote,
            Self::Pyth(feed) => &feed.quote,
            Self::Http(page) => &page.quote,
            Self::Exchange(listing) => listing.quote(),
        }
    }

    /// For a source on a chain: the configured chain and the address of the contract.
    pub fn contract(&self) -> Option<(Option<ChainId>, Address)> {
        match self {
            Self::Chainlink(feed) => Some((feed.chain_id, feed.address)),
            Self::UniswapV2(pool) | Self::UniswapV3(pool) => Some((pool.chain_id, pool.address)),
            Self::Pyth(_) | Self::Http(_) | Self::Exchange(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
