//! Retry delays of a chain writer, and which failures it logs.

use std::time::Duration;

use tokio::time::Instant;

use super::IngestError;
use chaincast_base::{retry::Backoff, telemetry::log_limit::LogLimit};
use chaincast_evm::chain::{NODE_BACKOFF, NodeError};
use chaincast_protocol::ChainId;
use chaincast_store::{StoreError, writer::LOCK_RETRY_INTERVAL};

/// The longest delay after a database error.
const DATABASE_WAIT: Duration = Duration::from_secs(2);
/// How long a node may lack a block that it announced, or throttle requests, before that is logged.
const QUIET_PERIOD: Duration = Duration::from_secs(5);

/// The state of an outage: from the first failure to the next success.
pub(crate) struct Retry {
    chain_id: ChainId,
    backoff: Backoff,
    since: Option<Instant>,
    /// The kind of the current failure, once it was logged.
    logged_kind: Option<&'static str>,
    /// Log times, across outages.
    log: LogLimit,
}

impl Retry {
    pub(crate) fn new(chain_id: ChainId) -> Self {
        Self {
            chain_id,
            backoff: NODE_BACKOFF,
            since: None,
            logged_kind: None,
            log: LogLimit::default(),
        }
    }

    /// Records a failure, logs it if its kind is new, and returns the delay before the next attempt.
    pub(crate) fn delay_after(&mut self, error: &IngestError) -> Duration {
        let since = *self.since.get_or_insert_with(Instant::now);
        match error {
            IngestError::Node { error: node, .. } => {
                let (kind, quiet) = match node.cause() {
                    NodeError::Missing { .. } => ("lag", QUIET_PERIOD),
                    NodeError::Throttled { .. } | NodeError::Resting { .. } => {
                        ("throttled", QUIET_PERIOD)
                    }
                    cause => (cause.kind(), Duration::ZERO),
                };
                if self.logged_kind != Some(kind) && since.elapsed() >= quiet {
                    if self.log.is_due(kind) {
                        tracing::warn!(chain_id = self.chain_id, %error, "indexing is paused by a node failure; retrying");
                    }
                    self.logged_kind = Some(kind);
                }
            }
            IngestError::Store(StoreError::Locked(_)) => {
                if self.logged_kind != Some("standby") {
                    tracing::info!(chain_id = self.chain_id, reason = %error, "standing by: another process indexes the chain");
                    self.logged_kind = Some("standby");
                }
                self.backoff.reset();
                return LOCK_RETRY_INTERVAL;
            }
            _ => {
                let kind = match error {
                    IngestError::Store(error) => error.failure_kind().unwrap_or("database"),
                    _ => "silent",
                };
                if self.logged_kind != Some(kind) {
                    if self.log.is_due(kind) {
                        tracing::warn!(chain_id = self.chain_id, kind, %error, "indexing is paused by a database failure; retrying");
                    }
                    self.logged_kind = Some(kind);
                }
                if matches!(
                    error,
                    IngestError::Store(StoreError::StillHeld(_) | StoreError::Stuck(_))
                ) {
                    return LOCK_RETRY_INTERVAL;
                }
                return self.backoff.next_delay().min(DATABASE_WAIT);
            }
        }
        let rest = match error {
            IngestError::Node { error, .. } => error.retry_delay(),
            _ => None,
        };
        // If the node stated a delay, exactly that.
        rest.unwrap_or_else(|| self.backoff.next_delay())
    }

    /// Records a success and ends the outage.
    pub(crate) fn reset(&mut self) {
        if let Some(since) = self.since.take() {
            if self.logged_kind.take().is_some() && self.log.is_due("recovered") {
                let waited_ms = since.elapsed().as_millis() as u64;
                tracing::info!(chain_id = self.chain_id, waited_ms, "indexing resumed");
            }
            self.backoff.reset();
        }
    }
}
