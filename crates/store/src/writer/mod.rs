//! The exclusive right to write one stream: an advisory lock on the connection that writes, and a lease on it.
//!
//! The lock excludes a second writer regardless of clocks: a process that loses the connection has lost the lock, and
//! the lock is released as soon as the process dies. A process that hangs, or that the network cuts off, keeps its
//! connection; so each holder also has a [lease](Lease), which a lease keeper renews on another connection. A standby
//! that finds an expired lease first terminates the holder's Postgres session and only then gets the lock: later
//! statements of the old holder fail. Each transaction also checks the term (`hold_lease`), so that only one process can
//! write even behind a proxy that mixes sessions.

mod lease;
mod lease_keeper;
mod standby;
mod standbys;
mod stream;

pub use lease::Lease;
pub(super) use lease_keeper::LeaseKeeper;
pub(super) use standbys::Standbys;
pub use stream::Stream;

use std::time::Duration;

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use self::standby::Standby;
use super::{Store, StoreError, dedicated};

/// How often a standby tries to acquire the lock.
pub const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// SQLSTATE raised by `hold_lease`.
const NOT_THE_HOLDER: &str = "CC001";

/// A connection that holds a stream's lock for its lifetime. Transactions of the stream's writer run on it, so a writer
/// that lost its connection cannot write, and no other process can before the server has ended that session.
pub struct Writer {
    connection: PgConnection,
    lease: Lease,
}

impl Writer {
    /// Acquires the lock and a new term of the lease. Fails immediately with [`StoreError::Locked`] if another process,
    /// or another writer of this process, holds them. A caller that retries every [`LOCK_RETRY_INTERVAL`] gets them
    /// soon after that process died, hung or was cut off. Fails with [`StoreError::StillHeld`] while the server has not
    /// ended a former session of this process, such as one waiting for its disk.
    pub async fn acquire(store: &Store, stream: Stream) -> Result<Self, StoreError> {
        let mut standby = match store.standbys.take(stream) {
            Some(standby) => standby,
            None => {
                Standby::new(dedicated::connect(&store.options, store.lease, &stream.name()).await?)
            }
        };
        let taken = standby
            .try_acquire(&store.keeper, store.lease, stream)
            .await;
        match taken {
            Ok(taken) => Ok(Self {
                connection: standby.into_connection(),
                lease: store.keeper.hold(stream, taken),
            }),
            Err(error) => {
                metrics::gauge!("chaincast_store_writer_active", "stream" => stream.name())
                    .set(0.0);
                // Reuse its connection for the next attempt.
                if matches!(
                    error,
                    StoreError::Locked(_) | StoreError::StillHeld(_) | StoreError::Stuck(_)
                ) {
                    store.standbys.put(stream, standby);
                }
                Err(error)
            }
        }
    }

    /// Begins a transaction under the lock.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, StoreError> {
        self.lease.check()?;
        let begin = format!(
            "BEGIN; SELECT hold_lease('{}', {})",
            self.lease.stream().name(),
            self.lease.term()
        );
        let begun = self.connection.begin_with(begin).await;
        begun.map_err(|error| match &error {
            sqlx::Error::Database(refused) if refused.code().as_deref() == Some(NOT_THE_HOLDER) => {
                self.lease.lost_to_another()
            }
            _ => StoreError::Database(error),
        })
    }

    /// The connection that holds the lock, for the writer's own reads.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// The lease of this writer.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether another Postgres session waits for the lock: a standby, or a backfill.
    pub async fn has_waiters(&mut self) -> Result<bool, StoreError> {
        // Every role may read the application names of other sessions.
        let has_waiters = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'chaincast ' || $1 AND pid <> pg_backend_pid())",
        )
        .bind(self.lease.stream().name())
        .fetch_one(&mut self.connection)
        .await?;
        Ok(has_waiters)
    }

    /// Releases the lock.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}
