//! Secondary indexes: dropped before a large load and rebuilt after it, instead of being updated row by row.
//!
//! Secondary are all indexes of transactions, logs and transfers that back no constraint; the primary keys stay, as the
//! writer itself uses them. A dropped index is recorded in `deferred_indexes` in the same transaction, so a killed load
//! loses none; [`restore`] builds the recorded ones, at the end of the load or at the next start of any writer. Until
//! then, lookups by hash or address scan whole tables, and `/readyz` reports it.

use sqlx::{Connection, PgConnection, Row};

use super::{StoreError, bigint};
use chaincast_protocol::ChainId;

/// The tables whose secondary indexes can be deferred, in the order in which readers lock them.
const TABLES: &str = "transactions, logs, transfers";
/// Indexes are dropped only if the stored blocks are fewer than the coming ones divided by this.
const SHARE: u64 = 4;
/// Advisory lock of the one writer that builds: "chai" in ASCII and an odd number; chains have even ones, prices 1.
const BUILD_LOCK: i64 = (0x6368_6169 << 32) | 3;
/// If readers hold a table for longer than this, the load keeps its indexes.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";

/// Progress of building the deferred indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Building {
    /// The index that is built next.
    pub name: String,
    /// Indexes built before it.
    pub done: usize,
    /// Indexes to build in all.
    pub of: usize,
}

/// Drops the secondary indexes before a load of `coming` blocks if that is worthwhile and safe, and records them.
/// Returns whether the load runs without them: they are dropped now, or were dropped before and the load is still
/// large. Then the caller must call [`restore`] when the load is done. If false, [`restore`] builds what an interrupted
/// load left.
///
/// Worthwhile: at least `least` blocks (0 never defers), and four times the stored blocks of the chain. Safe: no other
/// chain has blocks in the same tables, since its readers would lose their indexes too, and no reader holds a table for
/// longer than 3 s. Not within a transaction.
pub async fn defer(
    connection: &mut PgConnection,
    chain_id: ChainId,
    coming: u64,
    least: u64,
) -> Result<bool, StoreError> {
    if least == 0 || coming < least {
        return Ok(false);
    }
    if !deferred(connection).await?.is_empty() {
        return Ok(true);
    }
    if !alone_and_small(connection, chain_id, coming / SHARE).await? {
        return Ok(false);
    }
    match drop_all(connection).await {
        Ok(names) => {
            tracing::info!(
                chain_id,
                blocks = coming,
                indexes = names.join(", "),
                "dropped indexes for a large load; they are rebuilt after it"
            );
            Ok(!names.is_empty())
        }
        Err(error) if is_busy(&error) => {
            tracing::info!(
                chain_id,
                "cannot lock the tables: the large load keeps its indexes"
            );
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Names of the indexes that are dropped and not rebuilt yet.
pub async fn deferred(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT name FROM deferred_indexes ORDER BY name")
            .fetch_all(connection)
            .await?,
    )
}

/// Builds every deferred index, with `memory_bytes` of memory for sorting, and calls `progress` before each. Returns
/// how many were built. Takes one small query if there is none, or if another writer is building them.
///
/// Takes minutes for large tables. To cancel it, close the connection: Postgres then stops, as it checks the client of
/// a writer's connection while a statement runs. Indexes not built stay deferred. Not within a transaction.
pub async fn restore(
    connection: &mut PgConnection,
    memory_bytes: u64,
    progress: impl FnMut(Building) + Send,
) -> Result<usize, StoreError> {
    if deferred(connection).await?.is_empty() || !lock(connection).await? {
        return Ok(0);
    }
    let built = build_all(connection, memory_bytes, progress).await;
    for setting in ["maintenance_work_mem", "statement_timeout"] {
        sqlx::query(&format!("RESET {setting}"))
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(BUILD_LOCK)
        .execute(connection)
        .await?;
    built
}

/// Whether only this chain has blocks, and at most `most` of them.
async fn alone_and_small(
    connection: &mut PgConnection,
    chain_id: ChainId,
    most: u64,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT NOT EXISTS (
             SELECT FROM chains
             WHERE head_number IS NOT NULL AND (chain_id <> $1 OR head_number - start_block + 1 > $2))",
    )
    .bind(bigint(chain_id, "chain_id")?)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_one(connection)
    .await?)
}

async fn drop_all(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::query(&format!("LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE"))
        .execute(&mut *transaction)
        .await?;
    let names: Vec<String> = sqlx::query_scalar(
        "INSERT INTO deferred_indexes (name, definition)
         SELECT c.relname, pg_get_indexdef(c.oid)
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = ANY(string_to_array($1, ', ')::regclass[])
             AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid)
         RETURNING name",
    )
    .bind(TABLES)
    .fetch_all(&mut *transaction)
    .await?;
    if !names.is_empty() {
        sqlx::query(&format!("DROP INDEX {}", names.join(", ")))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(names)
}

/// Whether a lock was not acquired: `lock_not_available`, or `deadlock_detected`.
fn is_busy(error: &StoreError) -> bool {
    let StoreError::Database(sqlx::Error::Database(error)) = error else {
        return false;
    };
    matches!(error.code().as_deref(), Some("55P03" | "40P01"))
}

async fn lock(connection: &mut PgConnection) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(BUILD_LOCK)
        .fetch_one(connection)
        .await?)
}

async fn build_all(
    connection: &mut PgConnection,
    memory_bytes: u64,
    mut progress: impl FnMut(Building) + Send,
) -> Result<usize, StoreError> {
    sqlx::query(
        "SELECT set_config('maintenance_work_mem', $1, false), set_config('statement_timeout', '0', false)",
    )
    .bind(format!("{}kB", memory_bytes / 1_024))
    .execute(&mut *connection)
    .await?;
    let has_others: bool = sqlx::query_scalar("SELECT count(*) > 1 FROM chains")
        .fetch_one(&mut *connection)
        .await?;
    let writes = match has_others {
        true => Writes::Continue,
        false => Writes::Wait,
    };
    let rows = sqlx::query("SELECT name, definition FROM deferred_indexes ORDER BY name")
        .fetch_all(&mut *connection)
        .await?;
    for (done, row) in rows.iter().enumerate() {
        let name: String = row.try_get("name")?;
        progress(Building {
            name: name.clone(),
            done,
            of: rows.len(),
        });
        let definition: String = row.try_get("definition")?;
        build(connection, &name, &definition, writes).await?;
    }
    // The planner's statistics are from before the load.
    sqlx::query(&format!("ANALYZE blocks, {TABLES}"))
        .execute(connection)
        .await?;
    Ok(rows.len())
}

/// What the writers of other chains do while an index is built.
#[derive(Clone, Copy)]
enum Writes {
    /// Without other chains: the plain build is faster.
    Wait,
    Continue,
}

async fn build(
    connection: &mut PgConnection,
    name: &str,
    definition: &str,
    writes: Writes,
) -> Result<(), StoreError> {
    // It exists if an earlier build was killed: completed but not recorded, or a concurrent build that is invalid.
    let valid: Option<bool> =
        sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)")
            .bind(name)
            .fetch_optional(&mut *connection)
            .await?;
    if valid == Some(false) {
        sqlx::query(&format!("DROP INDEX {name}"))
            .execute(&mut *connection)
            .await?;
    }
    if valid != Some(true) {
        let began = std::time::Instant::now();
        let statement = match writes {
            Writes::Continue => definition.replacen(" INDEX ", " INDEX CONCURRENTLY ", 1),
            Writes::Wait => definition.to_owned(),
        };
        sqlx::query(&statement).execute(&mut *connection).await?;
        tracing::info!(
            index = name,
            seconds = began.elapsed().as_secs_f64(),
            "rebuilt an index after a large load"
        );
    }
    sqlx::query("DELETE FROM deferred_indexes WHERE name = $1")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}
