//! The writers of all streams and their failures, for readiness and status of every process.
//!
//! A failure is recorded twice: in the table of leases, where other processes see it while the database accepts the
//! write, and in memory, where this process knows it regardless of the database.

use std::time::Duration;

use sqlx::Row;

use super::{Store, StoreError, writer::Stream};

/// Upper bound on storing a failure.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream's writer, as stored and as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterRow {
    /// As [`Stream::name`] returns it.
    pub stream: String,
    /// Host and process.
    pub holder: String,
    /// Increases with each holder.
    pub term: u64,
    /// In ms since the Unix epoch.
    pub since: i64,
    /// Time since its last lease renewal, by the database's clock, in ms.
    pub silent_ms: u64,
    /// Duration of its lease, in ms.
    lease_ms: u64,
    /// When it last committed, in ms since the Unix epoch.
    pub written_at: Option<i64>,
    /// Why it cannot write, and for how long, in ms.
    pub failure: Option<(String, u64)>,
    /// Whether it is a writer of this process.
    pub is_ours: bool,
}

/// The row of a stream.
pub fn find_writer(writers: &[WriterRow], stream: Stream) -> Option<&WriterRow> {
    let name = stream.name();
    writers.iter().find(|row| row.stream == name)
}

impl WriterRow {
    /// Whether its lease has not expired.
    pub fn is_alive(&self) -> bool {
        self.silent_ms <= self.lease_ms
    }
}

pub(super) fn describe() {
    metrics::describe_gauge!(
        "chaincast_store_writer_active",
        "1 while this process holds the stream's lease, 0 while it is a standby"
    );
    metrics::describe_counter!(
        "chaincast_store_writer_takeovers_total",
        "Takeovers: Postgres sessions of writers with an expired lease that this process terminated"
    );
    metrics::describe_gauge!(
        "chaincast_store_writer_failing",
        "1 while this process is the stream's writer and its writes fail"
    );
}

impl Store {
    /// Records that this process's writer cannot write, for readiness here and in other processes. Never fails, and
    /// takes at most a second.
    pub async fn record_writer_failure(&self, stream: Stream, error: &StoreError) {
        if matches!(error, StoreError::Locked(_)) {
            return self.clear_writer_failure(stream);
        }
        metrics::gauge!("chaincast_store_writer_failing", "stream" => stream.name()).set(1.0);
        let since = self.keeper.record_failure(stream, error.to_string());
        // Does not wait for the disk: until it commits, it blocks the lease renewal of this row.
        let noting = sqlx::query(
            "WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
             UPDATE leases SET failure = $2, failed_since = clock_timestamp() - make_interval(secs => $3::bigint / 1000.0)
             FROM quick WHERE stream = $1 AND holder = $4",
        )
        .bind(stream.name())
        .bind(error.to_string().replace('\0', ""))
        .bind(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
        .bind(self.keeper.holder())
        .execute(&self.live);
        if let Ok(Err(error)) = tokio::time::timeout(STORE_TIMEOUT, noting).await {
            tracing::debug!(stream = stream.name(), %error, "cannot store a writer's failure");
        }
    }

    /// Records that this process's writer can write, or that another process holds the lock.
    pub fn clear_writer_failure(&self, stream: Stream) {
        metrics::gauge!("chaincast_store_writer_failing", "stream" => stream.name()).set(0.0);
        self.keeper.clear_failure(stream);
    }

    /// Why this process's writer cannot write, and for how long, in ms.
    pub fn writer_failure(&self, stream: Stream) -> Option<(String, u64)> {
        let failure = self.keeper.failure(stream)?;
        let for_ms = u64::try_from(failure.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some((failure.reason, for_ms))
    }

    /// The writers of all streams that have had one.
    pub async fn read_writers(&self) -> Result<Vec<WriterRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT stream, holder, term, lease_ms, failure,
                 (extract(epoch FROM acquired_at) * 1000)::bigint AS since,
                 (extract(epoch FROM written_at) * 1000)::bigint AS written_at,
                 (extract(epoch FROM clock_timestamp() - renewed_at) * 1000)::bigint AS silent_ms,
                 (extract(epoch FROM clock_timestamp() - failed_since) * 1000)::bigint AS failed_ms
             FROM leases ORDER BY stream",
        )
        .fetch_all(&self.reads)
        .await?;
        let natural = |value: i64| u64::try_from(value).unwrap_or(0);
        rows.iter()
            .map(|row| {
                let failure: Option<String> = row.try_get("failure")?;
                let failed_ms: Option<i64> = row.try_get("failed_ms")?;
                let holder: String = row.try_get("holder")?;
                Ok(WriterRow {
                    stream: row.try_get("stream")?,
                    is_ours: holder == self.keeper.holder(),
                    holder,
                    term: natural(row.try_get("term")?),
                    since: row.try_get("since")?,
                    silent_ms: natural(row.try_get("silent_ms")?),
                    lease_ms: natural(row.try_get("lease_ms")?),
                    written_at: row.try_get("written_at")?,
                    failure: failure.zip(failed_ms.map(natural)),
                })
            })
            .collect()
    }

    /// Whether new transactions are read-only: on a replica, or because of `default_transaction_read_only`.
    pub async fn is_read_only(&self) -> Result<bool, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let is_read_only = sqlx::query_scalar(
            "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean",
        )
        .fetch_one(&mut *connection)
        .await?;
        if is_read_only {
            // A Postgres session keeps the role's or database's setting from its start: the next check needs a new one.
            connection.close().await?;
        }
        Ok(is_read_only)
    }
}
