//! Rules of aggregation and publication, with their defaults and limits.

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

/// Decimal places of a basis point.
pub(super) const BPS_PLACES: i64 = 4;

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
