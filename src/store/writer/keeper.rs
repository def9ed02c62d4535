//! Renews the leases of this process, on one connection of its own, and knows what its writers fail with.
//!
//! A statement that a writer waits hours for, such as the building of an index, holds nothing up here, and a renewal does not
//! wait until it is on disk: a disk that stands still for a while costs no lease. A lease that cannot be renewed for as long as it lasts is over by the clock of this process; so is one whose session the server has ended.

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
    lease::{Held, Taken},
    standby::Standby,
};
use crate::store::{StoreError, direct};

/// What a renewal that failed is repeated after.
const AGAIN: Duration = Duration::from_millis(500);
/// The connection of a standby that did not look for so long is not used again.
const FRESH: Duration = Duration::from_secs(10);

/// Of one process and database.
pub(in crate::store) struct Keeper {
    options: PgConnectOptions,
    /// How this process is named in the table of leases.
    holder: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    held: Vec<Arc<Held>>,
    /// Whether a task renews them.
    runs: bool,
    standbys: HashMap<Stream, (Standby, Instant)>,
    failures: HashMap<Stream, Failure>,
}

/// Why a writer of this process cannot write.
#[derive(Debug, Clone)]
pub(in crate::store) struct Failure {
    pub(in crate::store) reason: String,
    pub(in crate::store) since: Instant,
}

impl Keeper {
    pub(in crate::store) fn new(options: PgConnectOptions) -> Self {
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

    pub(in crate::store) fn holder(&self) -> &str {
        &self.holder
    }

    /// Renews a term from now on, until its lease is dropped.
    pub(super) fn hold(self: &Arc<Self>, stream: Stream, taken: Taken) -> Lease {
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

    /// Whether a writer of this process has the right to write the stream.
    pub(super) fn holds(&self, stream: Stream) -> bool {
        let state = self.state.lock();
        state
            .held
            .iter()
            .any(|held| held.stream == stream && !held.has_ended())
    }

    pub(super) fn take_standby(&self, stream: Stream) -> Option<Standby> {
        let (standby, at) = self.state.lock().standbys.remove(&stream)?;
        (at.elapsed() < FRESH).then_some(standby)
    }

    pub(super) fn put_standby(&self, stream: Stream, standby: Standby) {
        let entry = (standby, Instant::now());
        self.state.lock().standbys.insert(stream, entry);
    }

    /// Closes what standbys keep open.
    pub(in crate::store) fn close(&self) {
        self.state.lock().standbys.clear();
    }

    /// The writer of this process cannot write; since when it is so.
    pub(in crate::store) fn failed(&self, stream: Stream, reason: String) -> Instant {
        let mut state = self.state.lock();
        let entry = state.failures.entry(stream).or_insert_with(|| Failure {
            reason: String::new(),
            since: Instant::now(),
        });
        entry.reason = reason;
        entry.since
    }

    /// It writes, or another process does.
    pub(in crate::store) fn works(&self, stream: Stream) {
        self.state.lock().failures.remove(&stream);
    }

    pub(in crate::store) fn failure(&self, stream: Stream) -> Option<Failure> {
        self.state.lock().failures.get(&stream).cloned()
    }

    /// Ends when nothing is held.
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
            let asked = Instant::now();
            // One that expired already is renewed no more: another process may have looked at it.
            let (over, held): (Vec<_>, Vec<_>) =
                held.into_iter().partition(|held| held.has_expired(asked));
            over.iter().for_each(|held| held.expire());
            if held.is_empty() {
                continue;
            }
            let renewal = self.renew(&mut connection, &held);
            match timeout_at(expires.max(asked), renewal).await {
                Ok(Ok(())) => held.iter().for_each(|held| {
                    if !held.has_ended() {
                        held.renewed(asked);
                    }
                }),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the leases of writers are not renewed; trying again");
                    connection = None;
                    not_before = Instant::now() + AGAIN;
                }
                Err(_) => connection = None,
            }
        }
    }

    /// Ends those that another process took, and those whose session the server has ended.
    async fn renew(
        &self,
        connection: &mut Option<PgConnection>,
        held: &[Arc<Held>],
    ) -> Result<(), StoreError> {
        // A connection whose statement is dropped is not used again.
        let mut used = match connection.take() {
            Some(connection) => connection,
            None => {
                let shortest = held.iter().map(|held| held.length).min().unwrap_or(FRESH);
                let mut made = direct::connect(&self.options, shortest, "leases").await?;
                // A renewal must not wait for a slow disk, and need not outlive a crash, which ends the sessions that
                // hold the locks.
                made.execute("SET synchronous_commit = off").await?;
                made
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
        .bind(held.iter().map(|held| held.has_worked()).collect::<Vec<_>>())
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
                Some(Ok(false)) => held.end("the server ended the session that writes".to_owned()),
                None => held.end("another process has a later term of it".to_owned()),
            }
        }
        *connection = Some(used);
        Ok(())
    }
}
