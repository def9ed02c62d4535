//! What the settings of `[prices.exchanges]` mean for a feed: delays between attempts, and when prices are late.

use std::time::Duration;

use super::{super::lateness::LateWatch, ExchangeConfig};
use chaincast_base::retry::Backoff;

impl ExchangeConfig {
    /// The delays between attempts to connect.
    pub(in super::super) fn backoff(&self) -> Backoff {
        Backoff::new(
            Duration::from_millis(self.backoff_ms),
            Duration::from_millis(self.backoff_max_ms),
        )
    }

    /// Detects prices that stay late.
    pub(in super::super) fn late_watch(&self) -> LateWatch {
        LateWatch::new(self.late_ms, Duration::from_millis(self.late_for_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_backoff_stays_below_binance_limit() {
        let mut backoff = ExchangeConfig::default().backoff();
        let (mut attempts, mut elapsed) = (1, Duration::ZERO);
        while elapsed < Duration::from_secs(5 * 60) {
            elapsed += backoff.next_delay();
            attempts += 1;
        }
        // Even ten feeds from one address stay below 300.
        assert!(attempts < 30, "{attempts} attempts");
    }
}
