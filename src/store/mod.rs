//! Postgres: the truth that everything else is announced from. All SQL of the crate lives here, a file an aggregate.
//!
//! Writers use one dedicated connection each (see [`writer::Writer`]), so that losing the connection loses the lock
//! and nobody writes without it. All others share pools: [`Store::pool`] of the server itself, where what needs more than
//! one statement runs in a transaction of [`Store::begin`], and those of `readers`, which may go through a pooler.

pub mod alert_deliveries;
pub mod alert_firing;
pub mod alerts;
pub mod backend;
pub mod candles;
mod certificates;
pub mod chain;
mod channel_audit;
mod config;
pub mod contracts;
mod direct;
mod error;
mod pending;
mod pool;
pub mod pool_logs;
pub mod price_clock;
pub mod price_pasts;
pub mod prices;
pub mod read;
mod readers;
mod reset;
mod retention;
pub mod ticks;
pub mod token_contracts;
pub mod tokens;
pub mod updates;
pub mod watches;
pub mod writer;
pub mod writers;

pub use config::StoreConfig;
pub use error::StoreError;

use std::{str::FromStr, time::Duration};

use sqlx::{ConnectOptions, Connection, PgPool, migrate::Migrator, postgres::PgConnectOptions};

use crate::tls;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The statements of a migration, by what its file is called after the number.
#[cfg(test)]
pub(crate) fn migration(name: &str) -> &'static str {
    let found = MIGRATIONS.iter().find(|one| one.description == name);
    &found.expect("a migration of that name").sql
}

/// Connections for the bus and the gateway.
pub const LIVE_CONNECTIONS: u32 = 4;
/// Beyond the database's own limit, for the way there and back.
const SLACK: Duration = Duration::from_secs(2);
/// How long a process that writes waits at start for a standby to be promoted, and how often it looks.
const FAIL_OVER: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A database that does not answer must not keep the process from ending.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A connected, migrated database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    /// For the bus and the gateway alone, so that slow pages of REST cannot hold up what is live.
    live: PgPool,
    /// As `pool` and `live`, for queries that only read.
    reads: readers::Readers,
    live_reads: readers::Readers,
    /// How long a live read may take.
    patience: Duration,
    options: PgConnectOptions,
    epoch: std::sync::Arc<str>,
    loading: Loading,
    ticks_retention: Option<Duration>,
    /// How long a writer of this process may write without renewing its lease.
    lease: Duration,
    keeper: std::sync::Arc<writer::Keeper>,
}

/// How large loads are stored.
#[derive(Debug, Clone, Copy)]
pub struct Loading {
    /// See [`StoreConfig::defer_indexes_blocks`].
    pub defer_indexes_blocks: u64,
    /// See [`StoreConfig::index_memory_bytes`].
    pub index_memory_bytes: u64,
    /// See [`StoreConfig::defer_stalled_ms`].
    pub defer_stalled: Duration,
    /// See [`StoreConfig::index_watch_ms`].
    pub index_watch: Duration,
}

impl Store {
    /// Connects and reads the epoch; applies pending migrations first when the config says so.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        metrics::describe_counter!(
            "chaincast_store_unknown_channels_total",
            "Channels in the database with a name that this version does not know"
        );
        metrics::counter!("chaincast_store_unknown_channels_total").increment(0);
        alert_deliveries::describe();
        pool::describe();
        writers::describe();
        let options = Self::options_of(config)?;
        if config.auto_migrate {
            Self::migrate(config).await?;
        } else {
            Self::refuse_pooler(config, &options).await?;
        }
        let settings = pool::reader(config);
        let live = pool::guarded(
            options.clone(),
            settings.clone(),
            LIVE_CONNECTIONS,
            config.acquire_timeout_ms,
        );
        let pool = Self::pool_of(config, options.clone(), settings).await?;
        let epoch = sqlx::query_scalar::<_, String>("SELECT value FROM meta WHERE key = 'epoch'")
            .fetch_one(&pool)
            .await
            .map_err(StoreError::not_migrated)?;
        let (reads, live_reads) = match Self::readers_of(config, &epoch).await? {
            Some(shared) => shared,
            None => (
                readers::Readers::direct(pool.clone()),
                readers::Readers::direct(live.clone()),
            ),
        };
        Ok(Self {
            pool,
            live,
            reads,
            live_reads,
            patience: Duration::from_millis(config.statement_timeout_ms) + SLACK,
            keeper: std::sync::Arc::new(writer::Keeper::new(options.clone())),
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

    /// As [`Self::connect`], for a process that writes: fails where no transaction may write, at once by
    /// `default_transaction_read_only`, after 30 s on a standby that is not promoted. A database that stops to take writes
    /// later is waited for.
    pub async fn connect_for_writing(config: &StoreConfig) -> Result<Self, StoreError> {
        Self::refuse_pooler(config, &Self::options_of(config)?).await?;
        Self::await_primary(config).await?;
        Self::connect(config).await
    }

    async fn await_primary(config: &StoreConfig) -> Result<(), StoreError> {
        let deadline = tokio::time::Instant::now() + FAIL_OVER;
        let mut waited = false;
        loop {
            let error = match Self::refuse_read_only(config).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // Once it fails over it may also be away for a moment.
            let may_pass =
                matches!(error, StoreError::Standby(_)) || waited && error.is_transient();
            if !may_pass || tokio::time::Instant::now() >= deadline {
                return Err(error);
            }
            if !std::mem::replace(&mut waited, true) {
                tracing::warn!(%error, within_s = FAIL_OVER.as_secs(), "waiting for a database that takes writes");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Fails when new transactions may not write: on a standby, or by `default_transaction_read_only`.
    pub async fn refuse_read_only(config: &StoreConfig) -> Result<(), StoreError> {
        let options = Self::options_of(config)?;
        let patience = Duration::from_millis(config.acquire_timeout_ms);
        let name = &config.url_name;
        let failed = |error| StoreError::unreachable_by(name, &options, error);
        match tokio::time::timeout(patience, direct::refuse_read_only(&options, name, failed)).await
        {
            Ok(refused) => refused,
            Err(_) => Err(failed(sqlx::Error::PoolTimedOut)),
        }
    }

    /// Applies pending migrations; returns the version that the database is at.
    pub async fn migrate(config: &StoreConfig) -> Result<i64, StoreError> {
        let options = Self::options_of(config)?;
        Self::refuse_pooler(config, &options).await?;
        Self::refuse_read_only(config).await?;
        Self::refuse_inapplicable(config).await?;
        let pool = Self::pool_of(config, options, String::new()).await?;
        MIGRATIONS.run(&pool).await?;
        pool.close().await;
        Ok(MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or(0))
    }

    fn options_of(config: &StoreConfig) -> Result<PgConnectOptions, StoreError> {
        tls::install_provider();
        certificates::check(config.url.expose())?;
        let options = PgConnectOptions::from_str(config.url.expose())
            .map_err(|error| StoreError::Url(error.to_string()))?;
        // Poolers take no startup parameter that they do not keep themselves; floats are never read as text.
        Ok(options
            .application_name("chaincast")
            .extra_float_digits(None))
    }

    async fn refuse_pooler(
        config: &StoreConfig,
        options: &PgConnectOptions,
    ) -> Result<(), StoreError> {
        let patience = Duration::from_millis(config.acquire_timeout_ms);
        let failed = |error| StoreError::unreachable_by(&config.url_name, options, error);
        match tokio::time::timeout(patience, direct::refuse_pooler(options, failed)).await {
            Ok(refused) => refused,
            Err(_) => Err(failed(sqlx::Error::PoolTimedOut)),
        }
    }

    /// Those of `database.reader_url`, if it is set: of REST, and of the bus and the gateway. It must lead to the same
    /// database, as the gateway would miss updates in one that is behind.
    async fn readers_of(
        config: &StoreConfig,
        epoch: &str,
    ) -> Result<Option<(readers::Readers, readers::Readers)>, StoreError> {
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
            let (options, patience) = (options.clone(), config.acquire_timeout_ms);
            let pool = pool::guarded(options, String::new(), connections, patience);
            readers::Readers::shared(pool, config.statement_timeout_ms)
        };
        let (reads, live) = (of(config.max_connections), of(LIVE_CONNECTIONS));
        let answer = sqlx::query_as::<_, (String, bool)>(
            "SELECT value, pg_is_in_recovery() FROM meta WHERE key = 'epoch'",
        )
        .fetch_one(&reads);
        match answer.await {
            Ok((found, false)) if found == epoch => Ok(Some((reads, live))),
            Ok((_, true)) => Err(StoreError::ReaderUrl(
                "leads to a replica: it lags, and the gateway would miss updates; let it lead to the server that \
                 database.url names, through a pooler"
                    .to_owned(),
            )),
            Ok(_) => Err(StoreError::ReaderUrl(
                "leads to another database than database.url".to_owned(),
            )),
            Err(error) => {
                let url = "database.reader_url";
                Err(StoreError::unreachable_by(url, &options, error))
            }
        }
    }

    async fn pool_of(
        config: &StoreConfig,
        options: PgConnectOptions,
        settings: String,
    ) -> Result<PgPool, StoreError> {
        let patience = Duration::from_millis(config.acquire_timeout_ms);
        let failed = |error| StoreError::unreachable_by(&config.url_name, &options, error);
        // A pool retries until its time is over and then only says so; one connection tells the reason at once.
        let connection = match tokio::time::timeout(patience, options.connect()).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_) => return Err(failed(sqlx::Error::PoolTimedOut)),
        };
        connection.close().await?;
        Ok(pool::guarded(
            options,
            settings,
            config.max_connections,
            config.acquire_timeout_ms,
        ))
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How large loads are stored.
    pub fn loading(&self) -> Loading {
        self.loading
    }

    /// How long ticks are kept; for ever when none.
    pub fn ticks_retention(&self) -> Option<Duration> {
        self.ticks_retention
    }

    /// The id under which seqs of this database mean something.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Closes the connections, waiting a while for those in use.
    pub async fn close(&self) {
        self.keeper.close();
        let closing = async {
            tokio::join!(
                self.pool.close(),
                self.live.close(),
                self.reads.close(),
                self.live_reads.close()
            )
        };
        if tokio::time::timeout(CLOSE_PATIENCE, closing).await.is_err() {
            tracing::warn!("database connections in use were abandoned");
        }
    }
}
