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
    /// The same database through a pooler, for readers; they use `url` when it is empty.
    pub reader_url: Secret,
    /// Connections shared by readers; each writer has one more of its own.
    pub max_connections: u32,
    /// How long a reader waits for a connection, in ms.
    pub acquire_timeout_ms: u64,
    /// How long a reader's statement may take, in ms.
    pub statement_timeout_ms: u64,
    /// A writer that does not renew its lease for this long is replaced by a standby, in ms.
    pub lease_ms: u64,
    /// Updates older than this are deleted, in hours; 0 keeps all. Clients cannot resume from before.
    pub updates_retention_hours: u32,
    /// Of a channel never more than so many are kept, the newest; of a user's no more than `alert_history`.
    pub updates_per_channel: u32,
    /// Blocks that reorgs dropped are deleted this long after their height became final, in hours; 0 keeps all.
    pub dropped_retention_hours: u32,
    /// Fired alerts that nobody acknowledged, and alerts that fired once, are deleted after this, in hours; 0 keeps all
    /// that `alert_history` lets stay.
    pub alert_retention_hours: u32,
    /// Fired alerts that nobody acknowledged, and alerts that fired once: the newest so many a user are kept.
    pub alert_history: u32,
    /// Ticks observed longer ago than this many days are deleted, whole days (UTC) at a time; 0 keeps all.
    pub ticks_retention_days: u32,
    /// Prices announced longer ago than this many days are deleted, but never a token's newest; 0 keeps all.
    pub prices_retention_days: u32,
    /// Candles of 1m, 5m and 15m older than this are deleted, in days; 0 keeps all. Longer ones are always kept.
    pub candles_retention_days: u32,
    /// A load of at least this many blocks leaves secondary indexes out and builds them after it; 0 never does.
    pub defer_indexes_blocks: u64,
    /// A load that stores nothing for this long gets its indexes back, in ms.
    pub defer_stalled_ms: u64,
    /// Memory that Postgres may use to build such an index, in bytes.
    pub index_memory_bytes: u64,
    /// While an index is built, another connection looks this often whether Postgres still works on it, in ms.
    pub index_watch_ms: u64,
    /// Apply pending migrations at start.
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
