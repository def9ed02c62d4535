//! Checks whether the pending migrations can be applied, before the first of them writes anything.
//!
//! A database may hold tables of another application with names that the migrations create, or the role may lack the
//! privilege to create tables. Either would fail midway and leave the earlier migrations applied.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{ConnectOptions, Connection, migrate::Migration, postgres::PgConnectOptions};

use super::{MIGRATIONS, Store, StoreConfig, StoreError};

/// sqlx's table of applied migrations.
const APPLIED: &str = "_sqlx_migrations";

impl Store {
    /// Fails when migrations are pending and cannot be applied: tables with the same names exist, or the role may not
    /// create tables. Writes nothing.
    pub async fn refuse_inapplicable(config: &StoreConfig) -> Result<(), StoreError> {
        let options = Self::connect_options(config)?;
        let name = &config.url_name;
        let failed = |error| StoreError::unreachable_by(name, &options, error);
        Self::refuse_pooler(config, &options).await?;
        let timeout = Duration::from_millis(config.acquire_timeout_ms);
        match tokio::time::timeout(timeout, examine(&options, name, failed)).await {
            Ok(examined) => examined,
            Err(_) => Err(failed(sqlx::Error::PoolTimedOut)),
        }
    }
}

async fn examine(
    options: &PgConnectOptions,
    url_name: &str,
    failed: impl Fn(sqlx::Error) -> StoreError,
) -> Result<(), StoreError> {
    let mut connection = options.connect().await.map_err(failed)?;
    // One snapshot: another process may be migrating now.
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
    )
    .fetch_all(&mut *transaction)
    .await?;
    let applied: Vec<(i64, Vec<u8>)> = match tables.iter().any(|table| table == APPLIED) {
        true => {
            let query = format!("SELECT version, checksum FROM {APPLIED} WHERE success");
            sqlx::query_as(&query).fetch_all(&mut *transaction).await?
        }
        false => Vec::new(),
    };
    let (schema, may_create): (Option<String>, Option<bool>) = sqlx::query_as(
        "SELECT current_schema()::text, has_schema_privilege(current_schema(), 'CREATE')",
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    connection.close().await?;
    let schema = schema.unwrap_or_default();
    let ours = |migration: &&Migration| {
        let same = |(version, checksum): &(i64, Vec<u8>)| {
            *version == migration.version && checksum[..] == migration.checksum[..]
        };
        applied.iter().any(same)
    };
    let known = MIGRATIONS.iter().filter(ours).count();
    if known == 0 && !applied.is_empty() {
        let foreign = [APPLIED.to_owned()];
        return Err(StoreError::foreign_tables(
            url_name,
            options,
            &schema,
            &foreign,
            &[],
        ));
    }
    let pending = |migration: &&Migration| !ours(migration);
    let existing: BTreeSet<&str> = tables.iter().map(String::as_str).collect();
    let foreign = foreign(
        &existing,
        MIGRATIONS.iter().filter(ours).map(|one| &*one.sql),
        MIGRATIONS.iter().filter(pending).map(|one| &*one.sql),
    );
    if !foreign.is_empty() {
        let begun = MIGRATIONS.iter().filter(ours);
        let begun = begun.flat_map(|one| created(&one.sql));
        let begun: Vec<&str> = begun.filter(|name| existing.contains(name)).collect();
        return Err(StoreError::foreign_tables(
            url_name, options, &schema, &foreign, &begun,
        ));
    }
    if MIGRATIONS.iter().any(|one| pending(&one)) && may_create != Some(true) {
        return Err(StoreError::cannot_create_tables(url_name, options, &schema));
    }
    Ok(())
}

/// Existing tables that a pending migration would create and that no applied migration created.
fn foreign<'a>(
    existing: &BTreeSet<&str>,
    applied: impl Iterator<Item = &'a str>,
    pending: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let ours: BTreeSet<&str> = applied.flat_map(created).collect();
    let wanted: BTreeSet<&str> = pending.flat_map(created).collect();
    let foreign = wanted
        .difference(&ours)
        .filter(|name| existing.contains(*name));
    foreign.map(|name| (*name).to_owned()).collect()
}

/// The tables that a migration creates by name.
fn created(sql: &str) -> impl Iterator<Item = &str> {
    sql.lines().filter_map(|line| {
        let name = line.strip_prefix("CREATE TABLE ")?;
        let end = name.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        Some(&name[..end.unwrap_or(name.len())]).filter(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_tables_created_by_migrations() {
        let all: BTreeSet<&str> = MIGRATIONS
            .iter()
            .flat_map(|one| created(&one.sql))
            .collect();
        for table in [
            "meta",
            "blocks",
            "logs",
            "ticks",
            "ticks_rest",
            "alerts",
            "leases",
        ] {
            assert!(all.contains(table), "{table} in {all:?}");
        }
    }

    #[test]
    fn ignores_tables_of_applied_migrations() {
        let existing = BTreeSet::from(["ticks", "blocks", "orders"]);
        let applied = ["CREATE TABLE ticks (\n    id bigint\n);"];
        let pending = [
            "CREATE TABLE ticks (\n",
            "-- A table\nCREATE TABLE blocks (",
        ];
        let found = foreign(&existing, applied.into_iter(), pending.into_iter());
        assert_eq!(found, ["blocks"]);
    }
}
