//! Prices: ticks from each kind of source, and their aggregation.
//!
//! [`OnChainSources`] turns the logs of an indexed block into ticks; [`aggregate()`] turns the newest tick of each
//! source into one USD price a token. Both are pure functions of their inputs. [`feeds`] are the sources outside the
//! chains: each runs by itself and hands its ticks to a [`TickSink`]. docs/prices.md tells the rules to operators.

mod aggregate;
mod chainlink;
mod clock;
mod config;
mod contract_facts;
mod contract_source;
mod decimal;
mod entry;
mod exchange;
mod feed;
mod feed_name;
mod feed_state;
mod hermes;
mod http_poll;
mod lateness;
mod level;
#[cfg(test)]
mod log_lines;
mod log_view;
mod metrics;
mod on_chain;
mod paths;
mod policy;
mod pool;
mod probe;
#[cfg(test)]
mod running_feeds;
mod seldom;
mod silence;
mod standing;
mod stored_logs;
mod tick_error;
mod tick_queue;
mod twap;
mod uniswap_v2;
mod uniswap_v3;
mod unit;
mod validate;
mod venue;
mod venue_time;
mod web;

pub use aggregate::{SourceTick, Trust, UsdRate, UsdRates, aggregate, usd_rate};
pub use chainlink::Round;
pub use clock::words as clock_words;
pub use config::{
    ChainlinkConfig, DEFAULT_FEED_MAX_AGE_MS, DEFAULT_FOLLOW_INTERVAL_MS, DEFAULT_MAX_AGE_MS,
    MAX_AGE_LIMIT_MS, PriceConfig, SourceConfig, SourceKind, TokenConfig,
};
pub use contract_facts::{ContractFacts, Question};
pub use decimal::SIGNIFICANT_DIGITS;
pub use entry::{SourceKeysError, misread_entries};
pub use exchange::{
    BinanceConfig, BinanceStream, ExchangeConfig, ExchangeKeyError, ListingConfig, PriceFault,
    VenueConfig,
};
pub use feed::{Feed, feeds};
pub use feed_state::FeedState;
pub use hermes::PythConfig;
pub use http_poll::HttpConfig;
pub use level::Level;
pub use log_view::LogView;
pub use on_chain::{Averaged, FirstAnswer, OnChainSources};
pub use paths::{MOST_STEPS, QuotePaths};
pub use policy::{
    AggregateRules, CandleRules, DEFAULT_CANDLE_GRACE_MS, DEFAULT_CANDLE_PUBLISH_MS,
    DEFAULT_JUMP_HOLD_MS, DEFAULT_MAX_CONFIDENCE_BPS, DEFAULT_MAX_JUMP_BPS,
    DEFAULT_OUTLIER_FLOOR_BPS, DEFAULT_OUTLIER_MADS, DEFAULT_TICK_QUEUE, PublishRules,
};
pub use pool::{PoolConfig, PoolPrice};
pub use probe::{Probed, ProbedFeeds, probe_contracts, probe_feeds};
pub use silence::Silence;
pub use stored_logs::PastSource;
pub use tick_error::{TickError, TickFault};
pub use tick_queue::{SourceKey, TickQueue, TickSink, tick_queue};
pub use twap::PriceWindow;
pub use unit::{Scale, Unit};
pub use validate::{PriceConfigError, SourcePlace};
pub use venue_time::MOST_AHEAD_MS;
