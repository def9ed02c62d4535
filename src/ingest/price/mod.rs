//! The one writer of prices: from committed ticks to price rows and updates.
//!
//! Promises that each announced price was committed before, with its row and its seq in one transaction, and that a
//! price that is not stale stands only on ticks that are in the store, while a stale one may outlive the ticks it was
//! made of when a reorg left nothing to replace it: signals make it quick, but the store is read again after a
//! reorg, after lost signals, and once a second. Nothing is announced twice: a price is compared with the one last
//! announced, which is read back at every start. Assumes that ticks are committed before their signal is sent.

mod board;
mod outage;
mod session;
mod telemetry;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::{outage::Outage, session::Session};
use super::PriceSignalQueue;
use crate::{
    bus::Publisher,
    model::{ChainId, Price},
    source::price::{PriceConfig, PriceConfigError},
    store::{
        Store, StoreError,
        tokens::{TrackedSource, TrackedToken},
    },
};

/// Writes the prices of all tracked tokens.
pub struct PriceIngest {
    parts: Parts,
    signals: PriceSignalQueue,
}

/// What every session of the writer uses.
struct Parts {
    config: PriceConfig,
    tokens: Vec<TrackedToken>,
    sources: Vec<TrackedSource>,
    store: Store,
    publisher: Publisher,
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
    /// Whether waiting cannot mend it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_transient(),
            Self::Silent(_) => false,
        }
    }
}

impl PriceIngest {
    /// `first_chain` is the chain of the sources that name none. Nothing is read or written before [`Self::run`].
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
        let sources = config.sources.iter().map(|source| TrackedSource {
            token: source.token.clone(),
            name: source.source_name().to_string(),
            quote: source.kind.quote().to_owned(),
            contract: source
                .kind
                .contract()
                .map(|(chain_id, address)| (chain_id.unwrap_or(first_chain), address)),
            max_age_ms: source.max_age_ms,
        });
        let parts = Parts {
            tokens: tokens.collect(),
            sources: sources.collect(),
            config,
            store,
            publisher,
        };
        Ok(Self { parts, signals })
    }

    /// Writes until `stop`; a commit that began is finished first. A database that goes away, and another process
    /// that holds the lock, are waited for; it fails only for what waiting cannot mend.
    pub async fn run(self, stop: CancellationToken) -> Result<(), PriceIngestError> {
        let Self { parts, mut signals } = self;
        let mut outage = Outage::default();
        loop {
            let opened = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                opened = Session::open(&parts, &mut signals) => opened,
            };
            let ended = match opened {
                Ok(session) => session.run(&mut signals, &mut outage, &stop).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => return Ok(()),
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    let wait = outage.failed(&error);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }
}

/// Age of the newest tick in a price, in ms. A tick that a clock ahead of ours made is no age old.
fn age_ms(price: &Price, now_ms: i64) -> i64 {
    now_ms.saturating_sub(price.observed_at).max(0)
}
