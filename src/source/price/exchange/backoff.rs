//! Backoff between attempts to connect to a venue.

use std::time::Duration;

use rand::Rng;

/// Exponential backoff with jitter. Each delay is drawn from the upper half of its range, so that clients that lost the
/// same venue do not reconnect together.
#[derive(Debug, Clone)]
pub(in super::super) struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(in super::super) fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            next: first,
        }
    }

    pub(in super::super) fn next_delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.max);
        rand::rng().random_range(whole / 2..=whole)
    }

    /// Resets the delay after a stable connection.
    pub(in super::super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ExchangeConfig, *};

    #[test]
    fn default_backoff_stays_below_binance_limit() {
        let config = ExchangeConfig::default();
        let mut backoff = Backoff::new(
            Duration::from_millis(config.backoff_ms),
            Duration::from_millis(config.backoff_max_ms),
        );
        let (mut attempts, mut elapsed) = (1, Duration::ZERO);
        while elapsed < Duration::from_secs(5 * 60) {
            elapsed += backoff.next_delay();
            attempts += 1;
        }
        // Even ten feeds from one address stay below 300.
        assert!(attempts < 30, "{attempts} attempts");
    }

    #[test]
    fn delay_doubles_to_maximum_and_resets() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, max);
        let mut whole = first;
        for _ in 0..12 {
            let wait = backoff.next_delay();
            assert!(whole / 2 <= wait && wait <= whole, "{wait:?} of {whole:?}");
            whole = (whole * 2).min(max);
        }
        assert_eq!(whole, max);
        backoff.reset();
        assert!(backoff.next_delay() <= first);
    }
}
