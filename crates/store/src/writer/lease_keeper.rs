//! Renews the leases of this process on one dedicated connection, and records its writers' failures.
//!
//! A statement that a writer waits hours for, such as an index build, does not delay renewals, and a renewal does not
//! wait for the disk: a disk that stalls for a while costs no lease. A lease that cannot be renewed within its duration
//! ends by the clock of this process; so does one whose session the server has ended.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::random;
use sqlx::{Executor, PgConnection, Row, postgres::PgConnectOptions};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Lease, Stream,
    lease::{AcquiredTerm, LeaseState},
};
use crate::{StoreError, dedicated};

/// Delay before a failed renewal is retried.
const AGAIN: Duration = Duration::from_millis(500);

/// The leases of one process in one database.
pub(crate) struct LeaseKeeper {
    options: PgConnectOptions,
    /// The name of this process in the table of leases.
    holder: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    held: Vec<Arc<LeaseState>>,
    /// Whether the renewal task runs.
    runs: bool,
    failures: HashMap<Stream, Failure>,
}

/// Why a writer of this process cannot write.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) since: Instant,
}

impl LeaseKeeper {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .or_else(|| std::env::var("HOSTNAME").ok());
        let host = host
            .as_deref()
            .map(str::trim)
            .filter(|host| !host.is_empty());
        Self {
            options,
            holder: format!(
                "{}, process {} ({:08x})",
                host.unwrap_or("unnamed host"),
                std::process::id(),
                random::<u32>()
            ),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn holder(&self) -> &str {
        &self.holder
    }

    /// Renews this term from now on, until its lease is dropped.
    pub(super) fn hold(self: &Arc<Self>, stream: Stream, taken: AcquiredTerm) -> Lease {
        metrics::gauge!("chaincast_store_writer_active", "stream" => stream.name()).set(1.0);
        let (lease, held) = Lease::of(stream, &taken);
        let mut state = self.state.lock();
        state.held.push(held);
        if !std::mem::replace(&mut state.runs, true) {
            tokio::spawn(self.clone().run());
        }
        self.changed.notify_one();
        lease
    }

    /// Whether a writer of this process holds the stream's lock.
    pub(super) fn holds(&self, stream: Stream) -> bool {
        let state = self.state.lock();
        state
            .held
            .iter()
            .any(|held| held.stream == stream && !held.has_ended())
    }

    /// Records that this process's writer cannot write. Returns since when.
    pub(crate) fn record_failure(&self, stream: Stream, reason: String) -> Instant {
        let mut state = self.state.lock();
        let entry = state.failures.entry(stream).or_insert_with(|| Failure {
            reason: String::new(),
            since: Instant::now(),
        });
        entry.reason = reason;
        entry.since
    }

    /// Records that it can write, or that another process does.
    pub(crate) fn clear_failure(&self, stream: Stream) {
        self.state.lock().failures.remove(&stream);
    }

    pub(crate) fn failure(&self, stream: Stream) -> Option<Failure> {
        self.state.lock().failures.get(&stream).cloned()
    }

    /// Renews all leases; returns when none is left.
    async fn run(self: Arc<Self>) {
        let mut connection = None;
        let mut not_before = Instant::now();
        loop {
            let held = {
                let mut state = self.state.lock();
                state.held.retain(|held| !held.has_ended());
                if state.held.is_empty() {
                    state.runs = false;
                    return;
                }
                state.held.clone()
            };
            let due = held.iter().map(|held| held.due()).min();
            let expires = held.iter().map(|held| held.expires()).min();
            let (Some(due), Some(expires)) = (due, expires) else {
                continue;
            };
            tokio::select! {
                () = sleep_until(due.max(not_before).min(expires)) => {}
                () = self.changed.notified() => continue,
            }
            let requested_at = Instant::now();
            // An expired lease is not renewed: a standby may have seen it.
            let (over, held): (Vec<_>, Vec<_>) = held
                .into_iter()
                .partition(|held| held.has_expired(requested_at));
            over.iter().for_each(|held| held.expire());
            if held.is_empty() {
                continue;
            }
            let renewal = self.renew(&mut connection, &held);
            match timeout_at(expires.max(requested_at), renewal).await {
                Ok(Ok(())) => held.iter().for_each(|held| {
                    if !held.has_ended() {
                        held.renewed(requested_at);
                    }
                }),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "cannot renew writer leases; retrying");
                    connection = None;
                    not_before = Instant::now() + AGAIN;
                }
                Err(_) => connection = None,
            }
        }
    }

    /// Renews the leases. Ends those that another process took over, and those whose session the server has ended.
    async fn renew(
        &self,
        connection: &mut Option<PgConnection>,
        held: &[Arc<LeaseState>],
    ) -> Result<(), StoreError> {
        // A connection with a dropped statement is not reused.
        let mut used = match connection.take() {
            Some(connection) => connection,
            None => {
                let shortest = held.iter().map(|held| held.length).min().unwrap_or(AGAIN);
                let mut connection = dedicated::connect(&self.options, shortest, "leases").await?;
                // A renewal must not wait for a slow disk. It need not survive a crash, which also ends the sessions
                // that hold the locks.
                connection.execute("SET synchronous_commit = off").await?;
                connection
            }
        };
        let rows = sqlx::query(
            "UPDATE leases l SET renewed_at = clock_timestamp(),
                 written_at = coalesce(clock_timestamp() - make_interval(secs => t.written_ms / 1000.0), l.written_at),
                 failure = CASE WHEN t.works THEN NULL ELSE l.failure END,
                 failed_since = CASE WHEN t.works THEN NULL ELSE l.failed_since END
             FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::boolean[]) AS t (stream, term, written_ms, works)
             WHERE l.stream = t.stream AND l.term = t.term
             RETURNING l.stream, EXISTS (SELECT FROM pg_stat_get_activity(l.backend_pid) a
                 WHERE a.backend_start IS NULL OR a.backend_start = l.backend_start) AS is_there",
        )
        .bind(held.iter().map(|held| held.stream.name()).collect::<Vec<_>>())
        .bind(held.iter().map(|held| held.term).collect::<Vec<_>>())
        .bind(held.iter().map(|held| held.written_ms()).collect::<Vec<_>>())
        .bind(held.iter().map(|held| held.has_succeeded()).collect::<Vec<_>>())
        .fetch_all(&mut used)
        .await?;
        for held in held {
            let name = held.stream.name();
            let row = rows.iter().find(|row| {
                row.try_get::<&str, _>("stream")
                    .is_ok_and(|stream| stream == name)
            });
            match row.map(|row| row.try_get::<bool, _>("is_there")) {
                Some(Ok(true)) => {}
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(false)) => held.end("the server ended the writer's session".to_owned()),
                None => held.end("another process holds a later term".to_owned()),
            }
        }
        *connection = Some(used);
        Ok(())
    }
}
