//! Feeds: sources outside the chains, each running independently and sending ticks to a sink.

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{PriceConfig, SourceKey, TickSink, exchange, hermes, http_poll};

/// A connection to a venue, or the polling of a page; may serve many sources.
pub trait Feed: Send + 'static {
    /// The name in logs, metrics and `/status`: `binance`, or `http@api.example.org`.
    fn name(&self) -> &str;

    /// The sources that it serves.
    fn sources(&self) -> Vec<SourceKey>;

    /// Runs until `stop`. Faults of the venue are handled internally and never end it.
    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()>;
}

/// The feeds of all configured sources outside the chains; sources share connections where possible.
pub fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    let mut feeds = Vec::new();
    feeds.extend(exchange::feeds(config));
    feeds.extend(hermes::feeds(config));
    feeds.extend(http_poll::feeds(config));
    feeds
}
