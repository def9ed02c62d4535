//! Trying again: how long to wait, and saying so once.

use std::time::Duration;

use tokio::time::Instant;

use super::IngestError;
use crate::{
    model::ChainId,
    source::chain::{Backoff, NodeError},
    store::StoreError,
};

/// A node may lack a block it just announced for this long before anybody is told.
const LAG_IS_NORMAL: Duration = Duration::from_secs(5);

/// The time in which a chain writer cannot go on, from the first failure to the next success.
pub(in crate::ingest) struct Outage {
    chain_id: ChainId,
    backoff: Backoff,
    since: Option<Instant>,
    /// The kind of failure that was logged.
    told: Option<&'static str>,
}

impl Outage {
    pub(in crate::ingest) fn none(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            backoff: Backoff::default(),
            since: None,
            told: None,
        }
    }

    /// Notes a failure, logs it when it is news, and says how long to wait.
    pub(in crate::ingest) fn failed(&mut self, error: &IngestError) -> Duration {
        let since = *self.since.get_or_insert_with(Instant::now);
        let (kind, quiet) = match error {
            IngestError::Node { error, .. } => match error.cause() {
                NodeError::Missing { .. } => ("lag", LAG_IS_NORMAL),
                cause => (cause.kind(), Duration::ZERO),
            },
            IngestError::Store(StoreError::Locked(_)) => ("locked", Duration::ZERO),
            _ => ("store", Duration::ZERO),
        };
        if self.told != Some(kind) && since.elapsed() >= quiet {
            tracing::warn!(chain_id = self.chain_id, %error, "indexing waits; trying on");
            self.told = Some(kind);
        }
        self.backoff.next_delay()
    }

    /// Notes that work goes on.
    pub(in crate::ingest) fn ended(&mut self) {
        if let Some(since) = self.since.take() {
            if self.told.take().is_some() {
                let waited_ms = since.elapsed().as_millis() as u64;
                tracing::info!(chain_id = self.chain_id, waited_ms, "indexing goes on");
            }
            self.backoff = Backoff::default();
        }
    }
}
