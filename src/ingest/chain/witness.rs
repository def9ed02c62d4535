//! Where the node stands, when it was last heard, and how every provider does, recorded beside the indexing: a long
//! catch-up does not hide the node's head, and a node that falls silent leaves a moment that grows old.

use std::{convert::Infallible, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::Parts;
use crate::{
    source::chain::{NodeView, ProviderStatus},
    store::{
        StoreError,
        chain::{self as stored, ProviderRow},
    },
};

/// How far apart what is recorded lies.
const INTERVAL: Duration = Duration::from_secs(2);

impl Parts {
    /// Records what is heard of the node, the first at once, for as long as it is polled. What cannot be written is
    /// only old by one more interval.
    pub(super) async fn witness(&self, mut seen: watch::Receiver<NodeView>) -> Infallible {
        let (begun, mut recorded) = (Instant::now(), None);
        let mut shown = Vec::new();
        loop {
            let view = seen.borrow_and_update().clone();
            let silent = view.heard.unwrap_or(begun).elapsed();
            self.metrics.node_silent(silent);
            if let (Some(head), Some(heard)) = (view.head, view.heard)
                && recorded != Some(heard)
            {
                match self.record_node(head.number, heard).await {
                    Ok(()) => recorded = Some(heard),
                    Err(error) => {
                        tracing::debug!(chain_id = self.config.chain_id, %error, "the node's head is not recorded");
                    }
                }
            }
            let providers = self.node.status();
            if providers != shown {
                match self.record_providers(&providers).await {
                    Ok(()) => shown = providers,
                    Err(error) => {
                        tracing::debug!(chain_id = self.config.chain_id, %error, "the providers are not recorded");
                    }
                }
            }
            let changed = tokio::time::timeout(INTERVAL, seen.changed());
            // The first head is news; after it, and when nobody follows the node, the time alone counts.
            if view.head.is_some() || matches!(changed.await, Ok(Err(_))) {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    /// Records how the providers do. The chain must be registered.
    pub(super) async fn record_providers(
        &self,
        providers: &[ProviderStatus],
    ) -> Result<(), StoreError> {
        let rows: Vec<ProviderRow> = providers.iter().map(row_of).collect();
        let transaction = self.store.begin().await?;
        stored::record_providers(transaction, self.config.chain_id, &rows).await
    }

    async fn record_node(&self, head: u64, heard: Instant) -> Result<(), StoreError> {
        let mut connection = self.store.pool().acquire().await?;
        stored::record_node(&mut connection, self.config.chain_id, head, heard.elapsed()).await
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
