//! When the last of many sessions received an update.

use std::ops::Range;

/// Each session receives every update in order, so that its n-th frame is the n-th update.
pub struct Arrivals {
    sessions: usize,
    /// By update: number of sessions that have it, and when the last one received it, in ns.
    reached: Vec<(u32, u64)>,
}

impl Arrivals {
    pub fn new(sessions: usize, updates: usize) -> Self {
        Self {
            sessions,
            reached: vec![(0, 0); updates],
        }
    }

    pub fn record(&mut self, session: usize, frames: Range<u32>, now: impl Fn() -> u64) {
        if session >= self.sessions || frames.is_empty() {
            return;
        }
        let now = now();
        for update in frames {
            if let Some((count, last)) = self.reached.get_mut(update as usize) {
                *count += 1;
                *last = now;
            }
        }
    }

    /// How long each update took from its publication to the last session, in µs; `None` when one did not reach all.
    pub fn latencies(&self, published: &[u64]) -> Option<Vec<f64>> {
        let all = self
            .reached
            .iter()
            .zip(published)
            .map(|(&(count, last), &published)| {
                let complete = count as usize == self.sessions;
                complete.then(|| last.saturating_sub(published) as f64 / 1e3)
            });
        all.collect()
    }

    pub fn is_complete(&self) -> bool {
        self.reached
            .iter()
            .all(|&(count, _)| count as usize == self.sessions)
    }
}
