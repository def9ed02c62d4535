//! Exponential backoff.

use std::time::Duration;

use rand::Rng;

/// Delays that double from a first one up to a maximum. Pure state: the caller waits, and decides when to reset.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    doublings: u32,
    jitter: bool,
}

impl Backoff {
    /// Each delay is drawn from the upper half of its range, so that clients that failed together spread out.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            doublings: 0,
            jitter: true,
        }
    }

    /// Without jitter: for a single client of its server, and for tests of the bounds.
    pub const fn exact(first: Duration, max: Duration) -> Self {
        Self {
            jitter: false,
            ..Self::new(first, max)
        }
    }

    /// The next delay. Doubles the one after it.
    pub fn next_delay(&mut self) -> Duration {
        let whole = exponential(self.first, self.max, self.doublings);
        self.doublings = self.doublings.saturating_add(1);
        match self.jitter {
            true => rand::rng().random_range(whole / 2..=whole),
            false => whole,
        }
    }

    /// Restarts with the first delay, after a success.
    pub fn reset(&mut self) {
        self.doublings = 0;
    }
}

/// `first × 2^doublings`, at most `max`.
pub fn exponential(first: Duration, max: Duration, doublings: u32) -> Duration {
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn delay_doubles_to_maximum_and_resets() {
        let mut backoff = Backoff::new(FIRST, MAX);
        let mut whole = FIRST;
        for _ in 0..12 {
            let wait = backoff.next_delay();
            assert!(whole / 2 <= wait && wait <= whole, "{wait:?} of {whole:?}");
            whole = (whole * 2).min(MAX);
        }
        assert_eq!(whole, MAX);
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }

    #[test]
    fn jitter_spreads_delays() {
        let delays = (0..32).map(|_| Backoff::new(MAX, MAX).next_delay());
        let different: std::collections::HashSet<Duration> = delays.collect();
        assert!(different.len() > 8, "{different:?}");
    }

    #[test]
    fn exact_delay_has_no_jitter() {
        let mut backoff = Backoff::exact(FIRST, MAX);
        let delays: Vec<u128> = (0..8).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn exponential_never_overflows() {
        assert_eq!(exponential(FIRST, MAX, 32), MAX);
        assert_eq!(exponential(FIRST, Duration::MAX, 3), FIRST * 8);
        assert_eq!(
            exponential(Duration::MAX, Duration::MAX, u32::MAX),
            Duration::MAX
        );
    }
}
