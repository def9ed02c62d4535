//! Errors of the bus.

/// A failure of the transport between processes. The updates themselves are safe in the store.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Redis does not answer, or not as Redis: a retry may help.
    #[error("cannot reach Redis at {url}: {reason}; is it running, and is bus.redis_url correct?")]
    Redis {
        /// Scheme, host and port, without user and password.
        url: String,
        /// What the client reports.
        reason: String,
    },
    /// Redis answers but refuses the user or the password, or its certificate is not trusted. A retry does not help.
    #[error("cannot use Redis at {url}: {reason}")]
    RedisRefused {
        /// Scheme, host and port, without user and password.
        url: String,
        /// What the client reports, and what to change.
        reason: String,
    },
    /// `bus.redis_url` is not a URL of Redis, or the client cannot use its TLS settings; the client's message.
    #[error("invalid bus.redis_url: {0}")]
    RedisUrl(String),
    /// The file `bus.redis_ca` cannot be used.
    #[error("cannot use the certificate file {path} (bus.redis_ca): {reason}")]
    CaFile {
        /// As configured.
        path: String,
        /// Why it cannot be read, or that it has no certificate.
        reason: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] chaincast_store::StoreError),
}
