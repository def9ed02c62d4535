//! Dedicated connections to the server, for writers and for lease renewal, and checks that they bypass poolers and
//! accept writes.
//!
//! Each end detects within about one lease that the other is gone. The server's kernel is configured per connection: it
//! probes an idle client, and gives up on one that does not acknowledge data. This end gives up by its own clock, see
//! [`super::writer::Lease`].

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};

use super::StoreError;

/// Interval and number of keepalive probes, after the first one is not answered.
const AGAIN_S: u64 = 1;
const PROBES: u64 = 3;

/// Connects; the application name is `chaincast {what}`.
pub(super) async fn connect(
    options: &PgConnectOptions,
    lease: Duration,
    what: &str,
) -> Result<PgConnection, StoreError> {
    let connected = options.connect().await;
    let mut connection = connected.map_err(|error| StoreError::unreachable(options, error))?;
    // Over a Unix socket these have no effect. A connection that holds a lock is idle by design.
    let settings = format!(
        "SET tcp_keepalives_idle = {idle}; SET tcp_keepalives_interval = {AGAIN_S}; SET tcp_keepalives_count = {PROBES};
         SET tcp_user_timeout = {}; SET idle_session_timeout = 0; SET application_name = 'chaincast {what}'",
        lease.as_millis(),
        idle = lease.as_secs().saturating_sub(AGAIN_S * PROBES).max(1),
    );
    connection.execute(settings.as_str()).await?;
    let looking = format!(
        "SET client_connection_check_interval = {}",
        lease.as_millis() / 3
    );
    match connection.execute(looking.as_str()).await {
        // Not every operating system supports checking the client while a statement runs.
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(connection),
        Err(error) => Err(error.into()),
    }
}

/// How often two connections are compared: a pooler's other clients may take its sessions in between.
const COMPARED: u32 = 3;

/// Fails when a connection is not a Postgres session of its own. Two open connections must have two server processes,
/// and keep them from one transaction to the next. A pooler with one idle session gives both connections the same.
pub(super) async fn refuse_pooler(
    options: &PgConnectOptions,
    failed: impl Fn(sqlx::Error) -> StoreError,
) -> Result<(), StoreError> {
    let connect = || async { options.connect().await.map_err(&failed) };
    let (mut first, mut second) = (connect().await?, connect().await?);
    for _ in 0..COMPARED {
        let before = backend_pid(&mut first).await?;
        // Holds its session until the first connection has queried again.
        let begun = second.execute("BEGIN").await;
        begun.map_err(|error| match error.as_database_error() {
            Some(refused) => StoreError::Pooler(refused.message().to_owned()),
            None => StoreError::Database(error),
        })?;
        let other = backend_pid(&mut second).await?;
        if other == before {
            return Err(StoreError::Pooler(
                "two connections share one server process".to_owned(),
            ));
        }
        if backend_pid(&mut first).await? != before {
            return Err(StoreError::Pooler(
                "one connection changes its server process between statements".to_owned(),
            ));
        }
        second.execute("COMMIT").await?;
    }
    first.close().await?;
    second.close().await?;
    Ok(())
}

/// Fails when new transactions are read-only: on a standby, or because of `default_transaction_read_only`.
pub(super) async fn refuse_read_only(
    options: &PgConnectOptions,
    url_name: &str,
    failed: impl Fn(sqlx::Error) -> StoreError,
) -> Result<(), StoreError> {
    let mut connection = options.connect().await.map_err(failed)?;
    let (standby, read_only, source): (bool, bool, String) = sqlx::query_as(
        "SELECT pg_is_in_recovery(), setting::boolean, source FROM pg_settings
         WHERE name = 'default_transaction_read_only'",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    match (standby, read_only) {
        (true, _) => Err(StoreError::standby(url_name, options)),
        (false, true) => Err(StoreError::read_only(url_name, options, &source)),
        (false, false) => Ok(()),
    }
}

/// Without a prepared statement, which a pooler may lose.
async fn backend_pid(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    Ok(sqlx::Row::try_get(&row, 0)?)
}
