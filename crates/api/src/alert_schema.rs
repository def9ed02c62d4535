//! Values in requests and answers about alerts.

use serde::Serialize;
use utoipa::ToSchema;

/// On which side of the threshold it fires; both sides include the threshold itself.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the condition of the model to OpenAPI")]
pub(super) enum Side {
    Above,
    Below,
}

/// Whether it fires only once, or again each time after the price has moved back by the hysteresis.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Repeat {
    Once,
    Always,
}
