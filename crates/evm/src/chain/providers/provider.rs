//! One provider of a chain and its health.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    ProviderConfig, ProviderState, Role,
    health::{Health, Limits},
};
use crate::chain::{Node, NodeHeaders};
use chaincast_base::Secret;
use chaincast_protocol::BlockRef;

pub(in crate::chain) struct Provider {
    pub(in crate::chain) name: String,
    pub(in crate::chain) ws_url: Option<Secret>,
    pub(in crate::chain) headers: NodeHeaders,
    pub(super) role: Role,
    pub(super) node: Arc<Node>,
    pub(super) health: Mutex<Health>,
    /// Held during the chain check, so that concurrent requests share one.
    pub(super) proving: tokio::sync::Mutex<()>,
}

/// The status of a provider, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    /// The configured name, or host and port of its URL.
    pub name: String,
    /// Scheme, host and port.
    pub url: String,
    /// The configured work.
    pub role: Role,
    /// Whether it can be used now, and if not, why.
    pub state: ProviderState,
    /// Whether its head is followed.
    pub active: bool,
    /// The newest head that it reported; `None` if it has not reported one.
    pub head: Option<BlockRef>,
    /// Average of recent answers, in ms.
    pub latency_ms: Option<u64>,
    /// The text of its newest error, without secrets; `None` if it had none.
    pub last_error: Option<String>,
    /// Consecutive failures.
    pub failures: u32,
    /// When `state` last changed, in ms since the Unix epoch.
    pub since: i64,
}

impl Provider {
    pub(super) fn new(
        name: String,
        config: ProviderConfig,
        node: Arc<Node>,
        limits: Limits,
    ) -> Self {
        Self {
            name,
            ws_url: config.ws_url,
            headers: config.headers,
            role: config.role,
            node,
            health: Mutex::new(Health::new(limits)),
            proving: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn status(&self, active: bool) -> ProviderStatus {
        let mut health = self.health.lock();
        let (state, since) = health.state_since(Instant::now());
        ProviderStatus {
            name: self.name.clone(),
            url: self.node.redacted_url(),
            role: self.role,
            state,
            active,
            head: health.head,
            latency_ms: health
                .latency
                .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
            last_error: health.last_error.clone(),
            failures: health.failures,
            since,
        }
    }
}
