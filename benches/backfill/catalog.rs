//! One database of a run: what is in its tables, and with which constraints and indexes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use sqlx::{Connection, Executor, PgConnection, Row};

use crate::postgres::Postgres;

/// What a block's rows are in.
pub const TABLES: [&str; 4] = ["blocks", "transactions", "logs", "transfers"];

pub struct Database<'a> {
    postgres: &'a Postgres,
    pub url: String,
    /// Of the database, as the server numbers them.
    oid: i64,
    connection: PgConnection,
}

/// Constraints and indexes of the tables, by name, each with the statement that makes it again.
pub type Schema = BTreeMap<String, Making>;

#[derive(Debug, Clone)]
pub struct Making {
    drop: String,
    make: String,
}

/// What is seen of a load at some moment.
pub struct Moment {
    /// Height of the newest block.
    pub height: Option<i64>,
    /// Whether PostgreSQL works on something, rather than waiting for the client.
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
            connection: connection.expect("the database is there"),
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
        let asked = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut self.connection);
        let asked = self.postgres.runtime.block_on(asked);
        asked.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Rows of each table.
    pub fn rows(&mut self) -> [i64; 4] {
        TABLES.map(|table| self.number(&format!("SELECT count(*) FROM {table}")))
    }

    /// The process that is the parent of every other of the server.
    pub fn postmaster(&mut self) -> u32 {
        let own = self.number("SELECT pg_backend_pid()::bigint");
        crate::usage::parent_of(own as u32)
    }

    /// One look at a load, made cheap: it is had many times a second, on the cores that are measured.
    pub fn look(&mut self) -> Moment {
        const QUERY: &str = "SELECT (SELECT max(head_number) FROM chains) AS height,
             EXISTS (SELECT FROM pg_stat_get_activity(NULL) WHERE datid = $1::bigint::oid AND pid <> pg_backend_pid()
                 AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client') AS busy";
        let asked = sqlx::query(QUERY)
            .bind(self.oid)
            .fetch_one(&mut self.connection);
        let row = self.postgres.runtime.block_on(asked);
        let row = row.expect("the tables are there");
        Moment {
            height: row.get("height"),
            busy: row.get("busy"),
        }
    }

    /// Names of the constraints and indexes that are there now.
    pub fn names(&mut self) -> BTreeSet<String> {
        const QUERY: &str =
            "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = ANY ($1::regclass[])
             UNION SELECT conname::text FROM pg_constraint WHERE conrelid = ANY ($1::regclass[])";
        let asked = sqlx::query_scalar::<_, String>(QUERY)
            .bind(TABLES.map(str::to_owned).to_vec())
            .fetch_all(&mut self.connection);
        let names = self.postgres.runtime.block_on(asked);
        names.expect("the tables are there").into_iter().collect()
    }

    /// Everything that a migrated database has on the tables.
    pub fn schema(&mut self) -> Schema {
        const QUERY: &str = "SELECT conname::text AS name, conrelid::regclass::text AS of, pg_get_constraintdef(oid) AS making,
                 true AS is_constraint
             FROM pg_constraint WHERE conrelid = ANY ($1::regclass[])
             UNION ALL
             SELECT c.relname::text, i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid), false
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = ANY ($1::regclass[])
                 AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid)";
        let asked = sqlx::query(QUERY)
            .bind(TABLES.map(str::to_owned).to_vec())
            .fetch_all(&mut self.connection);
        let rows = self.postgres.runtime.block_on(asked);
        let rows = rows.expect("the tables are there");
        let entries = rows.iter().map(|row| {
            let text = |column: &str| row.get::<String, _>(column);
            let (name, of, making) = (text("name"), text("of"), text("making"));
            let making = if row.get("is_constraint") {
                Making {
                    drop: format!("ALTER TABLE {of} DROP CONSTRAINT {name}"),
                    make: format!("ALTER TABLE {of} ADD CONSTRAINT {name} {making}"),
                }
            } else {
                Making {
                    drop: format!("DROP INDEX {name}"),
                    make: making,
                }
            };
            (name, making)
        });
        entries.collect()
    }

    /// Leaves of `schema` only what is in `kept`; returns what makes the rest again.
    pub fn keep_only(&mut self, schema: &Schema, kept: &BTreeSet<String>) -> Vec<String> {
        let left_out: Vec<&Making> = schema
            .iter()
            .filter(|(name, _)| !kept.contains(*name))
            .map(|(_, making)| making)
            .collect();
        for making in &left_out {
            self.execute(&making.drop);
        }
        left_out.iter().map(|making| making.make.clone()).collect()
    }

    /// Seconds that the statements took.
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
