//! The age of an observation.

/// Age of an observation, in ms; 0 for one from a clock ahead of ours.
pub(super) fn age_ms(observed_at: i64, now_ms: i64) -> i64 {
    now_ms.saturating_sub(observed_at).max(0)
}
