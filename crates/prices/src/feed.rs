//! Feeds: sources outside the chains, each running independently and sending ticks to a sink.

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{SourceKey, TickSink};

/// A connection to a venue, or the polling of a page; may serve many sources.
pub trait Feed: Send + 'static {
    /// The name in logs, metrics and `/status`: `binance`, or `http@api.example.org`.
    fn name(&self) -> &str;

    /// The sources that it serves.
    fn sources(&self) -> Vec<SourceKey>;

    /// Runs until `stop`. Faults of the venue are handled internally and never end it.
    fn run(self: Box<Self>, sink: TickSink, stop: CancellationToken) -> BoxFuture<'static, ()>;
}
