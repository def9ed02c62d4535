//! Delays between requests to a node that failed.

use std::time::Duration;

use chaincast_base::retry::Backoff;

/// From 100 ms to 10 s.
pub const NODE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
