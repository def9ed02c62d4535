//! How long to wait before a venue is connected to again.

use std::time::Duration;

use rand::Rng;

/// Doubles from a first wait to a longest one. Each wait is drawn from the upper half of what it may be, so that many
/// who lost the same venue do not come back at once.
#[derive(Debug, Clone)]
pub(in super::super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(in super::super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    pub(in super::super) fn next_delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        rand::rng().random_range(whole / 2..=whole)
    }

    /// After a connection that was stable.
    pub(in super::super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ExchangeConfig, *};

    #[test]
    fn the_waits_of_the_defaults_allow_few_attempts_in_the_time_in_which_binance_takes_300() {
        let config = ExchangeConfig::default();
        let mut backoff = Backoff::new(
            Duration::from_millis(config.backoff_ms),
            Duration::from_millis(config.backoff_max_ms),
        );
        let (mut attempts, mut waited) = (1, Duration::ZERO);
        while waited < Duration::from_secs(5 * 60) {
            waited += backoff.next_delay();
            attempts += 1;
        }
        // Ten feeds from one address are fewer than 300 too.
        assert!(attempts < 30, "{attempts} attempts");
    }

    #[test]
    fn waits_double_to_a_bound_with_jitter_and_begin_anew_after_a_reset() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, longest);
        let mut whole = first;
        for _ in 0..12 {
            let wait = backoff.next_delay();
            assert!(whole / 2 <= wait && wait <= whole, "{wait:?} of {whole:?}");
            whole = (whole * 2).min(longest);
        }
        assert_eq!(whole, longest);
        backoff.reset();
        assert!(backoff.next_delay() <= first);
    }
}
