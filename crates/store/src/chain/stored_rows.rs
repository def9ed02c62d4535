//! The stored rows of blocks as text, column by column, to compare them with the node.
//!
//! Text instead of the model's types: a value that no type can hold is reported as a difference instead of a read
//! error.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row, types::Json};

use super::{StoreError, bigint};
use chaincast_protocol::ChainId;

/// The columns of one row in Postgres' text form; `None` for null.
pub type TextRow = BTreeMap<String, Option<String>>;

/// The tables with rows of blocks, each with the columns that identify a row within its block.
pub const TABLES: [(&str, &[&str]); 4] = [
    ("blocks", &[]),
    ("transactions", &["transaction_index"]),
    ("logs", &["log_index"]),
    ("transfers", &["log_index", "position"]),
];

/// The rows of [`TABLES`] at the heights $2 to $3, each with the place of its table. One statement, so that all rows are
/// from one snapshot despite concurrent commits.
const ROWS: &str = "SELECT r.at, r.number, r.first, r.second,
        (SELECT json_object_agg(e.key, e.value) FROM jsonb_each_text(r.content) AS e) AS columns
    FROM (
        SELECT 0 AS at, number, 0 AS first, 0 AS second, to_jsonb(t) AS content
        FROM blocks t WHERE chain_id = $1 AND number BETWEEN $2 AND $3
        UNION ALL
        SELECT 1, block_number, transaction_index, 0, to_jsonb(t)
        FROM transactions t WHERE chain_id = $1 AND block_number BETWEEN $2 AND $3
        UNION ALL
        SELECT 2, block_number, log_index, 0, to_jsonb(t)
        FROM logs t WHERE chain_id = $1 AND block_number BETWEEN $2 AND $3
        UNION ALL
        SELECT 3, block_number, log_index, position, to_jsonb(t)
        FROM transfers t WHERE chain_id = $1 AND block_number BETWEEN $2 AND $3) r
    ORDER BY r.number, r.at, r.first, r.second";

/// All stored rows of one block height, by table in the order of [`TABLES`], in block order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredRows {
    /// A list of rows for each table of [`TABLES`].
    pub tables: [Vec<TextRow>; TABLES.len()],
}

/// All rows at the heights `from` to `to`, in one snapshot. A height without rows is missing.
pub async fn read_blocks(
    connection: &mut PgConnection,
    chain_id: ChainId,
    from: u64,
    to: u64,
) -> Result<BTreeMap<u64, StoredRows>, StoreError> {
    let mut found = BTreeMap::<u64, StoredRows>::new();
    let rows = sqlx::query(ROWS)
        .bind(bigint(chain_id, "chain_id")?)
        .bind(bigint(from, "block number")?)
        .bind(bigint(to, "block number")?)
        .fetch_all(connection)
        .await?;
    for row in rows {
        let Json(columns): Json<TextRow> = row.try_get("columns")?;
        let number = row.try_get::<i64, _>("number")? as u64;
        let at = row.try_get::<i32, _>("at")? as usize;
        if let Some(table) = found.entry(number).or_default().tables.get_mut(at) {
            table.push(columns);
        }
    }
    Ok(found)
}

/// A stored row that contradicts the indexed blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inconsistency {
    /// Height that the row belongs to; 0 if it has none.
    pub number: u64,
    /// The table with the row.
    pub table: &'static str,
    /// The contradiction, human-readable.
    pub what: String,
}

/// Rows above the head or below the first block, ticks whose block or log is not stored, and contract events whose log
/// is not stored; at most `limit` of each table.
pub async fn orphaned_rows(
    connection: &mut PgConnection,
    chain_id: ChainId,
    limit: u32,
) -> Result<Vec<Inconsistency>, StoreError> {
    let mut found = Vec::new();
    let mut gather = async |table, sql: &str| {
        let rows = sqlx::query(sql)
            .bind(bigint(chain_id, "chain_id")?)
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            found.push(Inconsistency {
                number: row.try_get::<i64, _>(0)? as u64,
                table,
                what: row.try_get(1)?,
            });
        }
        Ok::<_, StoreError>(())
    };
    for (table, number) in [
        ("blocks", "number"),
        ("transactions", "block_number"),
        ("logs", "block_number"),
        ("transfers", "block_number"),
    ] {
        let sql = format!(
            "SELECT t.{number}, count(*) || ' stored outside of the indexed blocks'
             FROM {table} t JOIN chains c USING (chain_id)
             WHERE t.chain_id = $1 AND (t.{number} > coalesce(c.head_number, -1) OR t.{number} < c.start_block)
             GROUP BY 1 ORDER BY 1 LIMIT $2"
        );
        gather(table, &sql).await?;
    }
    gather(
        "ticks",
        "SELECT coalesce(k.block_number, 0),
             format('tick %s of %s from log %s is of a block that is not stored', k.token, k.source, k.log_index)
         FROM ticks k
         LEFT JOIN blocks b ON b.chain_id = k.chain_id AND b.number = k.block_number AND b.hash = k.block_hash
         WHERE k.chain_id = $1 AND b.number IS NULL ORDER BY k.block_number, k.log_index LIMIT $2",
    )
    .await?;
    gather(
        "ticks",
        "SELECT k.block_number, format('tick %s of %s from log %s, which is not stored', k.token, k.source, k.log_index)
         FROM ticks k
         JOIN chains c ON c.chain_id = k.chain_id AND c.index_mode <> 'transfers'
         JOIN blocks b ON b.chain_id = k.chain_id AND b.number = k.block_number AND b.hash = k.block_hash
         WHERE k.chain_id = $1 AND k.log_index <> 2147483647 AND NOT EXISTS (SELECT FROM logs l
             WHERE l.chain_id = k.chain_id AND l.block_number = k.block_number AND l.log_index = k.log_index)
         ORDER BY 1, k.log_index LIMIT $2",
    )
    .await?;
    gather(
        "contract_events",
        "SELECT e.block_number, format('event %s of log %s, which is not stored', e.event, e.log_index)
         FROM contract_events e
         LEFT JOIN logs l ON l.chain_id = e.chain_id AND l.block_number = e.block_number
             AND l.log_index = e.log_index AND l.address = e.address
         WHERE e.chain_id = $1 AND l.chain_id IS NULL ORDER BY 1, e.log_index LIMIT $2",
    )
    .await?;
    Ok(found)
}

/// A cursor that does not point to the newest stored block; `None` if it does.
pub async fn cursor_fault(
    connection: &mut PgConnection,
    chain_id: ChainId,
) -> Result<Option<Inconsistency>, StoreError> {
    let row = sqlx::query(
        "SELECT c.head_number, encode(c.head_hash, 'hex') AS head, b.number, encode(b.hash, 'hex') AS newest
         FROM chains c LEFT JOIN LATERAL (SELECT number, hash FROM blocks
             WHERE chain_id = c.chain_id ORDER BY number DESC LIMIT 1) b ON true
         WHERE c.chain_id = $1 AND (c.head_number IS DISTINCT FROM b.number OR c.head_hash IS DISTINCT FROM b.hash)",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let place = |number: Option<i64>, hash: Option<String>| match (number, hash) {
        (Some(number), Some(hash)) => format!("block {number} 0x{hash}"),
        _ => "no block".to_owned(),
    };
    let head: Option<i64> = row.try_get("head_number")?;
    Ok(Some(Inconsistency {
        number: head.unwrap_or_default() as u64,
        table: "chains",
        what: format!(
            "the cursor is at {}, the newest stored block is {}",
            place(head, row.try_get("head")?),
            place(row.try_get("number")?, row.try_get("newest")?)
        ),
    }))
}
