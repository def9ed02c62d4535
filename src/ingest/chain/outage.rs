//! Trying again: how long to wait, and what of it is logged.

use std::time::Duration;

use tokio::time::Instant;

use super::IngestError;
use crate::{
    ingest::outage::Logged,
    model::ChainId,
    source::chain::{Backoff, NodeError},
    store::{StoreError, writer::LOOK_EVERY},
};

/// The longest wait for a database that answers with an error.
const DATABASE_WAIT: Duration = Duration::from_secs(2);
/// A node may lack a block it just announced, or ask to be asked less, for this long before it is logged.
const IS_NORMAL: Duration = Duration::from_secs(5);

/// The time in which a chain writer cannot go on, from the first failure to the next success.
pub(in crate::ingest) struct Outage {
    chain_id: ChainId,
    backoff: Backoff,
    since: Option<Instant>,
    /// The kind of failure that it waits for, once that was logged.
    told: Option<&'static str>,
    /// What was logged, in this outage and those before it.
    logged: Logged,
}

impl Outage {
    pub(in crate::ingest) fn none(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            backoff: Backoff::default(),
            since: None,
            told: None,
            logged: Logged::default(),
        }
    }

    /// Notes a failure, logs it when it is news, and says how long to wait.
    pub(in crate::ingest) fn failed(&mut self, error: &IngestError) -> Duration {
        let since = *self.since.get_or_insert_with(Instant::now);
        match error {
            IngestError::Node { error: node, .. } => {
                let (kind, quiet) = match node.cause() {
                    NodeError::Missing { .. } => ("lag", IS_NORMAL),
                    NodeError::Throttled { .. } | NodeError::Resting { .. } => {
                        ("throttled", IS_NORMAL)
                    }
                    cause => (cause.kind(), Duration::ZERO),
                };
                if self.told != Some(kind) && since.elapsed() >= quiet {
                    if self.logged.is_due(kind) {
                        tracing::warn!(chain_id = self.chain_id, %error, "indexing waits; trying on");
                    }
                    self.told = Some(kind);
                }
            }
            IngestError::Store(StoreError::Locked(_)) => {
                if self.told != Some("standby") {
                    tracing::info!(chain_id = self.chain_id, reason = %error, "this process stands by");
                    self.told = Some("standby");
                }
                self.backoff = Backoff::default();
                return LOOK_EVERY;
            }
            _ => {
                let kind = match error {
                    IngestError::Store(error) => error.trouble().unwrap_or("database"),
                    _ => "silent",
                };
                if self.told != Some(kind) {
                    if self.logged.is_due(kind) {
                        tracing::warn!(chain_id = self.chain_id, kind, %error, "indexing waits for the database; trying on");
                    }
                    self.told = Some(kind);
                }
                if matches!(
                    error,
                    IngestError::Store(StoreError::StillHeld(_) | StoreError::Stuck(_))
                ) {
                    return LOOK_EVERY;
                }
                return self.backoff.next_delay().min(DATABASE_WAIT);
            }
        }
        let rest = match error {
            IngestError::Node { error, .. } => error.rest(),
            _ => None,
        };
        // As long as the node asks for, and no longer.
        rest.unwrap_or_else(|| self.backoff.next_delay())
    }

    /// Notes that work goes on.
    pub(in crate::ingest) fn ended(&mut self) {
        if let Some(since) = self.since.take() {
            if self.told.take().is_some() && self.logged.is_due("goes on") {
                let waited_ms = since.elapsed().as_millis() as u64;
                tracing::info!(chain_id = self.chain_id, waited_ms, "indexing goes on");
            }
            self.backoff = Backoff::default();
        }
    }
}
