use serde::Deserialize;

use crate::model::Secret;

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/name`
    pub url: Secret,
    /// Where `url` was set, for errors: the key, or the environment variable that overrides it.
    #[serde(skip)]
    pub url_name: String,
    /// The same database through a pooler, for readers; readers use `url` if it is empty.
    pub reader_url: Secret,
    /// Connections in the shared pool; each writer uses one more.
    pub max_connections: u32,
    /// Timeout for getting a connection, in ms.
    pub acquire_timeout_ms: u64,
    /// Timeout of a reader's statement, in ms.
    pub statement_timeout_ms: u64,
    /// Duration of a writer's lease, in ms: a standby replaces a writer that does not renew it in time.
    pub lease_ms: u64,
    /// Updates older than this are deleted, in hours; 0 keeps all. Clients cannot resume from deleted updates.
    pub updates_retention_hours: u32,
    /// Maximum number of updates kept per channel, the newest; for a user's channel `alert_history` applies.
    pub updates_per_channel: u32,
    /// Dropped blocks are deleted this long after their height became final, in hours; 0 keeps all.
    pub dropped_retention_hours: u32,
    /// Unacknowledged deliveries, and alerts that fired once, are deleted after this, in hours; 0 keeps them up to
    /// `alert_history`.
    pub alert_retention_hours: u32,
    /// Unacknowledged deliveries, and alerts that fired once, kept per user: the newest ones.
    pub alert_history: u32,
    /// Ticks observed more than this many days ago are deleted, in whole days (UTC); 0 keeps all.
    pub ticks_retention_days: u32,
    /// Prices published more than this many days ago are deleted, but never a token's newest; 0 keeps all.
    pub prices_retention_days: u32,
    /// Candles of 1m, 5m and 15m older than this are deleted, in days; 0 keeps all. Longer ones are always kept.
    pub candles_retention_days: u32,
    /// A load of at least this many blocks drops secondary indexes and rebuilds them after it; 0 never does.
    pub defer_indexes_blocks: u64,
    /// If a load stores nothing for this long, its indexes are rebuilt, in ms.
    pub defer_stalled_ms: u64,
    /// Memory that Postgres may use to build an index, in bytes.
    pub index_memory_bytes: u64,
    /// How often another connection checks that Postgres still works on an index build, in ms.
    pub index_watch_ms: u64,
    /// Whether to apply pending migrations at start.
    pub auto_migrate: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            url_name: "database.url".to_owned(),
            reader_url: Secret::default(),
            max_connections: 10,
            acquire_timeout_ms: 5_000,
            statement_timeout_ms: 15_000,
            lease_ms: 5_000,
            updates_retention_hours: 168,
            updates_per_channel: 100_000,
            dropped_retention_hours: 168,
            alert_retention_hours: 720,
            alert_history: 1_000,
            ticks_retention_days: 30,
            prices_retention_days: 90,
            candles_retention_days: 365,
            defer_indexes_blocks: 20_000,
            defer_stalled_ms: 600_000,
            index_memory_bytes: 256 << 20,
            index_watch_ms: 30_000,
            auto_migrate: true,
        }
    }
}
