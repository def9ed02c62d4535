//! Records the node's head, the time of its last answer and the state of every provider, independently of the
//! indexing: a long catch-up does not hide the node's head, and the last answer of an unresponsive node grows old.

use std::{convert::Infallible, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::Parts;
use chaincast_evm::chain::{NodeView, ProviderStatus};
use chaincast_store::{
    StoreError,
    chain::{self as stored, ProviderRow},
};

/// Time between two records.
const INTERVAL: Duration = Duration::from_secs(2);

impl Parts {
    /// Records the node's status for as long as it is polled, the first time immediately. A failed write is retried
    /// after one interval.
    pub(super) async fn report_node_status(
        &self,
        mut node_view: watch::Receiver<NodeView>,
    ) -> Infallible {
        let (started, mut recorded) = (Instant::now(), None);
        let mut recorded_providers = Vec::new();
        loop {
            let view = node_view.borrow_and_update().clone();
            let silent = view.last_answer.unwrap_or(started).elapsed();
            self.metrics.node_silent(silent);
            if let (Some(head), Some(answered_at)) = (view.head, view.last_answer)
                && recorded != Some(answered_at)
            {
                match self.record_node(head.number, answered_at).await {
                    Ok(()) => recorded = Some(answered_at),
                    Err(error) => {
                        tracing::debug!(chain_id = self.config.chain_id, %error, "cannot record the node's head; retrying");
                    }
                }
            }
            let providers = self.node.status();
            if providers != recorded_providers {
                match self.record_providers(&providers).await {
                    Ok(()) => recorded_providers = providers,
                    Err(error) => {
                        tracing::debug!(chain_id = self.config.chain_id, %error, "cannot record the providers; retrying");
                    }
                }
            }
            let changed = tokio::time::timeout(INTERVAL, node_view.changed());
            // Only the first head wakes this early; after it, and when the follower has ended, the interval applies.
            if view.head.is_some() || matches!(changed.await, Ok(Err(_))) {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    /// Records the state of the providers. The chain must be registered.
    pub(super) async fn record_providers(
        &self,
        providers: &[ProviderStatus],
    ) -> Result<(), StoreError> {
        let rows: Vec<ProviderRow> = providers.iter().map(row_of).collect();
        let transaction = self.store.begin().await?;
        stored::record_providers(transaction, self.config.chain_id, &rows).await
    }

    async fn record_node(&self, head: u64, answered_at: Instant) -> Result<(), StoreError> {
        let mut connection = self.store.pool().acquire().await?;
        stored::record_node(
            &mut connection,
            self.config.chain_id,
            head,
            answered_at.elapsed(),
        )
        .await
    }
}

fn row_of(provider: &ProviderStatus) -> ProviderRow {
    ProviderRow {
        name: provider.name.clone(),
        url: provider.url.clone(),
        role: provider.role.name().to_owned(),
        state: provider.state.name().to_owned(),
        active: provider.active,
        head: provider.head.map(|head| head.number),
        latency_ms: provider.latency_ms,
        last_error: provider.last_error.clone(),
        failures: u64::from(provider.failures),
        since: provider.since,
    }
}
