//! Checks, on another connection, whether Postgres still works for a connection that waits for a response.

use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{Store, StoreError};

/// Activity of a server process (backend).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendActivity {
    /// It runs a statement.
    Active,
    /// Idle since then: it waits for its client.
    Idle {
        /// Time of its last change of state, in Postgres' text form; empty if Postgres does not show it.
        since: String,
    },
    /// It has ended.
    Ended,
}

/// The process id of a connection's backend.
pub async fn backend_pid(connection: &mut PgConnection) -> Result<i32, StoreError> {
    Ok(sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?)
}

impl Store {
    /// The activity of a backend, queried on a new connection: the pool may be exhausted. Has no timeout of its own.
    pub async fn backend_activity(&self, process: i32) -> Result<BackendActivity, StoreError> {
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
            None => BackendActivity::Ended,
            Some((Some(state), since)) if state.starts_with("idle") => BackendActivity::Idle {
                since: since.unwrap_or_default(),
            },
            // With `track_activities` off the state is null.
            Some(_) => BackendActivity::Active,
        })
    }
}
