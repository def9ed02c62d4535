//! Rules of aggregation and publication: those of `[prices]` for all tokens, and the overrides of a token.

use super::{PriceConfig, TokenConfig};

/// Rules for aggregating ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateRules {
    /// With fewer used venues a price is `degraded`.
    pub min_sources: usize,
    /// Median absolute deviations from the median beyond which a tick is an outlier; at least 1, so that at least half
    /// of the ticks stay.
    pub outlier_mads: u32,
    /// Within this distance of the median, in basis points of it, a tick is never an outlier.
    pub outlier_floor_bps: u32,
    /// With a wider confidence, in basis points of the price, it is `degraded`; 0 for never.
    pub max_confidence_bps: u32,
    /// Beyond this distance from its settled level, in basis points of it, the price of a single venue is held as
    /// `degraded`; 0 for never. See [`super::JumpGuard`].
    pub max_jump_bps: u32,
    /// How long a new level of a single venue must last, in ms; 0 disables the hold.
    pub jump_hold_ms: u64,
}

/// Rules for publishing prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishRules {
    /// Minimum change from the last published price, in basis points of it; 0 publishes every change of price or
    /// confidence.
    pub bps: u32,
    /// Interval after which an unchanged price is published again, in ms; 0 for never.
    pub heartbeat_ms: u64,
    /// Minimum interval between two publications of a token, in ms; 0 for none.
    pub min_interval_ms: u64,
}

/// Rules for candles of published prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandleRules {
    /// How far the time of a price may be before its publication, in ms. An older price counts as of its publication.
    pub grace_ms: i64,
    /// Minimum interval between two publications of an open one-minute candle, in ms; longer candles are published less
    /// often.
    pub publish_ms: i64,
}

/// About 3.4 standard deviations of normal noise.
pub const DEFAULT_OUTLIER_MADS: u32 = 5;
/// A correct feed on a chain may lag this much: it moves only beyond its deviation threshold.
pub const DEFAULT_OUTLIER_FLOOR_BPS: u32 = 100;
/// Two venues a tenth apart: more than any market traded at both leaves open for long.
pub const DEFAULT_MAX_CONFIDENCE_BPS: u32 = 500;
/// The distance of the two venues of [`DEFAULT_MAX_CONFIDENCE_BPS`].
pub const DEFAULT_MAX_JUMP_BPS: u32 = 1_000;
/// A mistyped price or an emptied order book is corrected within this time.
pub const DEFAULT_JUMP_HOLD_MS: u64 = 30_000;

/// Limits of the keys.
pub(super) const MAX_OUTLIER_MADS: u64 = 1_000;
pub(super) const MAX_BPS: u64 = 10_000;
pub(super) const MAX_HEARTBEAT_MS: u64 = 24 * 3_600_000;
pub(super) const MIN_HEARTBEAT_MS: u64 = 100;
pub(super) const MAX_INTERVAL_MS: u64 = 3_600_000;
pub(super) const MAX_HOLD_MS: u64 = 3_600_000;
pub(super) const MAX_GRACE_MS: u64 = 3_600_000;

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
mod tests {
    use super::*;

    #[test]
    fn token_overrides_defaults_per_key() {
        let config: PriceConfig = toml::from_str(
            "min_sources = 2\npublish_bps = 5\nmin_interval_ms = 250\nmax_confidence_bps = 300\njump_hold_ms = 5000
             [[tokens]]\nsymbol = 'ETH'\npublish_bps = 0\noutlier_mads = 3\npublish_heartbeat_ms = 9000
             max_confidence_bps = 200\nmax_jump_bps = 0
             [[tokens]]\nsymbol = 'BTC'\nmin_sources = 1",
        )
        .unwrap();
        let [eth, btc] = &config.tokens[..] else {
            panic!("{config:?}")
        };
        let rules = config.aggregate_rules(eth);
        assert_eq!((rules.min_sources, rules.outlier_mads), (2, 3));
        assert_eq!(rules.outlier_floor_bps, DEFAULT_OUTLIER_FLOOR_BPS);
        assert_eq!((rules.max_confidence_bps, rules.max_jump_bps), (200, 0));
        let other = config.aggregate_rules(btc);
        assert_eq!((other.min_sources, other.max_confidence_bps), (1, 300));
        assert_eq!(
            (other.max_jump_bps, other.jump_hold_ms),
            (DEFAULT_MAX_JUMP_BPS, 5_000)
        );
        let eth = config.publish_rules(eth);
        assert_eq!(
            (eth.bps, eth.heartbeat_ms, eth.min_interval_ms),
            (0, 9_000, 250)
        );
        let btc = config.publish_rules(btc);
        assert_eq!(
            (btc.bps, btc.heartbeat_ms, btc.min_interval_ms),
            (5, 0, 250)
        );
    }
}
