//! Connections of their own to the server: those of writers, and those that keep their leases; and whether they are that,
//! and may write.
//!
//! Each end notices within about the lease that the other is gone. The server is set to here: its kernel asks an idle
//! client whether it is there, and gives up on one that does not acknowledge what was sent. This end gives up by its own
//! clock, see [`super::writer::Lease`].

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};

use super::StoreError;

/// What a keepalive that is not answered is repeated after, and how often.
const AGAIN_S: u64 = 1;
const PROBES: u64 = 3;

/// Connects for `what`, which the server shows as the application's name.
pub(super) async fn connect(
    options: &PgConnectOptions,
    lease: Duration,
    what: &str,
) -> Result<PgConnection, StoreError> {
    let connected = options.connect().await;
    let mut connection = connected.map_err(|error| StoreError::unreachable(options, error))?;
    // Over a Unix socket they mean nothing and are accepted. A lock makes a session idle by nature.
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
        // Not every system can look whether a client is there while a statement runs.
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(connection),
        Err(error) => Err(error.into()),
    }
}

/// How often two connections are compared: other clients of a pooler may take its sessions in between.
const COMPARED: u32 = 3;

/// Fails when a connection is no session of its own. Two connections that are open at once have two server processes, and
/// each keeps its own from one transaction to the next; a pooler that has but one idle session gives it to both.
pub(super) async fn refuse_pooler(
    options: &PgConnectOptions,
    failed: impl Fn(sqlx::Error) -> StoreError,
) -> Result<(), StoreError> {
    let connect = || async { options.connect().await.map_err(&failed) };
    let (mut first, mut second) = (connect().await?, connect().await?);
    for _ in 0..COMPARED {
        let before = process_of(&mut first).await?;
        // Holds its session until the first one has asked again.
        let begun = second.execute("BEGIN").await;
        begun.map_err(|error| match error.as_database_error() {
            Some(refused) => StoreError::Pooler(refused.message().to_owned()),
            None => StoreError::Database(error),
        })?;
        let other = process_of(&mut second).await?;
        if other == before {
            return Err(StoreError::Pooler(
                "two connections have one server process".to_owned(),
            ));
        }
        if process_of(&mut first).await? != before {
            return Err(StoreError::Pooler(
                "one connection has another server process with each statement".to_owned(),
            ));
        }
        second.execute("COMMIT").await?;
    }
    first.close().await?;
    second.close().await?;
    Ok(())
}

/// Fails when new transactions may not write: on a standby, or by `default_transaction_read_only`.
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

/// Asked without a prepared statement, which a pooler may lose.
async fn process_of(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    Ok(sqlx::Row::try_get(&row, 0)?)
}
