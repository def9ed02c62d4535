//! One commit's updates, and when they were committed.

use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::model::Update;

/// What another process says about the past is believed up to this.
const LONGEST_WAY: Duration = Duration::from_secs(60);

/// Updates in commit order. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Commit {
    updates: Arc<[Update]>,
    /// When they were committed, by this process's clock; of several commits handed over together the first.
    /// `None` when nobody knows.
    pub at: Option<Instant>,
}

impl Commit {
    pub fn new(updates: Vec<Update>, at: Option<Instant>) -> Self {
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

/// The instant as µs since the Unix epoch, for another process.
pub(super) fn to_wall(at: Instant) -> u64 {
    wall_now_us().saturating_sub(at.elapsed().as_micros() as u64)
}

/// The instant that another process means. Assumes that the clocks of both machines agree; where they do not, the
/// result is still between now and [`LONGEST_WAY`] ago.
pub(super) fn from_wall(us: u64) -> Option<Instant> {
    let age = Duration::from_micros(wall_now_us().saturating_sub(us));
    Instant::now().checked_sub(age.min(LONGEST_WAY))
}

fn wall_now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_the_way_to_another_process() {
        let at = Instant::now();
        let there = from_wall(to_wall(at)).unwrap();
        let apart = there.max(at) - there.min(at);
        assert!(apart < LONGEST_WAY / 2, "{apart:?}");
    }

    #[test]
    fn a_clock_that_is_wrong_is_believed_within_bounds() {
        let now = Instant::now();
        assert!(from_wall(u64::MAX).unwrap() >= now);
        if let Some(oldest) = from_wall(0) {
            assert!(oldest.elapsed() >= LONGEST_WAY);
            assert!(now.saturating_duration_since(oldest) <= LONGEST_WAY);
        }
    }
}
