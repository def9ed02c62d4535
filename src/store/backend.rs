//! Whether Postgres still works for a connection that waits for an answer, asked on another connection.

use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{Store, StoreError};

/// What a server process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// A statement.
    Work,
    /// Nothing since then: it waits for its client.
    Nothing { since: String },
    /// It is no more.
    Gone,
}

/// The server process of a connection, as Postgres numbers it.
pub async fn process_of(connection: &mut PgConnection) -> Result<i32, StoreError> {
    Ok(sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?)
}

impl Store {
    /// What a server process of this database does, asked on a connection of its own: those of the readers may all be
    /// in use. Has no limit of time itself.
    pub async fn doing(&self, process: i32) -> Result<Doing, StoreError> {
        let connected = self.options.connect().await;
        let mut connection =
            connected.map_err(|error| StoreError::unreachable(&self.options, error))?;
        let row: Option<(Option<String>, Option<String>)> =
            sqlx::query_as("SELECT state, state_change::text FROM pg_stat_activity WHERE pid = $1")
                .bind(process)
                .fetch_optional(&mut connection)
                .await?;
        connection.close().await?;
        Ok(match row {
            None => Doing::Gone,
            Some((Some(state), since)) if state.starts_with("idle") => Doing::Nothing {
                since: since.unwrap_or_default(),
            },
            // A server that does not track what it does says neither.
            Some(_) => Doing::Work,
        })
    }
}
