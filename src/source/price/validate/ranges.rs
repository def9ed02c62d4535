//! Checks the ranges of the numbers in `[prices]` and of the overrides of a token.

use std::ops::RangeInclusive;

use super::{
    super::{PriceConfig, policy},
    PriceConfigError,
};

/// Limit of `min_sources`.
const MAX_SOURCES: u64 = 1_000;
/// Limits of `follow_interval_ms`.
const FOLLOW_INTERVAL_MS: RangeInclusive<u64> = 100..=86_400_000;

impl PriceConfig {
    /// Checks the common numbers and the overrides of each token.
    pub(super) fn check_ranges(&self) -> Result<(), PriceConfigError> {
        let queue = self.tick_queue.map(|given| given as u64);
        check_range(
            "prices",
            "tick_queue",
            queue,
            *policy::TICK_QUEUE.start() as u64..=*policy::TICK_QUEUE.end() as u64,
        )?;
        check_range(
            "prices",
            "follow_interval_ms",
            self.follow_interval_ms,
            FOLLOW_INTERVAL_MS,
        )?;
        check_range(
            "prices",
            "candle_grace_ms",
            self.candle_grace_ms,
            0..=policy::MAX_GRACE_MS,
        )?;
        check_range(
            "prices",
            "candle_publish_ms",
            self.candle_publish_ms,
            policy::CANDLE_PUBLISH_MS,
        )?;
        let all = Overrides {
            min_sources: self.min_sources,
            outlier_mads: self.outlier_mads,
            outlier_floor_bps: self.outlier_floor_bps,
            max_confidence_bps: self.max_confidence_bps,
            max_jump_bps: self.max_jump_bps,
            jump_hold_ms: self.jump_hold_ms,
            publish_bps: self.publish_bps,
            publish_heartbeat_ms: self.publish_heartbeat_ms,
            min_interval_ms: self.min_interval_ms,
        };
        all.check("prices")?;
        for (index, token) in self.tokens.iter().enumerate() {
            let own = Overrides {
                min_sources: token.min_sources,
                outlier_mads: token.outlier_mads,
                outlier_floor_bps: token.outlier_floor_bps,
                max_confidence_bps: token.max_confidence_bps,
                max_jump_bps: token.max_jump_bps,
                jump_hold_ms: token.jump_hold_ms,
                publish_bps: token.publish_bps,
                publish_heartbeat_ms: token.publish_heartbeat_ms,
                min_interval_ms: token.min_interval_ms,
            };
            own.check(&format!("prices.tokens.{index}"))?;
        }
        Ok(())
    }
}

/// The keys that `[prices]` and each token may have.
struct Overrides {
    min_sources: Option<usize>,
    outlier_mads: Option<u32>,
    outlier_floor_bps: Option<u32>,
    max_confidence_bps: Option<u32>,
    max_jump_bps: Option<u32>,
    jump_hold_ms: Option<u64>,
    publish_bps: Option<u32>,
    publish_heartbeat_ms: Option<u64>,
    min_interval_ms: Option<u64>,
}

impl Overrides {
    fn check(self, within: &str) -> Result<(), PriceConfigError> {
        let bps = 0..=u64::from(policy::MAX_BPS);
        let check = |key, given, allowed| check_range(within, key, given, allowed);
        let sources = self.min_sources.map(|given| given as u64);
        check("min_sources", sources, 1..=MAX_SOURCES)?;
        let mads = 1..=u64::from(policy::MAX_OUTLIER_MADS);
        check("outlier_mads", self.outlier_mads.map(u64::from), mads)?;
        let floor = self.outlier_floor_bps.map(u64::from);
        check("outlier_floor_bps", floor, bps.clone())?;
        let confidence = self.max_confidence_bps.map(u64::from);
        check("max_confidence_bps", confidence, bps.clone())?;
        check(
            "max_jump_bps",
            self.max_jump_bps.map(u64::from),
            bps.clone(),
        )?;
        let holds = 0..=policy::MAX_HOLD_MS;
        check("jump_hold_ms", self.jump_hold_ms, holds)?;
        check("publish_bps", self.publish_bps.map(u64::from), bps)?;
        // 0 disables it.
        let heartbeat = self.publish_heartbeat_ms.filter(|given| *given != 0);
        let heartbeats = policy::MIN_HEARTBEAT_MS..=policy::MAX_HEARTBEAT_MS;
        check("publish_heartbeat_ms", heartbeat, heartbeats)?;
        let intervals = 0..=policy::MAX_INTERVAL_MS;
        check("min_interval_ms", self.min_interval_ms, intervals)
    }
}

fn check_range(
    within: &str,
    key: &str,
    given: Option<u64>,
    allowed: RangeInclusive<u64>,
) -> Result<(), PriceConfigError> {
    match given {
        Some(given) if !allowed.contains(&given) => Err(PriceConfigError::OutOfRange {
            key: format!("{within}.{key}"),
            allowed: format!("{} to {}", allowed.start(), allowed.end()),
            given,
        }),
        _ => Ok(()),
    }
}
