//! Columns of a row as model types.

use alloy::rlp::{Decodable, decode_exact};
use chrono::{DateTime, Utc};
use sqlx::{Decode, Postgres, Row, Type, postgres::PgRow};

use super::super::StoreError;
use chaincast_protocol::{Address, B256};

/// A row; `what` names its content in errors.
pub(super) struct RowReader<'r> {
    row: &'r PgRow,
    what: &'static str,
}

impl<'r> RowReader<'r> {
    pub(super) fn new(row: &'r PgRow, what: &'static str) -> Self {
        Self { row, what }
    }

    pub(super) fn get<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Postgres> + Type<Postgres>,
    {
        self.row
            .try_get(column)
            .map_err(|error| self.corrupt(column, error))
    }

    /// A count, height or seq.
    pub(super) fn natural(&self, column: &str) -> Result<u64, StoreError> {
        let value: i64 = self.get(column)?;
        u64::try_from(value).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn natural_or_null(&self, column: &str) -> Result<Option<u64>, StoreError> {
        self.get::<Option<i64>>(column)?
            .map(|value| u64::try_from(value).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    /// A whole `numeric`, selected as text.
    pub(super) fn numeric_u64(&self, column: &str) -> Result<u64, StoreError> {
        let digits: &str = self.get(column)?;
        digits.parse().map_err(|error| self.corrupt(column, error))
    }

    /// An index or count stored as `integer`.
    pub(super) fn index(&self, column: &str) -> Result<u32, StoreError> {
        let value: i32 = self.get(column)?;
        u32::try_from(value).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn index_or_null(&self, column: &str) -> Result<Option<u32>, StoreError> {
        self.get::<Option<i32>>(column)?
            .map(|value| u32::try_from(value).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    pub(super) fn hash(&self, column: &str) -> Result<B256, StoreError> {
        let bytes: &[u8] = self.get(column)?;
        B256::try_from(bytes).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn hash_or_null(&self, column: &str) -> Result<Option<B256>, StoreError> {
        self.get::<Option<&[u8]>>(column)?
            .map(|bytes| B256::try_from(bytes).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    pub(super) fn address(&self, column: &str) -> Result<Address, StoreError> {
        let bytes: &[u8] = self.get(column)?;
        Address::try_from(bytes).map_err(|error| self.corrupt(column, error))
    }

    pub(super) fn address_or_null(&self, column: &str) -> Result<Option<Address>, StoreError> {
        self.get::<Option<&[u8]>>(column)?
            .map(|bytes| Address::try_from(bytes).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    /// A value stored as RLP.
    pub(super) fn rlp_or_null<T: Decodable>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.get::<Option<&[u8]>>(column)?
            .map(|bytes| decode_exact(bytes).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    /// A time in ms since the Unix epoch.
    pub(super) fn millis(&self, column: &str) -> Result<i64, StoreError> {
        Ok(self.get::<DateTime<Utc>>(column)?.timestamp_millis())
    }

    pub(super) fn millis_or_null(&self, column: &str) -> Result<Option<i64>, StoreError> {
        let timestamptz = self.get::<Option<DateTime<Utc>>>(column)?;
        Ok(timestamptz.map(|timestamptz| timestamptz.timestamp_millis()))
    }

    pub(super) fn corrupt(&self, column: &str, error: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt {
            what: self.what,
            reason: format!("column {column}: {error}"),
        }
    }
}

/// A height, seq or time from a client as a `bigint`: a larger value is above every row as well.
pub(super) fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A time from ms since the Unix epoch, clamped to the supported range.
pub(super) fn timestamptz(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(if millis < 0 {
        DateTime::UNIX_EPOCH
    } else {
        LAST_TIMESTAMP
    })
}

/// The end of the year 9999, within the range of Postgres.
const LAST_TIMESTAMP: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(timestamptz) => timestamptz,
    None => DateTime::UNIX_EPOCH,
};
