//! One database of a run: the rows of its tables, their constraints and their indexes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use sqlx::{Connection, Executor, PgConnection, Row};

use crate::postgres::Postgres;

/// The tables with the rows of a block.
pub const TABLES: [&str; 4] = ["blocks", "transactions", "logs", "transfers"];

pub struct Database<'a> {
    postgres: &'a Postgres,
    pub url: String,
    /// The database's oid.
    oid: i64,
    connection: PgConnection,
}

/// Constraints and indexes of the tables by name, with the statements that drop and create them.
pub type Schema = BTreeMap<String, Definition>;

#[derive(Debug, Clone)]
pub struct Definition {
    drop: String,
    create: String,
}

/// An observation of a load.
pub struct Sample {
    /// Height of the newest block.
    pub height: Option<i64>,
    /// Whether PostgreSQL works, rather than waiting for the client.
    pub busy: bool,
}

impl<'a> Database<'a> {
    pub fn new(postgres: &'a Postgres) -> Self {
        Self::open(postgres, postgres.database())
    }

    fn open(postgres: &'a Postgres, url: String) -> Self {
        let connection = postgres.runtime.block_on(PgConnection::connect(&url));
        let mut database = Self {
            postgres,
            url,
            oid: 0,
            connection: connection.expect("the database exists"),
        };
        database.oid = database
            .number("SELECT oid::bigint FROM pg_database WHERE datname = current_database()");
        database
    }

    pub fn execute(&mut self, statement: &str) {
        let done = self.connection.execute(statement);
        let done = self.postgres.runtime.block_on(done);
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub fn number(&mut self, query: &str) -> i64 {
        let result = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut self.connection);
        let result = self.postgres.runtime.block_on(result);
        result.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Number of rows of each table.
    pub fn rows(&mut self) -> [i64; 4] {
        TABLES.map(|table| self.number(&format!("SELECT count(*) FROM {table}")))
    }

    /// The postmaster: the parent of every other process of the server.
    pub fn postmaster(&mut self) -> u32 {
        let own = self.number("SELECT pg_backend_pid()::bigint");
        crate::usage::parent_of(own as u32)
    }

    /// Observes a load. Cheap, as it runs many times a second on the measured cores.
    pub fn sample(&mut self) -> Sample {
        const QUERY: &str = "SELECT (SELECT max(head_number) FROM chains) AS height,
             EXISTS (SELECT FROM pg_stat_get_activity(NULL) WHERE datid = $1::bigint::oid AND pid <> pg_backend_pid()
                 AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client') AS busy";
        let result = sqlx::query(QUERY)
            .bind(self.oid)
            .fetch_one(&mut self.connection);
        let row = self.postgres.runtime.block_on(result);
        let row = row.expect("the tables exist");
        Sample {
            height: row.get("height"),
            busy: row.get("busy"),
        }
    }

    /// Names of the existing constraints and indexes.
    pub fn names(&mut self) -> BTreeSet<String> {
        const QUERY: &str =
            "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = ANY ($1::regclass[])
             UNION SELECT conname::text FROM pg_constraint WHERE conrelid = ANY ($1::regclass[])";
        let result = sqlx::query_scalar::<_, String>(QUERY)
            .bind(TABLES.map(str::to_owned).to_vec())
            .fetch_all(&mut self.connection);
        let names = self.postgres.runtime.block_on(result);
        names.expect("the tables exist").into_iter().collect()
    }

    /// All constraints and indexes of a migrated database.
    pub fn schema(&mut self) -> Schema {
        const QUERY: &str = "SELECT conname::text AS name, conrelid::regclass::text AS of, pg_get_constraintdef(oid) AS making,
                 true AS is_constraint
             FROM pg_constraint WHERE conrelid = ANY ($1::regclass[])
             UNION ALL
             SELECT c.relname::text, i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid), false
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = ANY ($1::regclass[])
                 AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid)";
        let result = sqlx::query(QUERY)
            .bind(TABLES.map(str::to_owned).to_vec())
            .fetch_all(&mut self.connection);
        let rows = self.postgres.runtime.block_on(result);
        let rows = rows.expect("the tables exist");
        let entries = rows.iter().map(|row| {
            let text = |column: &str| row.get::<String, _>(column);
            let (name, of, definition) = (text("name"), text("of"), text("making"));
            let definition = if row.get("is_constraint") {
                Definition {
                    drop: format!("ALTER TABLE {of} DROP CONSTRAINT {name}"),
                    create: format!("ALTER TABLE {of} ADD CONSTRAINT {name} {definition}"),
                }
            } else {
                Definition {
                    drop: format!("DROP INDEX {name}"),
                    create: definition,
                }
            };
            (name, definition)
        });
        entries.collect()
    }

    /// Drops everything of `schema` that is not in `kept`; returns the statements that create it again.
    pub fn keep_only(&mut self, schema: &Schema, kept: &BTreeSet<String>) -> Vec<String> {
        let left_out: Vec<&Definition> = schema
            .iter()
            .filter(|(name, _)| !kept.contains(*name))
            .map(|(_, definition)| definition)
            .collect();
        for definition in &left_out {
            self.execute(&definition.drop);
        }
        left_out
            .iter()
            .map(|definition| definition.create.clone())
            .collect()
    }

    /// Runs statements and returns the seconds they took.
    pub fn timed(&mut self, statements: &[String]) -> f64 {
        let start = Instant::now();
        for statement in statements {
            self.execute(statement);
        }
        start.elapsed().as_secs_f64()
    }

    /// Removes the database: a run leaves hundreds of megabytes.
    pub fn remove(self) {
        let name = self
            .url
            .split('?')
            .next()
            .and_then(|url| url.rsplit('/').next());
        let name = name.unwrap_or_default().to_owned();
        self.postgres.runtime.block_on(self.connection.close()).ok();
        let mut other = Self::open(self.postgres, self.postgres.url().to_owned());
        other.execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }
}
