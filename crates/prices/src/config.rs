//! `[prices]`: the tracked tokens and the sources of their prices.
//!
//! Reading checks each key by itself; `validate` checks whether the entries are consistent.

use super::{
    ExchangeConfig, SourceConfig, exchange,
    policy::{
        self, AggregateRules, CandleRules, DEFAULT_JUMP_HOLD_MS, DEFAULT_MAX_CONFIDENCE_BPS,
        DEFAULT_MAX_JUMP_BPS, DEFAULT_OUTLIER_FLOOR_BPS, DEFAULT_OUTLIER_MADS, PublishRules,
    },
};
use chaincast_base::settings::settings;
use chaincast_protocol::{Address, ChainId, Token};

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
        /// The tokens whose prices are tracked.
        tokens: Vec<TokenConfig> = Vec::new();
        /// Where their prices come from.
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
        /// Overrides [`PriceConfig::min_sources`].
        min_sources: Option<usize> = None, range(1, MAX_SOURCES), unlisted();
        /// Overrides [`PriceConfig::outlier_mads`].
        outlier_mads: Option<u32> = None, range(1, policy::MAX_OUTLIER_MADS), unlisted();
        /// Overrides [`PriceConfig::outlier_floor_bps`].
        outlier_floor_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        /// Overrides [`PriceConfig::max_confidence_bps`].
        max_confidence_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        /// Overrides [`PriceConfig::max_jump_bps`].
        max_jump_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        /// Overrides [`PriceConfig::jump_hold_ms`].
        jump_hold_ms: Option<u64> = None, range(0, policy::MAX_HOLD_MS), unlisted();
        /// Overrides [`PriceConfig::publish_bps`].
        publish_bps: Option<u32> = None, range(0, policy::MAX_BPS), unlisted();
        /// Overrides [`PriceConfig::publish_heartbeat_ms`].
        publish_heartbeat_ms: Option<u64> = None, zero_or(policy::MIN_HEARTBEAT_MS, policy::MAX_HEARTBEAT_MS), unlisted();
        /// Overrides [`PriceConfig::min_interval_ms`].
        min_interval_ms: Option<u64> = None, range(0, policy::MAX_INTERVAL_MS), unlisted();
    }
    label(token_label)
}

fn token_label(entry: &toml::Value) -> String {
    let symbol = entry.get("symbol").and_then(toml::Value::as_str);
    symbol.map_or_else(String::new, |symbol| format!(" ({symbol})"))
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

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
