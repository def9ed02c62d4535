//! The gateway's monotonic clock.

use std::time::Instant;

/// Counts ms since the gateway started.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn ms(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}
