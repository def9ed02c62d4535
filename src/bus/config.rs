use std::path::PathBuf;

use serde::Deserialize;

use crate::model::Secret;

/// How committed updates travel between processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    /// Within this process; other processes see updates by polling the store.
    Memory,
    /// Through Redis as well.
    Redis,
}

/// `[bus]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    pub kind: BusKind,
    /// `redis://[:password@]host:port[/db]`, `rediss://` for TLS or `unix:///path`, when kind is `redis`.
    pub redis_url: Secret,
    /// PEM file of the certificate authorities that are trusted for a `rediss://` server; default: the system's.
    pub redis_ca: Option<PathBuf>,
    /// Key that signs messages through Redis; the same in every process of a deployment. Without a key every update is
    /// read from the store.
    pub redis_key: Secret,
    /// Commits queued for a slow hub. A hub that falls further behind reads the rest from the store.
    pub capacity: usize,
    /// Interval at which a hub polls the store for missed updates, in ms.
    pub poll_interval_ms: u64,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            kind: BusKind::Memory,
            redis_url: Secret::default(),
            redis_ca: None,
            redis_key: Secret::default(),
            capacity: 4_096,
            poll_interval_ms: 1_000,
        }
    }
}
