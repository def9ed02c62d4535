//! `[prices]`: which tokens are tracked, and what their prices are read from.
//!
//! What is read here is well-formed and no more; `validate` tells whether its entries fit together.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use toml::Table;

use super::{
    BinanceConfig, ExchangeConfig, HttpConfig, ListingConfig, PoolConfig, PoolPrice, PythConfig,
    Unit,
};
use crate::model::{Address, ChainId, Token, USD};

/// `[prices]`; see [`PriceConfig::validate`] for what its entries must keep to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceConfig {
    /// Used venues below which a price is `degraded`; at least 1, and 1 when left out.
    pub min_sources: Option<usize>,
    /// Median absolute deviations beyond which a source is an outlier: 1 to 1,000; see [`super::AggregateRules`].
    pub outlier_mads: Option<u32>,
    /// Distance from the median that is never an outlier's, in basis points: 0 to 10,000.
    pub outlier_floor_bps: Option<u32>,
    /// Confidence beyond which a price is `degraded`, in basis points of it: 0 (never) to 10,000.
    pub max_confidence_bps: Option<u32>,
    /// How far the price of one venue alone may jump before it is held as `degraded`, in basis points: 0 (any way) to
    /// 10,000.
    pub max_jump_bps: Option<u32>,
    /// How long a new level of one venue alone has to last, in ms: 0 (it is never held) to an hour.
    pub jump_hold_ms: Option<u64>,
    /// Change that is announced, in basis points: 0 (every change) to 10,000; see [`super::PublishRules`].
    pub publish_bps: Option<u32>,
    /// After how long an unchanged price is announced again, in ms: 0 (never), or 100 to a day.
    pub publish_heartbeat_ms: Option<u64>,
    /// Between two announcements of a token at least, in ms: 0 to an hour.
    pub min_interval_ms: Option<u64>,
    /// Ticks of feeds that wait for the writer before newer ones replace older ones: 16 to 1,048,576.
    pub tick_queue: Option<usize>,
    /// How long after its end a candle is put right by a price of its time, in ms: 0 to an hour; see
    /// [`super::CandleRules`].
    pub candle_grace_ms: Option<u64>,
    /// Between two announcements of an open candle of a minute at least, in ms: 10 to a minute.
    pub candle_publish_ms: Option<u64>,
    /// How often contracts are asked again what they are, and proxies for their aggregator, in ms: 100 to a day.
    pub follow_interval_ms: Option<u64>,
    pub tokens: Vec<TokenConfig>,
    pub sources: Vec<SourceConfig>,
    /// How connections to exchanges are kept.
    pub exchanges: ExchangeConfig,
}

/// `[[prices.tokens]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    pub symbol: Token,
    /// For people; the symbol when left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Where the token lives, when it lives on a configured chain.
    #[serde(default)]
    pub chain_id: Option<ChainId>,
    #[serde(default)]
    pub address: Option<Address>,
    #[serde(default)]
    pub decimals: Option<u8>,
    /// This and the following: instead of the key of that name in `[prices]`.
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

/// `[[prices.sources]]`; read by `entry`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Table")]
pub struct SourceConfig {
    pub token: Token,
    /// Shown in a price's `sources`; the kind's name when left out. Unique within its token.
    pub name: Option<String>,
    /// A tick older than this is not used, in ms: 1 to [`MAX_AGE_LIMIT_MS`].
    pub max_age_ms: u64,
    /// `scale` and `invert`: how what is told becomes the price of one token.
    pub unit: Unit,
    pub kind: SourceKind,
}

/// What a source is, and what reading it needs.
#[derive(Debug, Clone)]
pub enum SourceKind {
    Chainlink(ChainlinkConfig),
    UniswapV2(PoolConfig),
    UniswapV3(PoolConfig),
    Pyth(PythConfig),
    Http(Box<HttpConfig>),
    Binance(BinanceConfig),
    Coinbase(ListingConfig),
    Kraken(ListingConfig),
}

/// A Chainlink aggregator that emits `AnswerUpdated`, or the proxy in front of it; priced in USD.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainlinkConfig {
    /// The first configured chain when left out.
    pub chain_id: Option<ChainId>,
    /// Of the proxy, whose aggregator is followed, or of an aggregator.
    pub address: Address,
    /// Decimals of the answer; the contract is asked when left out, and must agree when given.
    pub decimals: Option<u8>,
    /// An answer that was older than this when its block was made is refused, in ms: 1 to [`MAX_AGE_LIMIT_MS`].
    pub heartbeat_ms: Option<u64>,
}

/// How long a tick of a chain is used when its source does not say, in ms.
pub const DEFAULT_MAX_AGE_MS: u64 = 3_600_000;
/// The same of a venue, which says something every few seconds; of a document at least three of its intervals.
pub const DEFAULT_FEED_MAX_AGE_MS: u64 = 60_000;
/// The longest that a tick may be used: a year, in ms.
pub const MAX_AGE_LIMIT_MS: u64 = 365 * 24 * 3_600_000;
/// How often contracts are asked again when the configuration does not say, in ms.
pub const DEFAULT_FOLLOW_INTERVAL_MS: u64 = 300_000;

impl PriceConfig {
    /// [`PriceConfig::follow_interval_ms`] with its default.
    pub fn follow_interval_ms(&self) -> u64 {
        self.follow_interval_ms
            .unwrap_or(DEFAULT_FOLLOW_INTERVAL_MS)
    }
}

impl SourceConfig {
    /// The source's name as clients see it.
    pub fn source_name(&self) -> Arc<str> {
        match &self.name {
            Some(name) => name.as_str().into(),
            None => self.kind.default_name().into(),
        }
    }
}

impl SourceKind {
    /// As written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Chainlink(_) => "chainlink",
            Self::UniswapV2(_) => "uniswap-v2",
            Self::UniswapV3(_) => "uniswap-v3",
            Self::Pyth(_) => "pyth",
            Self::Http(_) => "http",
            Self::Binance(_) => "binance",
            Self::Coinbase(_) => "coinbase",
            Self::Kraken(_) => "kraken",
        }
    }

    /// What a source of this kind is called when its entry does not say: the kind, and whether it is an average.
    pub fn default_name(&self) -> &'static str {
        match self {
            Self::UniswapV2(pool) if pool.price == PoolPrice::Twap => "uniswap-v2-twap",
            Self::UniswapV3(pool) if pool.price == PoolPrice::Twap => "uniswap-v3-twap",
            other => other.name(),
        }
    }

    /// How long a tick is used when its entry does not say, in ms.
    pub(super) fn default_max_age_ms(&self) -> u64 {
        match self {
            // What is refused when it is that old is not used for longer either.
            Self::Chainlink(feed) => feed.heartbeat_ms.unwrap_or(DEFAULT_MAX_AGE_MS),
            Self::UniswapV2(_) | Self::UniswapV3(_) => DEFAULT_MAX_AGE_MS,
            Self::Http(page) => DEFAULT_FEED_MAX_AGE_MS.max(page.interval_ms.saturating_mul(3)),
            Self::Pyth(_) | Self::Binance(_) | Self::Coinbase(_) | Self::Kraken(_) => {
                DEFAULT_FEED_MAX_AGE_MS
            }
        }
    }

    /// What the source's ticks are counted in.
    pub fn quote(&self) -> &str {
        match self {
            Self::Chainlink(_) => USD,
            Self::UniswapV2(pool) | Self::UniswapV3(pool) => &pool.quote,
            Self::Pyth(feed) => &feed.quote,
            Self::Http(page) => &page.quote,
            Self::Binance(listing) => &listing.quote,
            Self::Coinbase(listing) | Self::Kraken(listing) => &listing.quote,
        }
    }

    /// The contract that is watched, for a source on a chain: its chain as written, and its address.
    pub fn contract(&self) -> Option<(Option<ChainId>, Address)> {
        match self {
            Self::Chainlink(feed) => Some((feed.chain_id, feed.address)),
            Self::UniswapV2(pool) | Self::UniswapV3(pool) => Some((pool.chain_id, pool.address)),
            Self::Pyth(_)
            | Self::Http(_)
            | Self::Binance(_)
            | Self::Coinbase(_)
            | Self::Kraken(_) => None,
        }
    }
}

/// Symbols in any case.
pub(super) fn upper_case<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::deserialize(deserializer)?.to_ascii_uppercase())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
