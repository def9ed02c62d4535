//! Rejected joins of Socket.IO clients.

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, Refusal};

/// Why a Socket.IO client could not join the namespace: the payload of `connect_error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectError {
    /// Omitted for an unknown namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<ConnectErrorData>,
    /// For people.
    pub message: String,
}

/// The part of a refusal that is for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConnectErrorData {
    /// Why the join was refused.
    pub code: ErrorCode,
    /// Delay before the same request can succeed, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ConnectError {
    /// The namespace does not exist: the exact message of the reference server.
    pub fn unknown_namespace() -> Self {
        Self {
            data: None,
            message: "Invalid namespace".to_owned(),
        }
    }
}

impl From<&Refusal> for ConnectError {
    fn from(refusal: &Refusal) -> Self {
        Self {
            data: Some(ConnectErrorData {
                code: refusal.code,
                retry_after_ms: refusal.retry_after_ms,
            }),
            message: refusal.message.clone(),
        }
    }
}
