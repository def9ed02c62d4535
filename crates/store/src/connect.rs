//! Connects to the database, and applies its migrations.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{ConnectOptions, Connection, PgPool, postgres::PgConnectOptions};

use super::{
    Loading, MIGRATIONS, Store, StoreConfig, StoreError, alert_deliveries, certificates, dedicated,
    pool, read_pool::ReadPool, writer::LeaseKeeper, writers,
};
use chaincast_base::tls;

/// Connections for the bus and the gateway.
pub const LIVE_CONNECTIONS: u32 = 4;
/// Added to the database's own statement timeout, for the network round trip.
const SLACK: Duration = Duration::from_secs(2);
/// How long a writing process waits at start for a standby to be promoted, and how often it checks.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(30);
const PRIMARY_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl Store {
    /// Connects and reads the epoch. Applies pending migrations first if `auto_migrate` is set.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        metrics::describe_counter!(
            "chaincast_store_unknown_channels_total",
            "Channels in the database whose names this version does not know"
        );
        metrics::counter!("chaincast_store_unknown_channels_total").increment(0);
        alert_deliveries::describe();
        pool::describe();
        writers::describe();
        let options = Self::connect_options(config)?;
        if config.auto_migrate {
            Self::migrate(config).await?;
        } else {
            Self::refuse_pooler(config, &options).await?;
        }
        let settings = pool::session_settings(config);
        let live = pool::checked_pool(
            options.clone(),
            settings.clone(),
            LIVE_CONNECTIONS,
            config.acquire_timeout_ms,
        );
        let pool = Self::connect_pool(config, options.clone(), settings).await?;
        let epoch = sqlx::query_scalar::<_, String>("SELECT value FROM meta WHERE key = 'epoch'")
            .fetch_one(&pool)
            .await
            .map_err(StoreError::not_migrated)?;
        let (reads, live_reads) = match Self::connect_read_pools(config, &epoch).await? {
            Some(shared) => shared,
            None => (
                ReadPool::direct(pool.clone()),
                ReadPool::direct(live.clone()),
            ),
        };
        Ok(Self {
            pool,
            live,
            reads,
            live_reads,
            read_timeout: Duration::from_millis(config.statement_timeout_ms) + SLACK,
            standbys: Arc::default(),
            keeper: Arc::new(LeaseKeeper::new(options.clone())),
            lease: Duration::from_millis(config.lease_ms),
            options,
            epoch: epoch.into(),
            ticks_retention: (config.ticks_retention_days > 0)
                .then(|| Duration::from_secs(u64::from(config.ticks_retention_days) * 86_400)),
            loading: Loading {
                defer_indexes_blocks: config.defer_indexes_blocks,
                index_memory_bytes: config.index_memory_bytes,
                defer_stalled: Duration::from_millis(config.defer_stalled_ms),
                index_watch: Duration::from_millis(config.index_watch_ms),
            },
        })
    }

    /// Like [`Self::connect`], for a process that writes. Fails where transactions are read-only: immediately if
    /// `default_transaction_read_only` is on, after 30 s if the server is a standby that is not promoted. If the
    /// database becomes read-only later, writers retry until it accepts writes.
    pub async fn connect_for_writing(config: &StoreConfig) -> Result<Self, StoreError> {
        Self::refuse_pooler(config, &Self::connect_options(config)?).await?;
        Self::await_primary(config).await?;
        Self::connect(config).await
    }

    async fn await_primary(config: &StoreConfig) -> Result<(), StoreError> {
        let deadline = tokio::time::Instant::now() + FAILOVER_TIMEOUT;
        let mut waited = false;
        loop {
            let error = match Self::refuse_read_only(config).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // During a failover the server may also be unreachable for a moment.
            let may_pass =
                matches!(error, StoreError::Standby(_)) || waited && error.is_transient();
            if !may_pass || tokio::time::Instant::now() >= deadline {
                return Err(error);
            }
            if !std::mem::replace(&mut waited, true) {
                tracing::warn!(%error, within_s = FAILOVER_TIMEOUT.as_secs(), "the database is read-only; waiting for \
                     a promotion");
            }
            tokio::time::sleep(PRIMARY_POLL_INTERVAL).await;
        }
    }

    /// Fails when new transactions are read-only: on a standby, or because of `default_transaction_read_only`.
    pub async fn refuse_read_only(config: &StoreConfig) -> Result<(), StoreError> {
        let options = Self::connect_options(config)?;
        let timeout = Duration::from_millis(config.acquire_timeout_ms);
        let name = &config.url_name;
        let failed = |error| StoreError::unreachable_by(name, &options, error);
        match tokio::time::timeout(timeout, dedicated::refuse_read_only(&options, name, failed))
            .await
        {
            Ok(refused) => refused,
            Err(_) => Err(failed(sqlx::Error::PoolTimedOut)),
        }
    }

    /// Applies pending migrations and returns the resulting schema version.
    pub async fn migrate(config: &StoreConfig) -> Result<i64, StoreError> {
        let options = Self::connect_options(config)?;
        Self::refuse_pooler(config, &options).await?;
        Self::refuse_read_only(config).await?;
        Self::refuse_inapplicable(config).await?;
        let pool = Self::connect_pool(config, options, String::new()).await?;
        MIGRATIONS.run(&pool).await?;
        pool.close().await;
        Ok(MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or(0))
    }

    pub(super) fn connect_options(config: &StoreConfig) -> Result<PgConnectOptions, StoreError> {
        tls::install_provider();
        certificates::check(config.url.expose())?;
        let options = PgConnectOptions::from_str(config.url.expose())
            .map_err(|error| StoreError::Url(error.to_string()))?;
        // Poolers reject startup parameters that they do not track. Floats are never read as text, so
        // `extra_float_digits` is not needed.
        Ok(options
            .application_name("chaincast")
            .extra_float_digits(None))
    }

    pub(super) async fn refuse_pooler(
        config: &StoreConfig,
        options: &PgConnectOptions,
    ) -> Result<(), StoreError> {
        let timeout = Duration::from_millis(config.acquire_timeout_ms);
        let failed = |error| StoreError::unreachable_by(&config.url_name, options, error);
        match tokio::time::timeout(timeout, dedicated::refuse_pooler(options, failed)).await {
            Ok(refused) => refused,
            Err(_) => Err(failed(sqlx::Error::PoolTimedOut)),
        }
    }

    /// The read pools of `database.reader_url`, if it is set: one for REST, one for the bus and the gateway. It must
    /// lead to the same database: the gateway would miss updates on a replica that lags.
    async fn connect_read_pools(
        config: &StoreConfig,
        epoch: &str,
    ) -> Result<Option<(ReadPool, ReadPool)>, StoreError> {
        if config.reader_url.is_empty() {
            return Ok(None);
        }
        certificates::check(config.reader_url.expose())?;
        let options = PgConnectOptions::from_str(config.reader_url.expose())
            .map_err(|error| StoreError::ReaderUrl(format!("is not a Postgres URL: {error}")))?
            .application_name("chaincast")
            .extra_float_digits(None)
            .statement_cache_capacity(0);
        let of = |connections: u32| {
            let (options, timeout) = (options.clone(), config.acquire_timeout_ms);
            let pool = pool::checked_pool(options, String::new(), connections, timeout);
            ReadPool::pooled(pool, config.statement_timeout_ms)
        };
        let (reads, live) = (of(config.max_connections), of(LIVE_CONNECTIONS));
        let answer = sqlx::query_as::<_, (String, bool)>(
            "SELECT value, pg_is_in_recovery() FROM meta WHERE key = 'epoch'",
        )
        .fetch_one(&reads);
        match answer.await {
            Ok((found, false)) if found == epoch => Ok(Some((reads, live))),
            Ok((_, true)) => Err(StoreError::ReaderUrl(
                "leads to a replica, which lags, so the gateway would miss updates; point it at the server of \
                 database.url, through a pooler"
                    .to_owned(),
            )),
            Ok(_) => Err(StoreError::ReaderUrl(
                "leads to a different database than database.url".to_owned(),
            )),
            Err(error) => {
                let url = "database.reader_url";
                Err(StoreError::unreachable_by(url, &options, error))
            }
        }
    }

    pub(super) async fn connect_pool(
        config: &StoreConfig,
        options: PgConnectOptions,
        settings: String,
    ) -> Result<PgPool, StoreError> {
        let timeout = Duration::from_millis(config.acquire_timeout_ms);
        let failed = |error| StoreError::unreachable_by(&config.url_name, &options, error);
        // A pool retries until its timeout and then reports only the timeout. A single connection reports the cause
        // immediately.
        let connection = match tokio::time::timeout(timeout, options.connect()).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_) => return Err(failed(sqlx::Error::PoolTimedOut)),
        };
        connection.close().await?;
        Ok(pool::checked_pool(
            options,
            settings,
            config.max_connections,
            config.acquire_timeout_ms,
        ))
    }
}
