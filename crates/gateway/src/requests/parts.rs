//! The parts of the gateway that requests use.

use std::sync::Arc;

use super::answers::Answers;
use crate::{
    channel_log::ChannelLog, config::GatewayConfig, deployment::Deployment, hub::Hub,
    observe::GatewayMetrics,
};

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Parts {
    pub config: Arc<GatewayConfig>,
    pub deployment: Arc<Deployment>,
    pub hub: Hub,
    pub log: Arc<dyn ChannelLog>,
    pub metrics: Arc<GatewayMetrics>,
    pub answers: Answers,
}
