//! What all sessions have in common.

use std::sync::Arc;

use chaincast_rooms::MessagesConfig;

use super::outbox::BacklogTotal;
use crate::{
    clock::Clock,
    config::{GatewayConfig, LimitsConfig},
    observe::GatewayMetrics,
};

/// See the module's description.
pub struct Shared {
    pub clock: Clock,
    pub limits: LimitsConfig,
    pub messages: MessagesConfig,
    pub metrics: Arc<GatewayMetrics>,
    pub backlog_total: Arc<BacklogTotal>,
}

impl Shared {
    pub fn new(config: &GatewayConfig) -> Self {
        Self {
            clock: Clock::start(),
            limits: config.limits.clone(),
            messages: config.messages.clone(),
            metrics: Arc::new(GatewayMetrics::new()),
            backlog_total: BacklogTotal::new(config.backlog_total_bytes),
        }
    }
}
