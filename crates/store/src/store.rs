//! The database as one value: its pools, and what all of its users share.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgConnectOptions};

use super::{
    read_pool::ReadPool,
    writer::{LeaseKeeper, Standbys},
};

/// Upper bound on closing connections, so that a database that does not answer cannot block shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connected, migrated database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    /// For the bus and the gateway only, so that slow REST queries cannot delay live delivery.
    pub(crate) live: PgPool,
    /// Like `pool` and `live`, for read-only queries.
    pub(crate) reads: ReadPool,
    pub(crate) live_reads: ReadPool,
    /// Timeout of a live read.
    pub(crate) read_timeout: Duration,
    pub(crate) options: PgConnectOptions,
    pub(crate) epoch: Arc<str>,
    pub(crate) loading: Loading,
    pub(crate) ticks_retention: Option<Duration>,
    /// Duration of a writer's lease: how long it may write without a renewal.
    pub(crate) lease: Duration,
    pub(crate) keeper: Arc<LeaseKeeper>,
    pub(crate) standbys: Arc<Standbys>,
}

/// Settings for storing large loads.
#[derive(Debug, Clone, Copy)]
pub struct Loading {
    /// See [`super::StoreConfig::defer_indexes_blocks`].
    pub defer_indexes_blocks: u64,
    /// See [`super::StoreConfig::index_memory_bytes`].
    pub index_memory_bytes: u64,
    /// See [`super::StoreConfig::defer_stalled_ms`].
    pub defer_stalled: Duration,
    /// See [`super::StoreConfig::index_watch_ms`].
    pub index_watch: Duration,
}

impl Store {
    /// The connections to the server itself.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Settings for storing large loads.
    pub fn loading(&self) -> Loading {
        self.loading
    }

    /// How long ticks are kept; `None` keeps them forever.
    pub fn ticks_retention(&self) -> Option<Duration> {
        self.ticks_retention
    }

    /// The database's epoch. Seqs are comparable only within one epoch.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Closes the connections; waits at most 5 s for those in use.
    pub async fn close(&self) {
        self.standbys.close();
        let closing = async {
            tokio::join!(
                self.pool.close(),
                self.live.close(),
                self.reads.close(),
                self.live_reads.close()
            )
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!("abandoned database connections that were still in use");
        }
    }
}
