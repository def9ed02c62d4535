//! The clock offset of the process that writes prices, as measured against all venues.

use sqlx::PgConnection;

use super::{Store, StoreError};

/// A stored clock offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOff {
    /// Positive if the clock is ahead of the venues, negative if it is behind.
    pub off_ms: i64,
    /// In ms since the Unix epoch, by the database's clock.
    pub since: i64,
}

/// Stores the clock offset; `None` deletes it.
pub async fn record(connection: &mut PgConnection, off_ms: Option<i64>) -> Result<(), StoreError> {
    let sql = match off_ms {
        Some(_) => {
            "INSERT INTO price_clock (off_ms) VALUES ($1) ON CONFLICT (one) DO UPDATE SET off_ms = excluded.off_ms"
        }
        None => "DELETE FROM price_clock WHERE $1::bigint IS NULL",
    };
    sqlx::query(sql).bind(off_ms).execute(connection).await?;
    Ok(())
}

impl Store {
    /// The stored clock offset; `None` if none is known.
    pub async fn read_price_clock(&self) -> Result<Option<ClockOff>, StoreError> {
        let row: Option<(i64, i64)> = sqlx::query_as(
            "SELECT off_ms, (extract(epoch FROM since) * 1000)::bigint FROM price_clock",
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(off_ms, since)| ClockOff { off_ms, since }))
    }
}
