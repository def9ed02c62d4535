//! The plans of the statements that the store executes, as logged by `auto_explain`.

use std::sync::{Arc, Mutex};

use chaincast_store::{
    Store,
    explain::{Known, Query},
    read,
};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tracing::field::{Field, Visit};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

use super::load::Failure;

/// Tables that grow with the chain or over time.
pub const LARGE: [&str; 12] = [
    "blocks",
    "transactions",
    "logs",
    "transfers",
    "dropped_blocks",
    "contract_events",
    "token_contracts",
    "ticks",
    "ticks_rest",
    "candles",
    "prices",
    "updates",
];
/// Runs of each query: from the sixth run on, Postgres may use a generic plan.
const RUNS: usize = 8;
/// Most rows that a step may read and discard: beyond it, the index does not fit the query.
const MAX_DISCARDED_ROWS: u64 = 10_000;

/// The measurement of one run of a query.
pub struct Plan {
    pub query: &'static str,
    /// Duration of all its statements.
    pub ms: f64,
    /// Accessed pages of 8 KiB.
    pub pages: u64,
    pub rows: u64,
    /// The used indexes, without duplicates.
    pub indexes: Vec<String>,
    /// Full scans of large tables, and discarded rows.
    pub faults: Vec<String>,
}

/// Enables `auto_explain` for all later connections to the database.
pub async fn enable_auto_explain(url: &str) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(url).await?;
    for (setting, value) in [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_buffers", "on"),
        ("auto_explain.log_format", "json"),
        ("client_min_messages", "log"),
    ] {
        sqlx::raw_sql(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting} = {value}', current_database()); END $$"
        ))
        .execute(&mut connection)
        .await
        .map_err(|error| format!("cannot set {setting}: {error}"))?;
    }
    Ok(connection.close().await?)
}

/// Runs every query several times; returns the slowest run of each, with the faults of all runs. Requires a
/// single-threaded runtime.
pub async fn explain(store: &Store, known: &Known) -> Result<Vec<Plan>, Failure> {
    let notices = Notices::default();
    let received = notices.0.clone();
    let _guard = tracing_subscriber::registry().with(notices).set_default();
    let mut worst: Vec<Plan> = Vec::new();
    for _ in 0..RUNS {
        for (at, Query { name, run }) in read::explained(store, known).into_iter().enumerate() {
            take(&received);
            run.await
                .map_err(|error| format!("{name} failed: {error}"))?;
            let plan = plan(name, &take(&received))?;
            match worst.get_mut(at) {
                None => worst.push(plan),
                Some(known) => {
                    for fault in &plan.faults {
                        if !known.faults.contains(fault) {
                            known.faults.push(fault.clone());
                        }
                    }
                    if plan.ms > known.ms {
                        let faults = std::mem::take(&mut known.faults);
                        *known = Plan { faults, ..plan };
                    }
                }
            }
        }
    }
    Ok(worst)
}

/// Runs one statement and returns its plan.
pub async fn explain_one(store: &Store, statement: &str) -> Result<Plan, Failure> {
    let notices = Notices::default();
    let received = notices.0.clone();
    let _guard = tracing_subscriber::registry().with(notices).set_default();
    sqlx::query(statement).fetch_all(store.pool()).await?;
    plan("a statement", &take(&received))
}

fn take(received: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(
        &mut received
            .lock()
            .expect("no thread panics while holding the lock"),
    )
}

fn plan(query: &'static str, notices: &[String]) -> Result<Plan, Failure> {
    let mut plan = Plan {
        query,
        ms: 0.0,
        pages: 0,
        rows: 0,
        indexes: Vec::new(),
        faults: Vec::new(),
    };
    let mut statements = 0;
    for notice in notices {
        let Some(json) = notice
            .find("plan:")
            .and_then(|at| notice[at..].find('{').map(|to| at + to))
        else {
            continue;
        };
        let logged: Value = serde_json::from_str(&notice[json..])?;
        let root = &logged["Plan"];
        plan.ms += root["Actual Total Time"].as_f64().unwrap_or(0.0);
        plan.pages += number(root, "Shared Hit Blocks") + number(root, "Shared Read Blocks");
        plan.rows += number(root, "Actual Rows");
        walk(root, &mut plan);
        statements += 1;
    }
    if statements == 0 {
        return Err(format!("Postgres logged no plan for {query}").into());
    }
    Ok(plan)
}

fn number(node: &Value, key: &str) -> u64 {
    node[key].as_u64().unwrap_or(0)
}

fn walk(node: &Value, plan: &mut Plan) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let table = node["Relation Name"].as_str().unwrap_or_default();
    if kind == "Seq Scan" && LARGE.contains(&table) {
        plan.faults.push(format!("reads all of {table}"));
    }
    let discarded = number(node, "Rows Removed by Filter") * number(node, "Actual Loops").max(1);
    if discarded > MAX_DISCARDED_ROWS {
        plan.faults
            .push(format!("reads and discards {discarded} rows of {table}"));
    }
    if let Some(index) = node["Index Name"].as_str()
        && !plan.indexes.iter().any(|known| known == index)
    {
        plan.indexes.push(index.to_owned());
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        walk(below, plan);
    }
}

/// Collects Postgres notices, which sqlx emits as tracing events.
#[derive(Default)]
struct Notices(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Notices {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::postgres::notice" {
            return;
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0
            .lock()
            .expect("no thread panics while holding the lock")
            .push(text.0);
    }
}

struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0 = value.to_owned();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
