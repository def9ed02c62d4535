//! The lease on a stream: who acquires it, who loses it, and whose database connection is ended for it.

use std::time::Duration;

use chaincast_base::Secret;
use chaincast_dev::PrivatePostgres;
use chaincast_store::{
    Store, StoreConfig, StoreError,
    writer::{LOCK_RETRY_INTERVAL, Stream, Writer},
};
use sqlx::{Connection, PgConnection};

use crate::support::{TempDir, eventually, fresh_database};

/// The key of the advisory lock of the price stream.
const KEY: i64 = (0x6368_6169 << 32) | 1;
const LEASE_MS: u64 = 2_000;

async fn connect(url: &str) -> Store {
    let config = StoreConfig {
        // A role without that privilege has its own test.
        auto_migrate: url.contains("postgres@"),
        url: Secret::new(url),
        lease_ms: LEASE_MS,
        ..StoreConfig::default()
    };
    Store::connect(&config).await.unwrap()
}

/// The same database with another role, which may use all tables.
async fn url_of_role(url: &str, role: &str) -> String {
    let name = format!(
        "{role}_{}",
        url.split('?').next().unwrap().rsplit('/').next().unwrap()
    );
    let mut admin = PgConnection::connect(url).await.unwrap();
    for statement in [
        format!("CREATE ROLE {name} LOGIN"),
        format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"),
        format!("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}"),
    ] {
        sqlx::query(&statement).execute(&mut admin).await.unwrap();
    }
    url.replace("postgres@", &format!("{name}@"))
}

/// A database connection that holds the lock, with an expired lease: a writer that hangs.
async fn hung_writer(url: &str) -> PgConnection {
    let mut session = PgConnection::connect(url).await.unwrap();
    sqlx::query(
        "INSERT INTO leases (stream, term, holder, backend_pid, backend_start, lease_ms, acquired_at, renewed_at)
         SELECT 'prices', 7, 'a writer that hangs', pid, backend_start, 1, now(), now() - interval '1 hour'
         FROM pg_stat_activity WHERE pid = pg_backend_pid() AND pg_try_advisory_lock($1)",
    )
    .bind(KEY)
    .execute(&mut session)
    .await
    .unwrap();
    session
}

async fn is_alive(session: &mut PgConnection) -> bool {
    session.ping().await.is_ok()
}

/// Tries to acquire the lease until the result is other than that it is held.
async fn acquire_lease(store: &Store) -> Result<Writer, StoreError> {
    eventually(
        "another result than a held lease",
        async || match Writer::acquire(store, Stream::Prices).await {
            Err(StoreError::Locked(_) | StoreError::StillHeld(_)) => {
                tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
                None
            }
            other => Some(other),
        },
    )
    .await
}

#[tokio::test]
async fn standby_ends_the_connection_of_an_expired_lease() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let mut session = hung_writer(&url).await;
    let first = Writer::acquire(&store, Stream::Prices).await.err().unwrap();
    // A single observation could be a database that stalled.
    assert!(first.to_string().contains("a writer that hangs"), "{first}");
    assert!(is_alive(&mut session).await);
    let writer = acquire_lease(&store).await.unwrap();
    assert_eq!(writer.lease().term(), 8);
    assert!(!is_alive(&mut session).await);
}

#[tokio::test]
async fn standby_never_ends_a_connection_without_the_lock() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let mut innocent = hung_writer(&url).await;
    // The lease names a connection that lost the lock to another, as with a reused process id.
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(KEY)
        .execute(&mut innocent)
        .await
        .unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(KEY)
        .execute(&mut other)
        .await
        .unwrap();
    let error = acquire_lease(&store).await.err().unwrap();
    assert!(matches!(error, StoreError::Stuck(_)), "{error}");
    assert!(error.to_string().contains("pg_locks"), "{error}");
    assert!(is_alive(&mut innocent).await && is_alive(&mut other).await);
    other.close().await.unwrap();
    // Its session ends some time after that.
    eventually("the released lock", async || {
        acquire_lease(&store).await.ok()
    })
    .await;
    assert!(is_alive(&mut innocent).await);
}

#[tokio::test]
async fn standby_without_privilege_names_the_grant() {
    let url = fresh_database().await;
    connect(&url).await.close().await;
    let (holder, standby) = (
        url_of_role(&url, "holder").await,
        url_of_role(&url, "standby").await,
    );
    let store = connect(&standby).await;
    let mut session = hung_writer(&holder).await;
    let error = acquire_lease(&store).await.err().unwrap();
    assert!(matches!(error, StoreError::Stuck(_)), "{error}");
    assert!(error.is_transient(), "{error}");
    assert!(is_alive(&mut session).await);
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let roles = |url: &str| {
        url.split("//")
            .nth(1)
            .unwrap()
            .split('@')
            .next()
            .unwrap()
            .to_owned()
    };
    let grant = format!("GRANT {} TO {}", roles(&holder), roles(&standby));
    sqlx::query(&grant).execute(&mut admin).await.unwrap();
    let taken = eventually("it takes over", async || {
        tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
        Writer::acquire(&store, Stream::Prices).await.ok()
    })
    .await;
    assert_eq!(taken.lease().term(), 8);
    assert!(!is_alive(&mut session).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_is_kept_during_a_long_statement() {
    let url = fresh_database().await;
    let (store, other) = (connect(&url).await, connect(&url).await);
    let mut writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let seconds = LEASE_MS as f64 / 1_000.0 * 2.5;
    let statement = async {
        sqlx::query("SELECT pg_sleep($1)")
            .bind(seconds)
            .execute(writer.connection())
            .await
            .unwrap();
    };
    let attempts = async {
        loop {
            let error = Writer::acquire(&other, Stream::Prices).await.err().unwrap();
            assert!(matches!(error, StoreError::Locked(_)), "{error}");
            tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
        }
    };
    tokio::select! {
        () = statement => {}
        () = attempts => {}
    }
    writer.begin().await.unwrap().commit().await.unwrap();
    assert_eq!(writer.lease().term(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_of_an_old_term_cannot_begin_a_transaction() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let mut writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    writer.begin().await.unwrap().commit().await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    sqlx::query("UPDATE leases SET term = term + 1")
        .execute(&mut admin)
        .await
        .unwrap();
    let error = writer.begin().await.err().unwrap();
    assert!(matches!(error, StoreError::LeaseLost { .. }), "{error}");
    assert!(error.is_transient(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_loses_its_lease_with_its_connection() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend(backend_pid) FROM leases")
        .execute(&mut admin)
        .await
        .unwrap();
    // Without sending a statement: a writer may wait for a response that never arrives.
    let lost = tokio::time::timeout(Duration::from_secs(60), writer.lease().lost())
        .await
        .unwrap();
    assert!(
        lost.to_string()
            .contains("the server ended the writer's session"),
        "{lost}"
    );
}

/// The time from `since` to the last renewal of the price lease, in ms.
async fn last_renewal_after(store: &Store, since: f64) -> i64 {
    sqlx::query_scalar(
        "SELECT ((extract(epoch FROM renewed_at) - $1) * 1000)::bigint FROM leases WHERE stream = 'prices'",
    )
    .bind(since)
    .fetch_one(store.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_survives_a_stalled_disk() {
    let dir = TempDir::new("leases");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let store = connect(postgres.url()).await;
    let mut writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let mut admin = PgConnection::connect(postgres.url()).await.unwrap();
    // Synchronous commits wait for a standby that does not exist, and keep their locks meanwhile.
    for statement in [
        "CREATE TABLE written (n int)",
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let mut other = PgConnection::connect(postgres.url()).await.unwrap();
    let writing = tokio::spawn(async move {
        loop {
            let written = sqlx::query("INSERT INTO written VALUES (1)");
            written.execute(&mut other).await.unwrap();
        }
    });
    let stalled: f64 = eventually("commits wait", async || {
        sqlx::query_scalar(
            "SELECT extract(epoch FROM clock_timestamp())::float8 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        )
        .fetch_optional(store.pool())
        .await
        .unwrap()
    })
    .await;
    // A writer's failure is recorded in the row that is renewed.
    let failure = StoreError::Timeout(Duration::from_secs(1));
    store.record_writer_failure(Stream::Prices, &failure).await;
    eventually("the lease is renewed beyond its duration", async || {
        writer.lease().check().unwrap();
        let renewed = last_renewal_after(&store, stalled).await;
        (renewed > 3 * LEASE_MS as i64).then_some(())
    })
    .await;
    for statement in [
        "ALTER SYSTEM RESET synchronous_standby_names",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    writer.begin().await.unwrap().commit().await.unwrap();
    writing.abort();
    postgres.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn former_connection_of_this_process_is_not_another_writer() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let error = Writer::acquire(&store, Stream::Prices).await.err().unwrap();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    // Next in the queue for the lock, as if the server were slow to end the connection.
    let mut session = PgConnection::connect(&url).await.unwrap();
    let waiting = tokio::spawn(async move {
        let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(KEY);
        lock.execute(&mut session).await.unwrap();
        session
    });
    eventually("it waits for the lock", async || {
        sqlx::query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            .fetch_optional(store.pool())
            .await
            .unwrap()
    })
    .await;
    drop(writer);
    let session = waiting.await.unwrap();
    let error = Writer::acquire(&store, Stream::Prices).await.err().unwrap();
    assert!(matches!(error, StoreError::StillHeld(_)), "{error}");
    assert!(error.is_transient(), "{error}");
    session.close().await.unwrap();
    let writer = acquire_lease(&store).await.unwrap();
    assert_eq!(writer.lease().term(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_holder_does_not_inherit_a_failure_mark() {
    let url = fresh_database().await;
    let (store, other) = (connect(&url).await, connect(&url).await);
    let failure = async || {
        let writers = other.read_writers().await.unwrap();
        writers[0].failure.clone()
    };
    let writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let silent = StoreError::Timeout(Duration::from_secs(1));
    store.record_writer_failure(Stream::Prices, &silent).await;
    writer.release().await.unwrap();
    // It may not have reached the failing step again.
    let writer = acquire_lease(&store).await.unwrap();
    assert!(failure().await.is_some());
    writer.release().await.unwrap();
    let _writer = acquire_lease(&other).await.unwrap();
    assert_eq!(failure().await, None);
}
