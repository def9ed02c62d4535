//! The updates of one commit, and the time of the commit.

use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use chaincast_protocol::Update;

/// Largest age that a timestamp of another process may give; larger ages are cut to it.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Updates in commit order. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Commit {
    updates: Arc<[Update]>,
    /// When they were committed, by this process's clock; the earliest if several commits are merged.
    /// `None` if unknown.
    pub at: Option<Instant>,
}

impl Commit {
    pub(crate) fn new(updates: Vec<Update>, at: Option<Instant>) -> Self {
        Self {
            updates: updates.into(),
            at,
        }
    }
}

impl Deref for Commit {
    type Target = [Update];

    fn deref(&self) -> &[Update] {
        &self.updates
    }
}

/// Converts an instant to µs since the Unix epoch, for other processes.
pub(super) fn to_wall(at: Instant) -> u64 {
    wall_now_us().saturating_sub(at.elapsed().as_micros() as u64)
}

/// Converts µs since the Unix epoch, by another process's clock, to an instant. Assumes synchronized clocks; the result
/// is always between now and [`MAX_AGE`] ago.
pub(super) fn from_wall(us: u64) -> Option<Instant> {
    let age = Duration::from_micros(wall_now_us().saturating_sub(us));
    Instant::now().checked_sub(age.min(MAX_AGE))
}

fn wall_now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instant_survives_wall_clock_round_trip() {
        let at = Instant::now();
        let there = from_wall(to_wall(at)).unwrap();
        let apart = there.max(at) - there.min(at);
        assert!(apart < MAX_AGE / 2, "{apart:?}");
    }

    #[test]
    fn wrong_clock_is_clamped() {
        let now = Instant::now();
        assert!(from_wall(u64::MAX).unwrap() >= now);
        if let Some(oldest) = from_wall(0) {
            assert!(oldest.elapsed() >= MAX_AGE);
            assert!(now.saturating_duration_since(oldest) <= MAX_AGE);
        }
    }
}
