//! Prices: ticks from each kind of source, and their aggregation. docs/prices.md documents the rules for operators.
//!
//! ```text
//! venues ─▶ exchange, hermes, http_poll ─▶ stream ─▶ TickSink … TickQueue ─┐
//! logs   ─▶ OnChainSources (chainlink, uniswap_v2, uniswap_v3, twap) ──────┴─▶ aggregate ─▶ Price
//! ```
//!
//! | modules | what they have |
//! |---|---|
//! | `config`, `policy`, `max_age`, `spelling` | `[prices]`: tokens, and the rules of each |
//! | `kinds`, `kind_entry`, `source_config`, `source_entry` | the table of the kinds of sources, what each registers, and what the settings of a source decide |
//! | `validate`, `venue`, `venue_url`, `quote_paths` | whether the configuration fits together; which sources are one venue, whatever the spelling of its URL; the way of each quote to USD |
//! | `aggregate`, `price_jump`, `decimal` | from ticks to a price; whether the price of a lone venue jumped; exact arithmetic. Pure |
//! | `feed`, `feed_name`, `feed_state`, `supervisor`, `tick_queue` | a connection to a venue as the price writer sees it; the loop that every feed runs in; the queue of ticks between both |
//! | `stream`, `disconnect`, `price_fault`, `sanitized` | what all feeds share: the table that turns received prices into ticks and states |
//! | `exchange` | WebSocket venues, one file for each, listed by `exchanges!` |
//! | `hermes`, `http_poll`, `http_client` | Pyth's event streams; polled JSON documents; what both share |
//! | `lateness`, `venue_clock`, `venue_time`, `price_unit`, `price_text` | how late prices come, and whether this machine's clock is wrong; times, units and digits of venues |
//! | `on_chain`, `contract_source`, `contract_state`, `contract_facts`, `stored_logs` | which source a log belongs to; what contracts are asked, and whether their answers fit the configuration; stored logs |
//! | `chainlink`, `pool`, `uniswap_v2`, `uniswap_v3`, `twap`, `log_view`, `observation` | logs to prices, and averages over blocks. Pure |
//! | `probe` | tries every source once, for `chaincast check` |
//!
//! Promises: decoding and aggregating are pure; a feed never ends because of its venue; no price passes through a float.
//!
//! ```
//! use chaincast_model::Tick;
//! use chaincast_prices::{JumpGuard, PriceConfig, SourceTick, TokenConfig, UsdRates, aggregate};
//! use chaincast_protocol::{Token, USD};
//!
//! let token: Token = "ETH".parse().unwrap();
//! let tick = |source: &str, price: &str| Tick {
//!     token: token.clone(),
//!     source: source.into(),
//!     quote: USD.into(),
//!     price: price.parse().unwrap(),
//!     confidence: None,
//!     observed_at: 1_000,
//!     origin: None,
//! };
//! let ticks = [tick("binance", "3000"), tick("coinbase", "3001"), tick("kraken", "3002")];
//! let sources: Vec<_> = ticks
//!     .iter()
//!     .enumerate()
//!     .map(|(venue, tick)| SourceTick { tick, max_age_ms: 5_000, is_usable: true, venue, feed: false })
//!     .collect();
//!
//! let rules = PriceConfig::default().aggregate_rules(&TokenConfig::default());
//! let guard = &mut JumpGuard::default();
//! let price = aggregate(&token, &sources, &UsdRates::new(), &rules, guard, None, 2_000).unwrap();
//! assert_eq!(price.price.normalized().to_string(), "3001");
//! ```

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
mod hermes;
mod http_client;
mod http_poll;
mod kind_entry;
mod kinds;
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
mod source_config;
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
mod venue_url;

pub use aggregate::{SourceTick, Trust, UsdRate, UsdRates, aggregate, usd_rate};
pub use chainlink::Round;
pub use config::{PriceConfig, TokenConfig};
pub use contract_error::ContractError;
pub use contract_facts::{ContractFacts, ContractQuery};
use exchange::ExchangeConfig;
pub use feed::Feed;
pub use feed_state::FeedState;
pub use kinds::feeds;
pub use log_view::LogView;
use max_age::MAX_AGE_LIMIT_MS;
pub use on_chain::{AveragedSource, FirstAnswer, OnChainSources};
pub use policy::{AggregateRules, CandleRules, PublishRules};
use price_fault::PriceFault;
pub use price_jump::JumpGuard;
use price_unit::Unit;
pub use probe::{ProbeResult, probe_contracts, probe_feeds};
use quote_paths::MAX_QUOTE_STEPS;
pub use quote_paths::QuotePaths;
pub use source_config::SourceConfig;
use source_config::SourceKind;
pub use stored_logs::BackfillSource;
use tick_error::{TickError, TickFault};
pub use tick_queue::{SourceKey, TickQueue, TickSink, tick_queue};
pub use twap::PriceWindow;
pub use validate::PriceConfigError;
pub use venue_clock::offset_text as clock_offset_text;
pub use venue_time::MAX_AHEAD_MS;
