//! A standby: a process that tries to acquire a stream's lock.
//!
//! It gets the lock when the holder's Postgres session has ended. If the holder's lease has expired, the standby
//! terminates that session itself, after it has seen the same expired lease twice: a database that stalled for a while
//! must not cost a holder its lease. Only the session that holds the lock and that the lease names is terminated, so
//! that a reused process id is never hit. If this role may not terminate it, the stream stays without a writer, and the
//! error states what to grant.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use tokio::time::{Instant, sleep};

use super::{LeaseKeeper, Stream, lease::AcquiredTerm};
use crate::StoreError;

/// How long to wait for a terminated session to end.
const END_WITHIN: Duration = Duration::from_secs(3);
const END_POLL: Duration = Duration::from_millis(20);
const NOT_PERMITTED: &str = "42501";

/// A connection that tries to acquire a stream's lock.
pub(super) struct Standby {
    connection: PgConnection,
    /// The expired lease seen by the last attempt.
    expired: Option<Expired>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Expired {
    term: i64,
    renewed_at: String,
}

/// The stored lease.
struct Holder {
    who: String,
    term: i64,
    backend_pid: i32,
    renewed_at: String,
    silent_ms: i64,
    lease_ms: i64,
}

impl Standby {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self {
            connection,
            expired: None,
        }
    }

    pub(super) fn into_connection(self) -> PgConnection {
        self.connection
    }

    /// Acquires the lock and the next term, of this length, or fails with the current holder. `keeper` is that of this
    /// process.
    pub(super) async fn try_acquire(
        &mut self,
        keeper: &LeaseKeeper,
        length: Duration,
        stream: Stream,
    ) -> Result<AcquiredTerm, StoreError> {
        if let Some(taken) = self.take(keeper, length, stream).await? {
            return Ok(taken);
        }
        let Some(holder) = self.holder(stream).await? else {
            return Err(StoreError::Locked(format!(
                "{stream} is written by a Postgres session without a lease, such as one of an earlier version"
            )));
        };
        if holder.silent_ms <= holder.lease_ms {
            self.expired = None;
            return Err(holder.locked_error(keeper, stream));
        }
        let expired = Expired {
            term: holder.term,
            renewed_at: holder.renewed_at.clone(),
        };
        if self.expired.as_ref() != Some(&expired) {
            self.expired = Some(expired);
            return Err(holder.locked_error(keeper, stream));
        }
        self.end(stream, &holder).await?;
        let until = Instant::now() + END_WITHIN;
        while Instant::now() < until {
            if let Some(taken) = self.take(keeper, length, stream).await? {
                tracing::warn!(
                    stream = stream.name(),
                    holder = holder.who,
                    silent_ms = holder.silent_ms,
                    "terminated a writer's Postgres session with an expired lease and took over its stream"
                );
                metrics::counter!("chaincast_store_writer_takeovers_total", "stream" => stream.name()).increment(1);
                return Ok(taken);
            }
            sleep(END_POLL).await;
        }
        Err(holder.locked_error(keeper, stream))
    }

    /// Acquires lock and term in one statement, so that no session has one without the other. A failure of another
    /// process is cleared, as it does not apply to this one.
    async fn take(
        &mut self,
        keeper: &LeaseKeeper,
        length: Duration,
        stream: Stream,
    ) -> Result<Option<AcquiredTerm>, StoreError> {
        let requested_at = Instant::now();
        let term = sqlx::query_scalar::<_, i64>(
            "WITH lock AS MATERIALIZED (SELECT pg_try_advisory_lock($1) AS taken)
             INSERT INTO leases AS l (stream, term, holder, backend_pid, backend_start, lease_ms, acquired_at, renewed_at)
             SELECT $2, 1, $3, pg_backend_pid(), a.backend_start, $4, clock_timestamp(), clock_timestamp()
             FROM lock, pg_stat_get_activity(pg_backend_pid()) a WHERE lock.taken
             ON CONFLICT (stream) DO UPDATE SET term = l.term + 1, holder = excluded.holder,
                 backend_pid = excluded.backend_pid, backend_start = excluded.backend_start,
                 lease_ms = excluded.lease_ms, acquired_at = excluded.acquired_at, renewed_at = excluded.renewed_at,
                 failure = CASE WHEN l.holder = excluded.holder THEN l.failure END,
                 failed_since = CASE WHEN l.holder = excluded.holder THEN l.failed_since END
             RETURNING term",
        )
        .bind(stream.key())
        .bind(stream.name())
        .bind(keeper.holder())
        .bind(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
        .fetch_optional(&mut self.connection)
        .await?;
        Ok(term.map(|term| AcquiredTerm {
            term,
            requested_at,
            length,
        }))
    }

    async fn holder(&mut self, stream: Stream) -> Result<Option<Holder>, StoreError> {
        let row = sqlx::query(
            "SELECT holder, term, backend_pid, renewed_at::text, lease_ms,
                 (extract(epoch FROM clock_timestamp() - renewed_at) * 1000)::bigint AS silent_ms
             FROM leases WHERE stream = $1",
        )
        .bind(stream.name())
        .fetch_optional(&mut self.connection)
        .await?;
        row.map(|row| {
            Ok(Holder {
                who: row.try_get("holder")?,
                term: row.try_get("term")?,
                backend_pid: row.try_get("backend_pid")?,
                renewed_at: row.try_get("renewed_at")?,
                silent_ms: row.try_get("silent_ms")?,
                lease_ms: row.try_get("lease_ms")?,
            })
        })
        .transpose()
    }

    /// Terminates the holder's session if it is still the holder's and holds the lock.
    async fn end(&mut self, stream: Stream, holder: &Holder) -> Result<(), StoreError> {
        let ended = sqlx::query_scalar::<_, bool>(
            "SELECT pg_terminate_backend(l.backend_pid)
             FROM leases l, pg_stat_get_activity(l.backend_pid) a
             WHERE l.stream = $1 AND l.term = $2 AND a.backend_start = l.backend_start
                 AND l.renewed_at + make_interval(secs => l.lease_ms / 1000.0) < clock_timestamp()
                 AND EXISTS (SELECT FROM pg_locks k JOIN pg_database d ON d.oid = k.database
                     WHERE d.datname = current_database() AND k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                         AND k.pid = l.backend_pid AND (k.classid::bigint << 32 | k.objid::bigint) = $3)",
        )
        .bind(stream.name())
        .bind(holder.term)
        .bind(stream.key())
        .fetch_optional(&mut self.connection)
        .await;
        match ended {
            // None: the session ended or renewed its lease meanwhile, or another session holds the lock.
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Ok(()),
            Ok(None) => Err(StoreError::Stuck(format!(
                "{stream} has no writer: the lease of {} expired {} s ago, but the lock is held by a session that the \
                 lease does not name, or that this role may not see; terminate the session that holds it (see \
                 pg_locks, locktype advisory)",
                holder.who,
                holder.silent_ms.saturating_sub(holder.lease_ms) / 1_000,
            ))),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_PERMITTED) => {
                Err(StoreError::Stuck(format!(
                    "{stream} has no writer: {} has not renewed its lease for {} s, and this role may not terminate \
                     its session (server process {}): use one role for all indexers, or GRANT pg_signal_backend to \
                     this role; to release it now, run pg_terminate_backend({}) as an administrator",
                    holder.who,
                    holder.silent_ms / 1_000,
                    holder.backend_pid,
                    holder.backend_pid,
                )))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Holder {
    fn locked_error(&self, keeper: &LeaseKeeper, stream: Stream) -> StoreError {
        if self.who == keeper.holder() && !keeper.holds(stream) {
            return StoreError::StillHeld(stream.to_string());
        }
        StoreError::Locked(format!("{stream} is written by {}", self.who))
    }
}
