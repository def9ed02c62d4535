//! `[prices]`: the tracked tokens and the sources of their prices.
//!
//! Deserialization checks the syntax only; `validate` checks whether the entries are consistent.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use toml::Table;

use super::{ExchangeConfig, HttpConfig, Listing, PoolConfig, PoolPrice, PythConfig, Unit};
use crate::model::{Address, ChainId, Token, USD};

/// `[prices]`; see [`PriceConfig::validate`] for its constraints.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceConfig {
    /// With fewer used venues a price is `degraded`; at least 1, default 1.
    pub min_sources: Option<usize>,
    /// Median absolute deviations beyond which a source is an outlier: 1 to 1,000; see [`super::AggregateRules`].
    pub outlier_mads: Option<u32>,
    /// A source within this distance of the median is never an outlier, in basis points: 0 to 10,000.
    pub outlier_floor_bps: Option<u32>,
    /// With a wider confidence a price is `degraded`, in basis points of it: 0 (never) to 10,000.
    pub max_confidence_bps: Option<u32>,
    /// A larger jump of the price of a single venue is held as `degraded`, in basis points: 0 (never) to 10,000.
    pub max_jump_bps: Option<u32>,
    /// How long a new price level of a single venue must last, in ms: 0 (prices are never held) to an hour.
    pub jump_hold_ms: Option<u64>,
    /// Minimum change to publish, in basis points: 0 (every change) to 10,000; see [`super::PublishRules`].
    pub publish_bps: Option<u32>,
    /// Interval after which an unchanged price is published again, in ms: 0 (never), or 100 to a day.
    pub publish_heartbeat_ms: Option<u64>,
    /// Minimum interval between two publications of a token, in ms: 0 to an hour.
    pub min_interval_ms: Option<u64>,
    /// Capacity of the queue of feed ticks; in a full queue a newer tick replaces the older one of its source: 16 to
    /// 1,048,576.
    pub tick_queue: Option<usize>,
    /// How long after its end a candle is corrected by a price with an earlier time, in ms: 0 to an hour; see
    /// [`super::CandleRules`].
    pub candle_grace_ms: Option<u64>,
    /// Minimum interval between two publications of an open one-minute candle, in ms: 10 to a minute.
    pub candle_publish_ms: Option<u64>,
    /// Interval of reading the contracts, including the aggregators of proxies, in ms: 100 to a day.
    pub follow_interval_ms: Option<u64>,
    pub tokens: Vec<TokenConfig>,
    pub sources: Vec<SourceConfig>,
    /// Settings of the connections to exchanges.
    pub exchanges: ExchangeConfig,
}

/// `[[prices.tokens]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    pub symbol: Token,
    /// Display name; the symbol if omitted.
    #[serde(default)]
    pub name: Option<String>,
    /// Chain of the token contract, if it is on a configured chain.
    #[serde(default)]
    pub chain_id: Option<ChainId>,
    #[serde(default)]
    pub address: Option<Address>,
    #[serde(default)]
    pub decimals: Option<u8>,
    /// This and the following keys override the key of the same name in `[prices]`.
    #[serde(default)]
    pub min_sources: Option<usize>,
    #[serde(default)]
    pub outlier_mads: Option<u32>,
    #[serde(default)]
    pub outlier_floor_bps: Option<u32>,
    #[serde(default)]
    pub max_confidence_bps: Option<u32>,
    #[serde(default)]
    pub max_jump_bps: Option<u32>,
    #[serde(default)]
    pub jump_hold_ms: Option<u64>,
    #[serde(default)]
    pub publish_bps: Option<u32>,
    #[serde(default)]
    pub publish_heartbeat_ms: Option<u64>,
    #[serde(default)]
    pub min_interval_ms: Option<u64>,
}

/// `[[prices.sources]]`; deserialized by `source_entry`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Table")]
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

/// A Chainlink aggregator that emits `AnswerUpdated`, or the proxy in front of it; priced in USD.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainlinkConfig {
    /// The first configured chain if omitted.
    pub chain_id: Option<ChainId>,
    /// Address of a proxy, whose aggregator is then read, or of an aggregator.
    pub address: Address,
    /// Decimals of the answer; read from the contract if omitted, otherwise must match it.
    pub decimals: Option<u8>,
    /// Answers older than this at their block are rejected, in ms: 1 to [`MAX_AGE_LIMIT_MS`].
    pub heartbeat_ms: Option<u64>,
}

/// Default maximum age of a tick of a source on a chain, in ms.
pub const DEFAULT_MAX_AGE_MS: u64 = 3_600_000;
/// Default for a venue, which sends data every few seconds; a document gets at least three of its intervals.
pub const DEFAULT_FEED_MAX_AGE_MS: u64 = 60_000;
/// Limit of `max_age_ms`: a year.
pub const MAX_AGE_LIMIT_MS: u64 = 365 * 24 * 3_600_000;
/// Default interval of reading the contracts, in ms.
pub const DEFAULT_FOLLOW_INTERVAL_MS: u64 = 300_000;

impl PriceConfig {
    /// [`PriceConfig::follow_interval_ms`] with its default.
    pub fn follow_interval_ms(&self) -> u64 {
        self.follow_interval_ms
            .unwrap_or(DEFAULT_FOLLOW_INTERVAL_MS)
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

/// Deserializes a symbol, ignoring case.
pub(super) fn upper_case<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::deserialize(deserializer)?.to_ascii_uppercase())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
