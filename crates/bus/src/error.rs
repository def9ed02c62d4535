//! Errors of the bus.

/// A failure of the transport between processes. The updates themselves are safe in the store.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("cannot reach Redis at {url}: {reason}; is it running, and is bus.redis_url correct?")]
    Redis { url: String, reason: String },
    /// Permanent: a retry does not help.
    #[error("cannot use Redis at {url}: {reason}")]
    RedisRefused { url: String, reason: String },
    #[error("invalid bus.redis_url: {0}")]
    RedisUrl(String),
    #[error("cannot use the certificate file {path} (bus.redis_ca): {reason}")]
    CaFile { path: String, reason: String },
    #[error(transparent)]
    Store(#[from] chaincast_store::StoreError),
}
