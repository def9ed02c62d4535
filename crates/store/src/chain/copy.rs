//! Rows in Postgres' binary COPY format, and the statement that loads them.
//!
//! See "Binary Format" of the COPY command in the PostgreSQL manual: a header; each row as its number of columns, each
//! field as its length and content; a trailer.

use alloy::rlp::{Encodable, encode};
use sqlx::PgConnection;

use super::{StoreError, numeric};
use chaincast_protocol::U256;

/// The signature, no flags, and no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// Bytes sent per write: the connection's buffer grows to this.
const CHUNK: usize = 256 << 10;

/// A table to load. Columns not listed get their defaults.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
}

/// A value that does not fit its column.
#[derive(Debug)]
pub(super) struct OutOfRange {
    pub(super) field: &'static str,
    pub(super) value: u64,
    pub(super) most: u64,
}

/// Rows of one table, encoded.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// Header, rows and, once sealed, the trailer.
    bytes: Vec<u8>,
    count: u64,
}

impl Rows {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut rows = Vec::with_capacity(bytes + HEADER.len() + TRAILER.len());
        rows.extend_from_slice(HEADER);
        Self {
            bytes: rows,
            count: 0,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Memory in use, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Begins a row; all of the table's columns must follow in order.
    pub(super) fn begin(&mut self, table: &Table) {
        let columns = table.columns.len() as u16;
        self.bytes.extend_from_slice(&columns.to_be_bytes());
        self.count += 1;
    }

    /// Ends the last row.
    pub(super) fn seal(&mut self) {
        self.bytes.extend_from_slice(&TRAILER);
    }

    pub(super) fn bigint(&mut self, value: i64) {
        let mut field = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        field[4..].copy_from_slice(&value.to_be_bytes());
        self.bytes.extend_from_slice(&field);
    }

    /// A `bigint` from an unsigned integer.
    pub(super) fn natural(&mut self, field: &'static str, value: u64) -> Result<(), OutOfRange> {
        let fits = i64::try_from(value).map_err(|_| OutOfRange {
            field,
            value,
            most: i64::MAX as u64,
        })?;
        self.bigint(fits);
        Ok(())
    }

    pub(super) fn natural_or_null(
        &mut self,
        field: &'static str,
        value: Option<u64>,
    ) -> Result<(), OutOfRange> {
        match value {
            Some(value) => self.natural(field, value),
            None => {
                self.null();
                Ok(())
            }
        }
    }

    pub(super) fn integer(&mut self, field: &'static str, value: u64) -> Result<(), OutOfRange> {
        let fits = i32::try_from(value).map_err(|_| OutOfRange {
            field,
            value,
            most: i32::MAX as u64,
        })?;
        let mut field = [0, 0, 0, 4, 0, 0, 0, 0];
        field[4..].copy_from_slice(&fits.to_be_bytes());
        self.bytes.extend_from_slice(&field);
        Ok(())
    }

    pub(super) fn smallint(&mut self, value: i16) {
        let [high, low] = value.to_be_bytes();
        self.bytes.extend_from_slice(&[0, 0, 0, 2, high, low]);
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.bytes.extend_from_slice(&[0, 0, 0, 1, value.into()]);
    }

    pub(super) fn null(&mut self) {
        self.bytes.extend_from_slice(&NULL);
    }

    /// A hash, an address or a nonce.
    pub(super) fn fixed<const N: usize>(&mut self, value: &[u8; N]) {
        self.bytes.extend_from_slice(&(N as u32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn fixed_or_null<const N: usize>(&mut self, value: Option<&[u8; N]>) {
        match value {
            Some(value) => self.fixed(value),
            None => self.null(),
        }
    }

    pub(super) fn bytea(&mut self, field: &'static str, value: &[u8]) -> Result<(), OutOfRange> {
        /// Postgres holds no field above 1 GiB.
        const MOST: usize = (1 << 30) - 1;
        if value.len() > MOST {
            return Err(OutOfRange {
                field,
                value: value.len() as u64,
                most: MOST as u64,
            });
        }
        self.bytes
            .extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// The RLP of a value.
    pub(super) fn rlp_or_null(
        &mut self,
        field: &'static str,
        value: Option<&impl Encodable>,
    ) -> Result<(), OutOfRange> {
        match value {
            Some(value) => self.bytea(field, &encode(value)),
            None => {
                self.null();
                Ok(())
            }
        }
    }

    pub(super) fn numeric_u64(&mut self, value: u64) {
        numeric::put_u64(&mut self.bytes, value);
    }

    pub(super) fn numeric_u128(&mut self, value: u128) {
        numeric::put_u128(&mut self.bytes, value);
    }

    pub(super) fn numeric_u128_or_null(&mut self, value: Option<u128>) {
        match value {
            Some(value) => self.numeric_u128(value),
            None => self.null(),
        }
    }

    pub(super) fn numeric_u256(&mut self, value: U256) {
        numeric::put_u256(&mut self.bytes, value);
    }

    pub(super) fn numeric_u256_or_null(&mut self, value: Option<U256>) {
        match value {
            Some(value) => self.numeric_u256(value),
            None => self.null(),
        }
    }
}

/// Loads sealed rows into `table` in one statement. Sends nothing if there are none.
///
/// If the future is dropped midway, the connection must not be used again.
pub(super) async fn copy_in<'r>(
    connection: &mut PgConnection,
    table: &Table,
    rows: impl Iterator<Item = &'r Rows>,
) -> Result<(), StoreError> {
    let rows: Vec<&Rows> = rows.filter(|rows| rows.count > 0).collect();
    let Some(last) = rows.len().checked_sub(1) else {
        return Ok(());
    };
    let statement = format!(
        "COPY {} ({}) FROM STDIN (FORMAT binary)",
        table.name,
        table.columns.join(", ")
    );
    let mut copy = connection.copy_in_raw(&statement).await?;
    for (place, rows) in rows.iter().enumerate() {
        // One header before and one trailer after all rows.
        let from = if place == 0 { 0 } else { HEADER.len() };
        let to = rows.bytes.len() - if place == last { 0 } else { TRAILER.len() };
        for chunk in rows.bytes[from..to].chunks(CHUNK) {
            copy.send(chunk).await?;
        }
    }
    copy.finish().await?;
    Ok(())
}
