//! Formats the results as Markdown tables.

use std::{fmt::Write, fs, path::Path};

use chaincast_store::Store;
use sqlx::Row;

use super::{
    load::{Failure, LoadTimings},
    plans::Plan,
};

/// Sizes, in total and per million transactions.
pub async fn growth(store: &Store) -> Result<String, Failure> {
    let rows = sqlx::query(
        "SELECT c.relname AS table, NULL AS index, pg_table_size(c.oid) AS bytes, c.reltuples::bigint AS rows
         FROM pg_class c WHERE c.relname IN ('blocks', 'transactions', 'logs', 'transfers') AND c.relkind = 'r'
         UNION ALL
         SELECT t.relname, x.relname, pg_relation_size(x.oid), x.reltuples::bigint
         FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
         WHERE t.relname IN ('blocks', 'transactions', 'logs', 'transfers')
         ORDER BY 1, 2 NULLS FIRST",
    )
    .fetch_all(store.pool())
    .await?;
    let transactions = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM transactions")
        .fetch_one(store.pool())
        .await?;
    let mut text = String::from(
        "| table | index | rows | MB | bytes a row | MB a million transactions |\n|---|---|--:|--:|--:|--:|\n",
    );
    let mut sum = 0;
    for row in &rows {
        let (bytes, count): (i64, i64) = (row.get("bytes"), row.get("rows"));
        sum += bytes;
        writeln!(
            text,
            "| {} | {} | {count} | {:.0} | {:.0} | {:.0} |",
            row.get::<&str, _>("table"),
            row.get::<Option<&str>, _>("index").unwrap_or("–"),
            bytes as f64 / 1e6,
            bytes as f64 / count.max(1) as f64,
            bytes as f64 / transactions as f64,
        )?;
    }
    writeln!(
        text,
        "| all | | | {:.0} | | **{:.0}** |",
        sum as f64 / 1e6,
        sum as f64 / transactions as f64
    )?;
    Ok(text)
}

/// Duration of the load.
pub fn loaded(blocks: u64, timings: &LoadTimings) -> String {
    format!(
        "Loaded in {:.0} s: {} rows, {:.0} k rows/s into the tables, then {:.0} s for the secondary indexes. \
         Encoding took {:.0} µs of processor time a block of {} rows.\n",
        (timings.load + timings.indexes).as_secs_f64(),
        timings.rows,
        timings.rows as f64 / timings.load.as_secs_f64() / 1e3,
        timings.indexes.as_secs_f64(),
        timings.encode.as_secs_f64() * 1e6 / blocks as f64,
        timings.rows / blocks,
    )
}

/// One row per query.
pub fn plans(plans: &[Plan]) -> String {
    let mut text =
        String::from("| query | ms | rows | pages of 8 KiB | indexes |\n|---|--:|--:|--:|---|\n");
    for plan in plans {
        let indexes: Vec<_> = plan
            .indexes
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.2} | {} | {} | {} |",
            plan.query,
            plan.ms,
            plan.rows,
            plan.pages,
            indexes.join(", ")
        );
    }
    text
}

/// All faults, one per line.
pub fn faults(plans: &[Plan]) -> Vec<String> {
    plans
        .iter()
        .flat_map(|plan| {
            plan.faults
                .iter()
                .map(|fault| format!("{} {fault}", plan.query))
        })
        .collect()
}

/// Replaces the text between the markers of `name` in the document.
pub fn write(document: &Path, name: &str, content: &str) -> Result<(), Failure> {
    let text = fs::read_to_string(document)?;
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let missing = || format!("{} has no {} … {end}", document.display(), begin.trim());
    let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(fs::write(
        document,
        format!("{before}{begin}\n{content}\n{end}{after}"),
    )?)
}
