//! Every statement of the sources against a real database with all migrations, so that a wrong table, column, type or
//! number of parameters fails before any other test runs the statement.

mod bindings;
mod examples;
mod names;
mod sources;
mod statements;
mod text;

use std::{collections::BTreeMap, path::Path};

use chaincast_base::Secret;
use chaincast_store::{Store, StoreConfig};
use sqlx::{Connection, Either, Executor, PgConnection, Statement as _};

use crate::support::{TempDir, fresh_database};

/// Statements that the server analyses when they are prepared. Others name what they use only when they run.
const ANALYSED: [&str; 6] = ["DELETE", "INSERT", "SELECT", "UPDATE", "VALUES", "WITH"];

/// What the sources contain.
#[derive(Default)]
struct Found {
    /// Each text once, with the first place that runs it and the number of parameters that are bound there.
    checks: BTreeMap<String, (String, Option<usize>)>,
    calls: usize,
    /// Calls whose parameters are all bound where the statement is.
    counted: usize,
    wrong: Vec<String>,
}

fn find(root: &Path) -> Found {
    let sources = sources::Sources::read(root);
    let (statements, mut wrong) = statements::collect(&sources);
    let texts = text::Texts::new(&sources);
    let mut checks = BTreeMap::<String, (String, Option<usize>)>::new();
    let mut counted = 0;
    for statement in &statements {
        let place = sources.place(statement.node.file, statement.at);
        let found = match texts.of(&statement.node) {
            Ok(found) => found,
            Err(reason) => {
                wrong.push(format!("{place}: {reason}"));
                continue;
            }
        };
        counted += usize::from(statement.binds.is_some());
        for text in found {
            let known = checks.entry(text).or_insert((place.clone(), None));
            known.1 = known.1.or(statement.binds);
        }
    }
    let used = texts.used.borrow();
    for (number, example) in examples::EXAMPLES.iter().enumerate() {
        let (file, expression) = (example.file, example.expression);
        if root.join(file).exists() && !used.contains(&number) {
            wrong.push(format!(
                "{file}: no statement contains `{expression}`: remove its examples"
            ));
        }
    }
    Found {
        checks,
        calls: statements.len(),
        counted,
        wrong,
    }
}

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let found = find(Path::new(env!("CARGO_MANIFEST_DIR")));
    let (checks, mut wrong) = (found.checks, found.wrong);
    let url = fresh_database().await;
    let config = StoreConfig {
        url: Secret::new(&url),
        ..StoreConfig::default()
    };
    let store = Store::connect(&config).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for (text, (place, binds)) in &checks {
        if let Err(reason) = check(&mut connection, text, *binds).await {
            wrong.push(format!("{place}: {reason}\n    {text}"));
        }
    }
    store.close().await;
    println!(
        "checked {} statements of {} calls, the parameters of {} calls against what they bind",
        checks.len(),
        found.calls,
        found.counted
    );
    assert!(
        checks.len() > 180,
        "only {} statements were found: this test no longer reads the sources",
        checks.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn reports_statements_that_it_cannot_resolve() {
    let dir = TempDir::new("sql");
    let source = r#"
        const TABLE: &str = "blocks";
        async fn read(c: &mut PgConnection, by_hash: bool) {
            let column = if by_hash { "hash" } else { "number" };
            for (table, key) in [("logs", "a"), ("transfers", "b")] {
                sqlx::query(&format!("SELECT {key} FROM {table}")).fetch_all(c).await;
            }
            sqlx::query(&format!("SELECT {column} FROM {TABLE}"))
                .bind(1)
                .fetch_one(c)
                .await;
            run(c, "BEGIN").await;
        }
        async fn run(c: &mut PgConnection, text: &str) {
            c.execute(text).await;
        }
        pub async fn unseen(c: &mut PgConnection, text: &str) {
            sqlx::query(text).execute(c).await;
            tokio::select! { _ = sqlx::query("SELECT 1").execute(c) => {} }
        }
    "#;
    let src = dir.path().join("src");
    std::fs::create_dir(&src).unwrap();
    std::fs::write(src.join("one.rs"), source).unwrap();
    let found = find(dir.path());
    let texts: Vec<_> = found.checks.keys().map(String::as_str).collect();
    let expected = [
        "BEGIN",
        "SELECT a FROM logs",
        "SELECT b FROM transfers",
        "SELECT hash FROM blocks",
        "SELECT number FROM blocks",
    ];
    assert_eq!(texts, expected);
    assert_eq!(found.checks["SELECT hash FROM blocks"].1, Some(1));
    let wrong = found.wrong.join("\n");
    assert!(
        wrong.contains("src/one.rs:18: cannot resolve `text`"),
        "{wrong}"
    );
    assert!(
        wrong.contains("src/one.rs:19: a statement within a macro"),
        "{wrong}"
    );
    assert_eq!(found.wrong.len(), 2, "{wrong}");
}

/// Prepares a statement, or runs it in a transaction that is rolled back.
async fn check(
    connection: &mut PgConnection,
    text: &str,
    binds: Option<usize>,
) -> Result<(), String> {
    let first = text.split([' ', ';']).next().unwrap_or_default();
    // Neither runs in a transaction.
    let outside =
        first == "COMMIT" || text.contains(" DATABASE ") || text.contains(" CONCURRENTLY ");
    if !outside && !ANALYSED.contains(&first) {
        return run(connection, first, text).await;
    }
    let statement = connection
        .prepare(text)
        .await
        .map_err(|error| error.to_string())?;
    let parameters = match statement.parameters() {
        Some(Either::Left(types)) => types.len(),
        Some(Either::Right(count)) => count,
        None => 0,
    };
    match binds {
        Some(binds) if binds != parameters => Err(format!(
            "it has {parameters} parameters, and {binds} are bound"
        )),
        _ => Ok(()),
    }
}

async fn run(connection: &mut PgConnection, first: &str, text: &str) -> Result<(), String> {
    let failed = |error: sqlx::Error| error.to_string();
    let begins = first == "BEGIN";
    if !begins {
        connection.execute("BEGIN").await.map_err(failed)?;
    }
    let done = match first {
        "COPY" => match connection.copy_in_raw(text).await {
            Ok(copy) => copy.abort("only its columns are checked").await.err(),
            Err(error) => Some(error),
        },
        _ => sqlx::raw_sql(text).execute(&mut *connection).await.err(),
    };
    connection.execute("ROLLBACK").await.map_err(failed)?;
    match done {
        // Raised by a function of the schema, which was therefore found and called.
        Some(sqlx::Error::Database(raised))
            if raised.code().is_some_and(|code| code.starts_with("CC")) =>
        {
            Ok(())
        }
        Some(error) => Err(error.to_string()),
        None => Ok(()),
    }
}
