//! Postgres: the truth that everything else is announced from. All SQL of the crate lives here, a file an aggregate.
//!
//! Writers use one dedicated connection each (see [`writer::Writer`]), so that losing the connection loses the lock
//! and nobody writes without it. Readers share [`Store::pool`]; what needs more than one statement there runs in a
//! transaction of [`Store::begin`].

pub mod alert_deliveries;
pub mod alert_firing;
pub mod alerts;
pub mod backend;
pub mod candles;
mod certificates;
pub mod chain;
mod config;
pub mod contracts;
mod error;
mod pool;
pub mod pool_logs;
pub mod price_clock;
pub mod price_pasts;
pub mod prices;
pub mod read;
mod reset;
mod retention;
pub mod ticks;
pub mod token_contracts;
pub mod tokens;
pub mod updates;
pub mod watches;
pub mod writer;

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
/// A database that does not answer must not keep the process from ending.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A connected, migrated database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    /// For the bus and the gateway alone, so that slow pages of REST cannot hold up what is live.
    live: PgPool,
    /// How long a live read may take.
    patience: Duration,
    options: PgConnectOptions,
    epoch: std::sync::Arc<str>,
    loading: Loading,
    ticks_retention: Option<Duration>,
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
        if config.auto_migrate {
            Self::migrate(config).await?;
        }
        let options = Self::options_of(config)?;
        let readers = pool::reader(options.clone(), config);
        let pool = Self::pool_of(config, readers.clone()).await?;
        let live = pool::guarded(readers, LIVE_CONNECTIONS, config.acquire_timeout_ms);
        let epoch = sqlx::query_scalar::<_, String>("SELECT value FROM meta WHERE key = 'epoch'")
            .fetch_one(&pool)
            .await
            .map_err(StoreError::not_migrated)?;
        Ok(Self {
            pool,
            live,
            patience: Duration::from_millis(config.statement_timeout_ms) + SLACK,
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

    /// Applies pending migrations; returns the version that the database is at.
    pub async fn migrate(config: &StoreConfig) -> Result<i64, StoreError> {
        let pool = Self::pool_of(config, Self::options_of(config)?).await?;
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
        Ok(options.application_name("chaincast"))
    }

    async fn pool_of(
        config: &StoreConfig,
        options: PgConnectOptions,
    ) -> Result<PgPool, StoreError> {
        let patience = Duration::from_millis(config.acquire_timeout_ms);
        // A pool retries until its time is over and then only says so; one connection tells the reason at once.
        let connection = match tokio::time::timeout(patience, options.connect()).await {
            Ok(connected) => connected
                .map_err(|error| StoreError::unreachable_by(&config.url_name, &options, error))?,
            Err(_) => {
                let silent = sqlx::Error::PoolTimedOut;
                return Err(StoreError::unreachable_by(
                    &config.url_name,
                    &options,
                    silent,
                ));
            }
        };
        connection.close().await?;
        Ok(pool::guarded(
            options,
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
        let closing = async { tokio::join!(self.pool.close(), self.live.close()) };
        if tokio::time::timeout(CLOSE_PATIENCE, closing).await.is_err() {
            tracing::warn!("database connections in use were abandoned");
        }
    }
}
