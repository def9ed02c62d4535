//! Columns that alerts and their deliveries have in common.

use chrono::{DateTime, Utc};
use sqlx::{Row, postgres::PgRow};

use super::StoreError;
use chaincast_protocol::{AlertCondition, Token};

/// Converts a time in ms for the database.
pub(super) fn timestamptz(ms: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(ms).ok_or_else(|| {
        StoreError::Conflict(format!(
            "an alert fired at {ms} ms, which is not a valid time"
        ))
    })
}

/// The token of a row's alert.
pub(super) fn token(row: &PgRow) -> Result<Token, StoreError> {
    let text: &str = row.try_get("token")?;
    text.parse().map_err(corrupt)
}

/// The condition of a row's alert.
pub(super) fn condition(row: &PgRow) -> Result<AlertCondition, StoreError> {
    let text: &str = row.try_get("condition")?;
    text.parse().map_err(corrupt)
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        what: "alert",
        reason: error.to_string(),
    }
}
