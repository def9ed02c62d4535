//! A commit concurrent with all others: a row inserted periodically, by a connection that does nothing else.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection};
use tokio_util::task::AbortOnDropHandle;

use crate::{bench::Bench, process};

const EVERY: Duration = Duration::from_millis(50);

/// Commits until it is dropped.
pub struct Probe {
    /// When each commit ended, and how long it took, in ns.
    commits: Arc<Mutex<Vec<(u64, u64)>>>,
    _committing: AbortOnDropHandle<()>,
}

impl Probe {
    pub fn start(bench: &Bench, url: &str) -> Self {
        let commits = Arc::new(Mutex::new(Vec::new()));
        let task = bench
            .postgres
            .runtime
            .spawn(commit(url.to_owned(), commits.clone()));
        Self {
            commits,
            _committing: AbortOnDropHandle::new(task),
        }
    }

    /// Durations of the commits that ended between two instants, in ms.
    pub fn between(&self, from: u64, to: u64) -> Vec<f64> {
        let commits = self.commits.lock();
        let within = commits.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, took)| *took as f64 / 1e6).collect()
    }
}

async fn commit(url: String, commits: Arc<Mutex<Vec<(u64, u64)>>>) {
    let mut connection = PgConnection::connect(&url).await.expect("it runs");
    sqlx::query("CREATE TABLE bench_commits (at bigint NOT NULL)")
        .execute(&mut connection)
        .await
        .expect("the name is new");
    loop {
        let began = process::now_ns();
        let stored = sqlx::query("INSERT INTO bench_commits VALUES ($1)")
            .bind(began as i64)
            .execute(&mut connection)
            .await;
        // The server may end before this thread does.
        if stored.is_err() {
            return;
        }
        let ended = process::now_ns();
        commits.lock().push((ended, ended - began));
        tokio::time::sleep(EVERY).await;
    }
}
