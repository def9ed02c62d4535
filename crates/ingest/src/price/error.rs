//! Errors of the price writer.

use std::time::Duration;

use chaincast_store::StoreError;

/// An error that keeps prices from being written.
#[derive(Debug, thiserror::Error)]
pub enum PriceIngestError {
    /// The database failed.
    #[error("cannot write prices: {0}")]
    Store(#[from] StoreError),
    /// The database did not answer within this time. Whether a commit was applied is unknown.
    #[error("cannot write prices: the database did not answer within {0:?}")]
    Timeout(Duration),
}

impl PriceIngestError {
    /// Whether another process writes prices.
    pub(super) fn is_standby(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Locked(_) | StoreError::Stuck(_))
        )
    }

    /// Whether a retry cannot fix it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_transient(),
            Self::Timeout(_) => false,
        }
    }
}
