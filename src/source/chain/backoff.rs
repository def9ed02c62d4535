//! Delay between retries.

use std::time::Duration;

use rand::Rng;

/// First and longest delay.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles from 100 ms to 10 s; each delay is drawn from the upper half, so that clients that failed together spread
/// out.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        rand::rng().random_range(whole / 2..=whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_bound() {
        let mut backoff = Backoff::default();
        let first = backoff.next_delay();
        assert!(first >= FIRST / 2 && first <= FIRST);
        let later = (0..20).map(|_| backoff.next_delay()).last().unwrap();
        assert!(later >= LONGEST / 2 && later <= LONGEST);
    }
}
