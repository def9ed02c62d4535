//! Why a message was not published.

use std::sync::Arc;

use chaincast_store::StoreError;

/// Why a message was not published. One failure can concern many messages.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// Too many messages wait to be stored.
    #[error("too many messages wait to be stored; try again in {retry_after_ms} ms")]
    QueueFull {
        /// Delay before the message should be sent again.
        retry_after_ms: u64,
    },
    /// Nothing was stored.
    #[error("the message cannot be stored now: {0}")]
    Failed(Arc<StoreError>),
    /// The connection to the database was lost during the commit, and repeating it could store the message twice, or did
    /// not succeed in time.
    #[error(
        "the message may be stored or not, because the database was lost during its commit: {0}"
    )]
    Unknown(Arc<StoreError>),
    /// This process shuts down. Nothing was stored.
    #[error("the server is shutting down")]
    Closed,
}
