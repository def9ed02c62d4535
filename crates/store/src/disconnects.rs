//! Subjects whose sessions must end, on every gateway.

use std::time::Duration;

use sqlx::Row;

use super::{Store, StoreError};

/// Requests read at once, the newest first.
const MAX_REQUESTS: i64 = 10_000;

/// A request that the sessions of a subject end: those that are at least as old as the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Identifies the request.
    pub id: i64,
    /// Whose sessions end.
    pub subject: String,
    /// Time since the request.
    pub age: Duration,
}

impl Store {
    /// Requests that the present sessions of a subject end. Deletes the requests of more than an hour ago.
    pub async fn disconnect(&self, subject: &str) -> Result<(), StoreError> {
        sqlx::query(
            "WITH old AS (DELETE FROM disconnects WHERE requested_at < now() - interval '1 hour')
             INSERT INTO disconnects (subject) VALUES ($1)",
        )
        .bind(subject)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The requests of the last `within`, the newest first.
    pub async fn disconnects(&self, within: Duration) -> Result<Vec<Disconnect>, StoreError> {
        let query = sqlx::query(
            "SELECT id, subject,
                 greatest(0, extract(epoch FROM clock_timestamp() - requested_at) * 1000)::bigint AS age_ms
             FROM disconnects WHERE requested_at > now() - make_interval(secs => $1 / 1000.0)
             ORDER BY requested_at DESC LIMIT $2",
        )
        .bind(i64::try_from(within.as_millis()).unwrap_or(i64::MAX))
        .bind(MAX_REQUESTS)
        .fetch_all(&self.live_reads);
        let rows = self.with_read_timeout(query).await?;
        let disconnect = |row: &sqlx::postgres::PgRow| {
            Ok(Disconnect {
                id: row.try_get("id")?,
                subject: row.try_get("subject")?,
                age: Duration::from_millis(row.try_get::<i64, _>("age_ms")?.unsigned_abs()),
            })
        };
        rows.iter().map(disconnect).collect()
    }
}
