//! One of the nodes of a chain, with how it does.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    ProviderConfig, ProviderState, Role,
    health::{Health, Limits},
};
use crate::{
    model::{BlockRef, Secret},
    source::chain::{Node, NodeHeaders},
};

pub(in crate::source::chain) struct Provider {
    pub(in crate::source::chain) name: String,
    pub(in crate::source::chain) ws_url: Option<Secret>,
    pub(in crate::source::chain) headers: NodeHeaders,
    pub(super) role: Role,
    pub(super) node: Arc<Node>,
    pub(super) health: Mutex<Health>,
    /// Held while it proves which chain it serves, so that it does so once for all who wait.
    pub(super) proving: tokio::sync::Mutex<()>,
}

/// How a provider does; nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    pub name: String,
    /// Scheme, host and port.
    pub url: String,
    pub role: Role,
    pub state: ProviderState,
    /// Whether it is the one whose head is followed.
    pub active: bool,
    pub head: Option<BlockRef>,
    /// Of the last answers, in ms.
    pub latency_ms: Option<u64>,
    pub last_error: Option<String>,
    /// In a row.
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
        let (state, since) = health.shown(Instant::now());
        ProviderStatus {
            name: self.name.clone(),
            url: self.node.shown_url(),
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
