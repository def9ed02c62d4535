//! How a token's price is made and when it is announced: what `[prices]` says for all, and what a token says for
//! itself.

use super::{PriceConfig, TokenConfig};

/// What makes a price of ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateRules {
    /// Used venues below which a price is `degraded`.
    pub min_sources: usize,
    /// Median absolute deviations from the median beyond which a tick is an outlier; at least 1, so that at least half
    /// of the ticks stay.
    pub outlier_mads: u32,
    /// Distance from the median, in basis points of it, that is never an outlier's.
    pub outlier_floor_bps: u32,
    /// Confidence in basis points of the price beyond which it is `degraded`; 0 for never.
    pub max_confidence_bps: u32,
    /// Distance from its settled level, in basis points of it, beyond which the price of one venue alone is held as
    /// `degraded`; 0 for never. See [`super::Level`].
    pub max_jump_bps: u32,
    /// How long a new level of one venue alone has to last, in ms; 0 switches that off.
    pub jump_hold_ms: u64,
}

/// What makes a price news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishRules {
    /// Change from the price announced last, in basis points of it, that is announced; 0 for every change of price or
    /// confidence.
    pub bps: u32,
    /// After this long a price is announced again even if it is the same, in ms; 0 for never.
    pub heartbeat_ms: u64,
    /// Time between two announcements of a token at least, in ms; 0 for none.
    pub min_interval_ms: u64,
}

/// How candles are made of announced prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandleRules {
    /// How far the time of a price may lie behind its announcement, in ms. One that is later counts as of its
    /// announcement.
    pub grace_ms: i64,
    /// Between two announcements of an open candle of a minute at least, in ms; longer ones come less often.
    pub publish_ms: i64,
}

/// About two blocks of Ethereum, after which a tick of one that was late is indexed.
pub const DEFAULT_CANDLE_GRACE_MS: u64 = 30_000;
/// Four times a second.
pub const DEFAULT_CANDLE_PUBLISH_MS: u64 = 250;

/// About 3.4 standard deviations of normal noise.
pub const DEFAULT_OUTLIER_MADS: u32 = 5;
/// An honest feed on a chain may be this far behind: it moves only after its deviation threshold.
pub const DEFAULT_OUTLIER_FLOOR_BPS: u32 = 100;
/// Two venues that are a tenth apart: more than any market that is traded at both leaves open for long.
pub const DEFAULT_MAX_CONFIDENCE_BPS: u32 = 500;
/// As much as the two venues of [`DEFAULT_MAX_CONFIDENCE_BPS`] may be apart.
pub const DEFAULT_MAX_JUMP_BPS: u32 = 1_000;
/// A price that was mistyped, or an order book that was emptied, is mended within this.
pub const DEFAULT_JUMP_HOLD_MS: u64 = 30_000;
/// Ticks that wait for the writer before newer ones take the place of older ones.
pub const DEFAULT_TICK_QUEUE: usize = 16_384;

/// The most that the keys may be.
pub(super) const MOST_OUTLIER_MADS: u32 = 1_000;
pub(super) const MOST_BPS: u32 = 10_000;
pub(super) const MOST_HEARTBEAT_MS: u64 = 24 * 3_600_000;
pub(super) const LEAST_HEARTBEAT_MS: u64 = 100;
pub(super) const MOST_INTERVAL_MS: u64 = 3_600_000;
pub(super) const MOST_HOLD_MS: u64 = 3_600_000;
pub(super) const MOST_GRACE_MS: u64 = 3_600_000;
pub(super) const CANDLE_PUBLISH_MS: std::ops::RangeInclusive<u64> = 10..=60_000;
pub(super) const TICK_QUEUE: std::ops::RangeInclusive<usize> = 16..=1_048_576;

impl PriceConfig {
    /// How the price of this token is made.
    pub fn aggregate_rules(&self, token: &TokenConfig) -> AggregateRules {
        AggregateRules {
            min_sources: token.min_sources.or(self.min_sources).unwrap_or(1),
            outlier_mads: token
                .outlier_mads
                .or(self.outlier_mads)
                .unwrap_or(DEFAULT_OUTLIER_MADS),
            outlier_floor_bps: token
                .outlier_floor_bps
                .or(self.outlier_floor_bps)
                .unwrap_or(DEFAULT_OUTLIER_FLOOR_BPS),
            max_confidence_bps: token
                .max_confidence_bps
                .or(self.max_confidence_bps)
                .unwrap_or(DEFAULT_MAX_CONFIDENCE_BPS),
            max_jump_bps: token
                .max_jump_bps
                .or(self.max_jump_bps)
                .unwrap_or(DEFAULT_MAX_JUMP_BPS),
            jump_hold_ms: token
                .jump_hold_ms
                .or(self.jump_hold_ms)
                .unwrap_or(DEFAULT_JUMP_HOLD_MS),
        }
    }

    /// When the price of this token is announced.
    pub fn publish_rules(&self, token: &TokenConfig) -> PublishRules {
        PublishRules {
            bps: token.publish_bps.or(self.publish_bps).unwrap_or(0),
            heartbeat_ms: token
                .publish_heartbeat_ms
                .or(self.publish_heartbeat_ms)
                .unwrap_or(0),
            min_interval_ms: token.min_interval_ms.or(self.min_interval_ms).unwrap_or(0),
        }
    }

    /// How candles are made, of a validated configuration.
    pub fn candle_rules(&self) -> CandleRules {
        let grace = self.candle_grace_ms.unwrap_or(DEFAULT_CANDLE_GRACE_MS);
        let publish = self.candle_publish_ms.unwrap_or(DEFAULT_CANDLE_PUBLISH_MS);
        CandleRules {
            grace_ms: grace.cast_signed(),
            publish_ms: publish.cast_signed(),
        }
    }

    /// [`PriceConfig::tick_queue`] with its default.
    pub fn tick_queue(&self) -> usize {
        self.tick_queue.unwrap_or(DEFAULT_TICK_QUEUE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_overrides_what_holds_for_all_key_by_key() {
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
