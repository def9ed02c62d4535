//! The right to write one stream: an advisory lock on the very connection that writes.

use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Transaction};

use super::{Store, StoreError};
use crate::model::ChainId;

/// The streams that have one writer each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Chain(ChainId),
    Prices,
}

/// Namespace of our advisory locks: "chai" in ASCII.
const LOCK_SPACE: i64 = 0x6368_6169 << 32;

impl Stream {
    fn key(self) -> i64 {
        match self {
            // Ids above 2^31 share keys at worst: two chains would then exclude each other, never corrupt.
            Self::Chain(id) => LOCK_SPACE | (((id & 0x7fff_ffff) as i64) << 1),
            Self::Prices => LOCK_SPACE | 1,
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
/// so a writer that lost its connection cannot write, and no other can until the server has let go of the lock.
pub struct Writer {
    connection: PgConnection,
}

impl Writer {
    /// Takes the lock, or fails with [`StoreError::Locked`] at once when another process has it.
    pub async fn acquire(store: &Store, stream: Stream) -> Result<Self, StoreError> {
        let mut connection = store
            .options
            .connect()
            .await
            .map_err(|error| StoreError::unreachable(&store.options, error))?;
        let locked = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
            .bind(stream.key())
            .fetch_one(&mut connection)
            .await?;
        if locked {
            Ok(Self { connection })
        } else {
            Err(StoreError::Locked(stream.to_string()))
        }
    }

    /// Begins a transaction under the lock.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, StoreError> {
        Ok(self.connection.begin().await?)
    }

    /// The locked connection, for reads that belong to the writer.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Gives the lock back.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}
