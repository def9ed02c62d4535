//! A process that does not write a stream, and looks whether it may.
//!
//! It gets the lock when the holder's session ended. When the holder's lease has expired it ends that session itself,
//! having seen twice that nobody renews it: a server that stood still for a while must not cost a holder its lease. Only
//! the session that holds our lock and that the lease names is ended, so that a process id that the system used again is
//! never hit. Where this role may not end it, the stream stays without a writer, and the error says what to grant.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use tokio::time::{Instant, sleep};

use super::{Stream, lease::Taken};
use crate::store::{Store, StoreError};

/// How long a session that is ended may take to end.
const END_WITHIN: Duration = Duration::from_secs(3);
const END_POLL: Duration = Duration::from_millis(20);
const NOT_PERMITTED: &str = "42501";

/// A connection that looks for a stream's lock.
pub(super) struct Standby {
    connection: PgConnection,
    /// A lease that had expired at the last look.
    expired: Option<Expired>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Expired {
    term: i64,
    renewed_at: String,
}

/// The lease as it is stored.
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

    /// Takes the lock and the next term, or says who has them.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        stream: Stream,
    ) -> Result<Taken, StoreError> {
        if let Some(taken) = self.take(store, stream).await? {
            return Ok(taken);
        }
        let Some(holder) = self.holder(stream).await? else {
            return Err(StoreError::Locked(format!(
                "{stream} is written by a session that has no lease, such as one of an earlier version"
            )));
        };
        if holder.silent_ms <= holder.lease_ms {
            self.expired = None;
            return Err(holder.writes(store, stream));
        }
        let expired = Expired {
            term: holder.term,
            renewed_at: holder.renewed_at.clone(),
        };
        if self.expired.as_ref() != Some(&expired) {
            self.expired = Some(expired);
            return Err(holder.writes(store, stream));
        }
        self.end(stream, &holder).await?;
        let until = Instant::now() + END_WITHIN;
        while Instant::now() < until {
            if let Some(taken) = self.take(store, stream).await? {
                tracing::warn!(
                    stream = stream.name(),
                    holder = holder.who,
                    silent_ms = holder.silent_ms,
                    "ended the session of a writer that did not renew its lease, and took it over"
                );
                metrics::counter!("chaincast_store_writer_takeovers_total", "stream" => stream.name()).increment(1);
                return Ok(taken);
            }
            sleep(END_POLL).await;
        }
        Err(holder.writes(store, stream))
    }

    /// Lock and term in one statement: there is no moment in which a session has the one without the other.
    /// What another process failed with is not what this one fails with.
    async fn take(&mut self, store: &Store, stream: Stream) -> Result<Option<Taken>, StoreError> {
        let (asked, length) = (Instant::now(), store.lease);
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
        .bind(store.keeper.holder())
        .bind(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
        .fetch_optional(&mut self.connection)
        .await?;
        Ok(term.map(|term| Taken {
            term,
            asked,
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

    /// Ends the holder's session, if it still is the holder's and holds the lock.
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
            // None: it ended or was renewed meanwhile, or another session has the lock.
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Ok(()),
            Ok(None) => Err(StoreError::Stuck(format!(
                "{stream} has no writer: the lease of {} expired {} s ago, but the lock is held by a session that it does \
                 not name, or that this role may not see; end the session that holds it (see pg_locks, advisory)",
                holder.who,
                holder.silent_ms.saturating_sub(holder.lease_ms) / 1_000,
            ))),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_PERMITTED) => {
                Err(StoreError::Stuck(format!(
                    "{stream} has no writer: {} has not renewed its lease for {} s, and this role may not end its session \
                     (server process {}): let all indexers use one role, or GRANT pg_signal_backend TO the role of this \
                     one; pg_terminate_backend({}) as an administrator frees it now",
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
    fn writes(&self, store: &Store, stream: Stream) -> StoreError {
        if self.who == store.keeper.holder() && !store.keeper.holds(stream) {
            return StoreError::StillHeld(stream.to_string());
        }
        StoreError::Locked(format!("{stream} is written by {}", self.who))
    }
}
