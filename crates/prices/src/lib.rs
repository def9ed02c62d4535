//! Prices: ticks from each kind of source, and their aggregation.
//!
//! [`OnChainSources`] turns the logs of an indexed block into ticks; [`aggregate()`] turns the newest tick of each
//! source into one USD price per token. Both are pure functions of their inputs. [`feeds`] are the sources outside the
//! chains: each runs independently and sends its ticks to a [`TickSink`]. docs/prices.md documents the rules for
//! operators.

mod aggregate;
mod chainlink;
mod config;
mod contract_error;
mod contract_facts;
mod contract_source;
mod contract_state;
mod decimal;
mod disconnect;
mod exchange;
mod feed;
mod feed_name;
mod feed_state;
mod feeds;
mod hermes;
mod http_client;
mod http_poll;
mod lateness;
#[cfg(test)]
mod log_lines;
mod log_view;
mod max_age;
mod metrics;
mod observation;
mod on_chain;
mod policy;
mod pool;
mod price_fault;
mod price_jump;
mod price_text;
mod price_unit;
mod probe;
mod quote_paths;
#[cfg(test)]
mod running_feeds;
mod sanitized;
mod source_entry;
mod spelling;
mod stored_logs;
mod stream;
mod supervisor;
mod tick_error;
mod tick_queue;
mod twap;
mod uniswap_v2;
mod uniswap_v3;
mod validate;
mod venue;
mod venue_clock;
mod venue_time;

pub use aggregate::{SourceTick, Trust, UsdRate, UsdRates, aggregate, usd_rate};
pub use chainlink::Round;
pub use config::{ChainlinkConfig, PriceConfig, SourceConfig, SourceKind, TokenConfig};
pub use contract_error::ContractError;
pub use contract_facts::{ContractFacts, ContractQuery};
pub use decimal::SIGNIFICANT_DIGITS;
pub use exchange::{ExchangeConfig, Listing, ListingConfig, VenueConfig};
pub use feed::Feed;
pub use feed_state::FeedState;
pub use feeds::feeds;
pub use hermes::PythConfig;
pub use http_poll::HttpConfig;
pub use log_view::LogView;
pub use max_age::{DEFAULT_FEED_MAX_AGE_MS, DEFAULT_MAX_AGE_MS, MAX_AGE_LIMIT_MS};
pub use on_chain::{AveragedSource, FirstAnswer, OnChainSources};
pub use policy::{
    AggregateRules, CandleRules, DEFAULT_JUMP_HOLD_MS, DEFAULT_MAX_CONFIDENCE_BPS,
    DEFAULT_MAX_JUMP_BPS, DEFAULT_OUTLIER_FLOOR_BPS, DEFAULT_OUTLIER_MADS, PublishRules,
};
pub use pool::{PoolConfig, PoolPrice};
pub use price_fault::PriceFault;
pub use price_jump::JumpGuard;
pub use price_unit::{Scale, Unit};
pub use probe::{FeedProbe, ProbeResult, probe_contracts, probe_feeds};
pub use quote_paths::{MAX_QUOTE_STEPS, QuotePaths};
pub use source_entry::SourceKeys;
pub use stored_logs::BackfillSource;
pub use tick_error::{TickError, TickFault};
pub use tick_queue::{SourceKey, TickQueue, TickSink, tick_queue};
pub use twap::PriceWindow;
pub use validate::{PriceConfigError, SourceEntry};
pub use venue_clock::offset_text as clock_offset_text;
pub use venue_time::MAX_AHEAD_MS;
