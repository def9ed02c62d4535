//! The single writer of prices: turns the ticks of feeds and of indexed blocks into price rows and updates.
//!
//! Ticks of feeds are stored here, in the transaction of the prices computed from them; ticks of chains are stored with
//! their blocks. Promises that each price is committed before it is announced, with its row and its seq in one
//! transaction, and that a price that is not stale is computed only from stored ticks. A stale price may outlive its
//! ticks when a reorg dropped them without a replacement. Signals keep the latency low; the store is read again after a
//! reorg, after lost signals, and within a second of a chain's commit. No price is announced twice: it is compared with
//! the one announced last, which is read at every start. Assumes that ticks of chains are committed before their signal
//! is sent, and together with the cursor of their chain.

mod age;
mod alerts;
mod candles;
mod commit;
mod error;
mod feeds;
mod parts;
mod price_state;
mod publish_policy;
mod retry;
mod telemetry;
mod token_state;
mod writer;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::error::PriceIngestError;
use self::{
    feeds::Feeds,
    parts::{Incoming, Parts},
    retry::Retry,
    writer::PriceWriter,
};
use super::PriceSignalQueue;
use chaincast_bus::Publisher;
use chaincast_prices::{
    Feed, PriceConfig, PriceConfigError, SourceKey, TickSink, feeds, tick_queue,
};
use chaincast_protocol::{ChainId, ChainLimits};
use chaincast_store::{
    Store, StoreError,
    tokens::{TrackedSource, TrackedToken},
    writer::Stream,
};

/// How long the lock must be unavailable before another process counts as the writer. Postgres may hold the lock of a
/// lost connection for a while; the queued ticks must survive that.
const STANDBY_AFTER: Duration = Duration::from_secs(10);

/// Writes the prices of all tracked tokens.
pub struct PriceIngest {
    parts: Parts,
    incoming: Incoming,
    feeds: Feeds,
}

impl PriceIngest {
    /// `first_chain` is the chain of sources that name none. Does no I/O before [`Self::run`].
    pub fn new(
        config: PriceConfig,
        first_chain: ChainId,
        store: Store,
        publisher: Publisher,
        signals: PriceSignalQueue,
    ) -> Result<Self, PriceConfigError> {
        config.validate()?;
        telemetry::describe();
        let tokens = config.tokens.iter().map(|token| TrackedToken {
            symbol: token.symbol.clone(),
            name: token
                .name
                .clone()
                .unwrap_or_else(|| token.symbol.to_string()),
            chain_id: token.chain_id,
            address: token.address,
            decimals: token.decimals,
        });
        let named: BTreeMap<SourceKey, String> = feeds(&config)
            .iter()
            .flat_map(|feed| {
                let sources = feed.sources().into_iter();
                sources.map(move |source| (source, feed.name().to_owned()))
            })
            .collect();
        let sources = config.sources.iter().map(|source| TrackedSource {
            token: source.token.clone(),
            name: source.source_name().to_string(),
            quote: source.kind.quote().to_owned(),
            contract: source
                .kind
                .contract()
                .map(|(chain_id, address)| (chain_id.unwrap_or(first_chain), address)),
            max_age_ms: source.max_age_ms,
            feed: named
                .get(&(source.token.clone(), source.source_name()))
                .cloned(),
        });
        let (sink, ticks) = tick_queue(config.tick_queue);
        let configured = config.clone();
        let parts = Parts {
            tokens: tokens.collect(),
            sources: sources.collect(),
            config,
            first_chain,
            store,
            publisher,
            chains: Vec::new(),
        };
        Ok(Self {
            parts,
            incoming: Incoming { signals, ticks },
            feeds: Feeds::new(Arc::new(move || feeds(&configured)), sink),
        })
    }

    /// Ticks of these chains count as stale while their nodes are down.
    pub fn with_chain_limits(mut self, chains: Vec<ChainLimits>) -> Self {
        self.parts.chains = chains;
        self
    }

    /// Replaces the configured feeds; `make` creates them again on each call, in the same order.
    pub fn with_feeds(
        mut self,
        make: impl Fn() -> Vec<Box<dyn Feed>> + Send + Sync + 'static,
    ) -> Self {
        self.feeds.replace(Arc::new(make));
        self
    }

    /// Receives the states of sources that no feed reads: those on a chain.
    pub fn sink(&self) -> TickSink {
        self.feeds.sink()
    }

    /// Writes until `stop`; finishes a commit in progress first, and stores the ticks left by the feeds. Retries while the
    /// database is unreachable or another process holds the lock; fails only with errors that a retry cannot fix.
    pub async fn run(self, stop: CancellationToken) -> Result<(), PriceIngestError> {
        let Self {
            parts,
            mut incoming,
            mut feeds,
        } = self;
        let ended = write(&parts, &mut incoming, &mut feeds, &stop).await;
        feeds.stop().await;
        ended
    }
}

/// Opens one [`PriceWriter`] after another.
async fn write(
    parts: &Parts,
    incoming: &mut Incoming,
    feeds: &mut Feeds,
    stop: &CancellationToken,
) -> Result<(), PriceIngestError> {
    let mut retry = Retry::default();
    let mut locked_out: Option<Instant> = None;
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = PriceWriter::open(parts, incoming) => opened,
        };
        let ended = match opened {
            Ok(price_writer) => {
                locked_out = None;
                feeds.start();
                price_writer.run(incoming, feeds, &mut retry, stop).await
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return Ok(()),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                if error.is_standby() {
                    let since = *locked_out.get_or_insert_with(Instant::now);
                    if since.elapsed() >= STANDBY_AFTER {
                        // The writing process has feeds of its own.
                        feeds.stop().await;
                        incoming.ticks.clear();
                    }
                }
                let wait = retry.delay_after(&error);
                let failure = match &error {
                    PriceIngestError::Store(error) => parts
                        .store
                        .record_writer_failure(Stream::Prices, error)
                        .boxed(),
                    PriceIngestError::Timeout(limit) => {
                        let error = StoreError::Timeout(*limit);
                        async move {
                            parts
                                .store
                                .record_writer_failure(Stream::Prices, &error)
                                .await
                        }
                        .boxed()
                    }
                };
                let waiting = async {
                    tokio::join!(tokio::time::sleep(wait), failure);
                };
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = waiting => {}
                }
            }
        }
    }
}
