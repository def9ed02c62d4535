//! The right to write one stream: an advisory lock on the very connection that writes, and a lease on it.
//!
//! The lock keeps two from writing, whatever their clocks say: a process that loses the connection has lost the lock. It
//! is free at once when the process dies. A process that hangs, or that the network cut off from the server, keeps its
//! connection, so that each holder also has a [lease], which a [keeper] renews on another connection. A
//! [standby] that sees an expired lease ends the holder's connection first, and only then gets the lock: what the
//! old holder sends after that meets no session. Each transaction checks the term besides (`hold_lease`), so that even a
//! proxy that mixes sessions lets only one write.

mod keeper;
mod lease;
mod standby;

pub(super) use keeper::Keeper;
pub use lease::Lease;

use std::time::Duration;

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use self::standby::Standby;
use super::{Store, StoreError, direct};
use crate::model::ChainId;

/// The streams that have one writer each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Chain(ChainId),
    Prices,
}

/// Namespace of our advisory locks: "chai" in ASCII.
const LOCK_SPACE: i64 = 0x6368_6169 << 32;
/// How often a standby looks for the lock.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What `hold_lease` fails with.
const NOT_THE_HOLDER: &str = "CC001";

impl Stream {
    fn key(self) -> i64 {
        match self {
            // Ids above 2^31 share keys at worst: two chains would then exclude each other, never corrupt.
            Self::Chain(id) => LOCK_SPACE | (((id & 0x7fff_ffff) as i64) << 1),
            Self::Prices => LOCK_SPACE | 1,
        }
    }

    /// As in the table of leases, `/readyz` and metrics.
    pub fn name(self) -> String {
        match self {
            Self::Chain(id) => format!("chain:{id}"),
            Self::Prices => "prices".to_owned(),
        }
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chain(id) => write!(f, "chain {id}"),
            Self::Prices => f.write_str("the price feed"),
        }
    }
}

/// A connection that holds a stream's lock for as long as it lives. Transactions of the stream's writer run on it,
/// so a writer that lost its connection cannot write, and no other can before the server ended that session.
pub struct Writer {
    connection: PgConnection,
    lease: Lease,
}

impl Writer {
    /// Takes the lock and a new term of the lease. Fails with [`StoreError::Locked`] at once when another process has
    /// them, or a writer of this one; who calls again, every [`LOOK_EVERY`], gets them soon after that process died, hung
    /// or was cut off. Fails with [`StoreError::StillHeld`] while the server has not ended a session of this process that
    /// is over, such as one that waits for its disk.
    pub async fn acquire(store: &Store, stream: Stream) -> Result<Self, StoreError> {
        let mut standby = match store.keeper.take_standby(stream) {
            Some(standby) => standby,
            None => {
                Standby::new(direct::connect(&store.options, store.lease, &stream.name()).await?)
            }
        };
        let taken = standby.look(store, stream).await;
        match taken {
            Ok(taken) => Ok(Self {
                connection: standby.into_connection(),
                lease: store.keeper.hold(stream, taken),
            }),
            Err(error) => {
                metrics::gauge!("chaincast_store_writer_active", "stream" => stream.name())
                    .set(0.0);
                // Its connection serves the next look as well.
                if matches!(
                    error,
                    StoreError::Locked(_) | StoreError::StillHeld(_) | StoreError::Stuck(_)
                ) {
                    store.keeper.put_standby(stream, standby);
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

    /// The locked connection, for reads that belong to the writer.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// How long this process may write.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether another session looks for the lock: a standby, or a backfill.
    pub async fn is_waited_for(&mut self) -> Result<bool, StoreError> {
        // Every role may see the names of others' sessions.
        let is_waited_for = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'chaincast ' || $1 AND pid <> pg_backend_pid())",
        )
        .bind(self.lease.stream().name())
        .fetch_one(&mut self.connection)
        .await?;
        Ok(is_waited_for)
    }

    /// Gives the lock back.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}
