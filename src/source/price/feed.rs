//! Sources outside the chains, as the writer sees them: each runs by itself and hands its ticks to a sink.

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{PriceConfig, SourceKey, TickSink, exchange, hermes, http_poll};

/// One connection to a venue, or one poll of a page: it may give the ticks of many sources.
pub trait Feed: Send + 'static {
    /// What logs, metrics and `/status` call it: `binance`, or `http@api.example.org`.
    fn name(&self) -> &str;

    /// The sources whose ticks it gives.
    fn sources(&self) -> Vec<SourceKey>;

    /// Reads until `stop`. What the venue does wrong is waited out inside and never ends it.
    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()>;
}

/// Every configured source outside the chains, grouped by the connection that it shares with others.
pub fn feeds(config: &PriceConfig) -> Vec<Box<dyn Feed>> {
    let mut feeds = Vec::new();
    feeds.extend(exchange::feeds(config));
    feeds.extend(hermes::feeds(config));
    feeds.extend(http_poll::feeds(config));
    feeds
}
