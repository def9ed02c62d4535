//! The feeds of a configuration.

use super::{Feed, PriceConfig, exchange, hermes, http_poll};

/// The feeds of all configured sources outside the chains; sources share connections where possible.
pub fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    let mut feeds = Vec::new();
    feeds.extend(exchange::feeds(config));
    feeds.extend(hermes::feeds(config));
    feeds.extend(http_poll::feeds(config));
    feeds
}
