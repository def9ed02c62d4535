//! What the database of a run is asked, and what is done to it.

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
            connection: connection.expect("the database is there"),
            url,
        }
    }

    /// The process that is the parent of every other of the server.
    pub fn postmaster(&mut self, bench: &Bench) -> u32 {
        let asked = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
        let asked = asked.fetch_one(&mut self.connection);
        let own = bench.postgres.runtime.block_on(asked);
        usage::parent_of(own.expect("the server answers") as u32)
    }

    /// The server's time.
    pub fn clock(&mut self, bench: &Bench) -> DateTime<Utc> {
        let asked = sqlx::query_scalar("SELECT clock_timestamp()");
        let asked = asked.fetch_one(&mut self.connection);
        let now = bench.postgres.runtime.block_on(asked);
        now.expect("the server answers")
    }

    /// Ticks of each transaction that began between two times: all of one have its time.
    pub fn batches(&mut self, bench: &Bench, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<f64> {
        let asked = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM ticks WHERE received_at >= $1 AND received_at < $2 GROUP BY received_at",
        );
        let asked = asked.bind(from).bind(to).fetch_all(&mut self.connection);
        let counts = bench.postgres.runtime.block_on(asked);
        let counts = counts.expect("the server answers");
        counts.into_iter().map(|count| count as f64).collect()
    }
}

/// Keeps writers away from ticks, for `held` at a time with a `pause` between, and again until so much time has passed.
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
