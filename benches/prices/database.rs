//! Queries and locks on the database of a run.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};

use crate::{bench::Bench, usage};

pub struct Database {
    connection: PgConnection,
    pub url: String,
}

impl Database {
    pub fn new(bench: &Bench) -> Self {
        let url = bench.postgres.database();
        let connection = bench.postgres.runtime.block_on(PgConnection::connect(&url));
        Self {
            connection: connection.expect("the database exists"),
            url,
        }
    }

    /// The postmaster: the parent of every other process of the server.
    pub fn postmaster(&mut self, bench: &Bench) -> u32 {
        let result = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
        let result = result.fetch_one(&mut self.connection);
        let own = bench.postgres.runtime.block_on(result);
        usage::parent_of(own.expect("the server answers") as u32)
    }

    /// The server's time.
    pub fn clock(&mut self, bench: &Bench) -> DateTime<Utc> {
        let result = sqlx::query_scalar("SELECT clock_timestamp()");
        let result = result.fetch_one(&mut self.connection);
        let now = bench.postgres.runtime.block_on(result);
        now.expect("the server answers")
    }

    /// Ticks of each transaction that began between two times: all ticks of a transaction have its time.
    pub fn batches(&mut self, bench: &Bench, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<f64> {
        let result = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM ticks WHERE received_at >= $1 AND received_at < $2 GROUP BY received_at",
        );
        let result = result.bind(from).bind(to).fetch_all(&mut self.connection);
        let counts = bench.postgres.runtime.block_on(result);
        let counts = counts.expect("the server answers");
        counts.into_iter().map(|count| count as f64).collect()
    }
}

/// Blocks writers of `ticks` for `held` at a time with a `pause` between, repeatedly until `lasting` has passed.
pub async fn lock_ticks(url: &str, held: Duration, pause: Duration, lasting: Duration) {
    let mut connection = PgConnection::connect(url).await.expect("it runs");
    let began = Instant::now();
    while began.elapsed() < lasting {
        let mut transaction = connection.begin().await.expect("it runs");
        sqlx::query("LOCK TABLE ticks IN SHARE MODE")
            .execute(&mut *transaction)
            .await
            .expect("the writer ends its transactions");
        tokio::time::sleep(held).await;
        transaction.commit().await.expect("it runs");
        tokio::time::sleep(pause).await;
    }
}
