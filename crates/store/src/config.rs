use chaincast_base::{
    Secret,
    settings::{Problems, settings},
};

const MS_PER_DAY: u64 = 24 * 3_600_000;

settings! {
    /// `[database]`
    pub struct StoreConfig {
        /// URL of the Postgres database. Required; DATABASE_URL sets it as well. Connect to the server itself: a pooler in
        /// transaction mode is rejected, because writers hold locks.
        url: Secret = Secret::default(), example("\"postgres://user:password@host:5432/chaincast\"");
        /// The same database through a pooler, for readers; never a replica. Readers use `url` if it is not set.
        reader_url: Secret = Secret::default(), example("\"postgres://user:password@pooler:6432/chaincast\"");
        /// Connections shared by readers; each writer has one more of its own.
        max_connections: u32 = 10, range(1, 10_000), unit("connections");
        /// Time a reader waits for a connection.
        acquire_timeout_ms: u64 = 5_000, range(100, 600_000);
        /// Time limit of a reader's statement.
        statement_timeout_ms: u64 = 15_000, range(100, 600_000);
        /// A writer that hangs or is disconnected for this long is replaced by a standby; see docs/operations.md.
        lease_ms: u64 = 5_000, range(2_000, 600_000);
        /// Age at which updates are deleted; 0 keeps all. Clients cannot resume from deleted updates.
        updates_retention_hours: u32 = 168;
        /// Most updates kept per channel, the newest; for user:… see `alert_history`.
        updates_per_channel: u32 = 100_000, range(1_000, 1_000_000_000), unit("updates");
        /// Dropped blocks of reorgs are deleted this long after their height is final; 0 keeps all.
        dropped_retention_hours: u32 = 168;
        /// Age at which finished alerts and unacknowledged fired alerts are deleted; 0 keeps them.
        alert_retention_hours: u32 = 720;
        /// Most finished alerts, and most fired alerts, kept per user: the newest.
        alert_history: u32 = 1_000, range(1, 100_000), unit("alerts");
        /// Age in whole days (UTC) at which ticks are deleted; 0 keeps all. At least the longest `max_age_ms` of a source.
        ticks_retention_days: u32 = 30, zero_or(1, 36_500);
        /// Age at which prices are deleted, except a token's newest price; 0 keeps all.
        prices_retention_days: u32 = 90, zero_or(1, 36_500);
        /// Age at which candles of 1m, 5m and 15m are deleted; 0 keeps all. Longer intervals are always kept.
        candles_retention_days: u32 = 365, zero_or(2, 36_500);
        /// A bulk load of at least this many blocks creates its secondary indexes at the end; 0 disables this.
        defer_indexes_blocks: u64 = 20_000, unit("blocks");
        /// Such a load gets its indexes back if it stores nothing for this long.
        defer_stalled_ms: u64 = 600_000, range(1_000, 86_400_000);
        /// Memory of Postgres (maintenance_work_mem) while it builds an index.
        index_memory_bytes: u64 = 256 << 20, range(1 << 20, 64 << 30);
        /// Interval at which another connection checks the progress of an index build.
        index_watch_ms: u64 = 30_000, range(100, 600_000);
        /// Whether to apply pending migrations at start.
        auto_migrate: bool = true;
    }
    with {
        /// Where `url` was set, for errors: the key, or the environment variable that overrides it.
        url_name: String = "database.url".to_owned();
    }
}

impl StoreConfig {
    /// Checks what no key shows by itself; `longest_age_ms` is the longest `max_age_ms` of a price source.
    pub fn check(&self, longest_age_ms: u64, problems: &mut Problems) {
        let is_postgres = |url| Problems::has_scheme(url, &["postgres", "postgresql"]);
        problems.check(
            !self.url.is_empty(),
            "database.url",
            "is missing; set it, or DATABASE_URL, to postgres://user:password@host:port/name",
        );
        problems.check(
            self.url.is_empty() || is_postgres(&self.url),
            "database.url",
            "is not a Postgres URL; use postgres://user:password@host:port/name",
        );
        problems.check(
            self.reader_url.is_empty() || is_postgres(&self.reader_url),
            "database.reader_url",
            "is not a Postgres URL; use postgres://user:password@host:port/name, or leave it out",
        );
        problems.check(
            self.ticks_retention_days == 0
                || u64::from(self.ticks_retention_days) * MS_PER_DAY >= longest_age_ms,
            "database.ticks_retention_days",
            "must be 0, or 1 to 36500 and at least the longest max_age_ms of prices.sources, because ticks of that age are still used",
        );
    }
}
