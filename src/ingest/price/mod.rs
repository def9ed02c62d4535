//! The one writer of prices: from the ticks of feeds and of indexed blocks to price rows and updates.
//!
//! Ticks of feeds are stored here, in the transaction that announces what came of them; those of chains came with
//! their blocks. Promises that each announced price was committed before, with its row and its seq in one transaction,
//! and that a price that is not stale stands only on ticks that are in the store, while a stale one may outlive the
//! ticks it was made of when a reorg left nothing to replace it: signals make it quick, but the store is read again
//! after a reorg, after lost signals, and, within a second, when a chain moved. Nothing is announced twice: a price is
//! compared with the one last announced, which is read back at every start. Assumes that ticks of chains are committed
//! before their signal is sent, and together with the cursor of their chain.

mod alerts;
mod board;
mod candles;
mod commit;
mod feeds;
mod outage;
mod publish;
mod session;
mod telemetry;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{feeds::Feeds, outage::Outage, session::Session};
use super::PriceSignalQueue;
use crate::{
    bus::Publisher,
    model::{ChainId, ChainLimits},
    source::price::{
        Feed, PriceConfig, PriceConfigError, SourceKey, TickQueue, TickSink, feeds, tick_queue,
    },
    store::{
        Store, StoreError,
        tokens::{TrackedSource, TrackedToken},
        writer::Stream,
    },
};

/// How long the lock is out of reach until another process is taken for the writer: a server may hold the lock of a
/// connection that was lost a while longer, and the ticks that wait are not to be lost with it.
const STANDBY_AFTER: Duration = Duration::from_secs(10);

/// Writes the prices of all tracked tokens.
pub struct PriceIngest {
    parts: Parts,
    incoming: Incoming,
    feeds: Feeds,
}

/// What comes to the writer.
struct Incoming {
    /// Of the chain writers in this process.
    signals: PriceSignalQueue,
    /// Of the feeds.
    ticks: TickQueue,
}

/// What every session of the writer uses.
struct Parts {
    config: PriceConfig,
    /// Of the sources that name none.
    first_chain: ChainId,
    tokens: Vec<TrackedToken>,
    sources: Vec<TrackedSource>,
    store: Store,
    publisher: Publisher,
    /// From when on a chain's node is down, so that what was read from the chain is stale.
    chains: Vec<ChainLimits>,
}

/// Why prices cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PriceIngestError {
    #[error("prices cannot be written: {0}")]
    Store(#[from] StoreError),
    #[error("prices cannot be written: the database did not answer within {0:?}")]
    Silent(Duration),
}

impl PriceIngestError {
    /// Whether another process writes prices.
    fn is_standby(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Locked(_) | StoreError::Stuck(_))
        )
    }

    /// Whether waiting cannot mend it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_transient(),
            Self::Silent(_) => false,
        }
    }
}

impl PriceIngest {
    /// `first_chain` is the chain of the sources that name none. Nothing is read, written or connected before
    /// [`Self::run`].
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
        let (sink, ticks) = tick_queue(config.tick_queue());
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

    /// Takes what was read from these chains for stale while their nodes are down.
    pub fn watching(mut self, chains: Vec<ChainLimits>) -> Self {
        self.parts.chains = chains;
        self
    }

    /// Reads these feeds instead of those that are configured; `make` makes them anew, in the same order each time.
    pub fn with_feeds(
        mut self,
        make: impl Fn() -> Vec<Box<dyn Feed>> + Send + Sync + 'static,
    ) -> Self {
        self.feeds.replace(Arc::new(make));
        self
    }

    /// Where sources that no feed reads, those on a chain, tell how they stand.
    pub fn sink(&self) -> TickSink {
        self.feeds.sink()
    }

    /// Writes until `stop`; a commit that began is finished first, and what the feeds left is stored. A database that
    /// goes away, and another process that holds the lock, are waited for; it fails only for what waiting cannot mend.
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

/// One session after another.
async fn write(
    parts: &Parts,
    incoming: &mut Incoming,
    feeds: &mut Feeds,
    stop: &CancellationToken,
) -> Result<(), PriceIngestError> {
    let mut outage = Outage::default();
    let mut locked_out: Option<Instant> = None;
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = Session::open(parts, incoming) => opened,
        };
        let ended = match opened {
            Ok(session) => {
                locked_out = None;
                feeds.start();
                session.run(incoming, feeds, &mut outage, stop).await
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
                        // The process that writes has feeds of its own.
                        feeds.stop().await;
                        incoming.ticks.clear();
                    }
                }
                let wait = outage.failed(&error);
                let failure = match &error {
                    PriceIngestError::Store(error) => {
                        parts.store.writer_failed(Stream::Prices, error).boxed()
                    }
                    PriceIngestError::Silent(limit) => {
                        let error = StoreError::Silent(*limit);
                        async move { parts.store.writer_failed(Stream::Prices, &error).await }
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

/// Age of what was observed then, in ms. A tick that a clock ahead of ours made is no age old.
fn age_ms(observed_at: i64, now_ms: i64) -> i64 {
    now_ms.saturating_sub(observed_at).max(0)
}
