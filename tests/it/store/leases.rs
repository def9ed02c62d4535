//! The right to write a stream: who gets it, who loses it, and whose session is ended for it.

use std::time::Duration;

use chaincast::{
    dev::PrivatePostgres,
    model::Secret,
    store::{
        Store, StoreConfig, StoreError,
        writer::{LOOK_EVERY, Stream, Writer},
    },
};
use sqlx::{Connection, PgConnection};

use crate::support::{Temporary, eventually, fresh_database};

/// Of the advisory lock of the prices.
const KEY: i64 = (0x6368_6169 << 32) | 1;
const LEASE_MS: u64 = 2_000;

async fn connect(url: &str) -> Store {
    let config = StoreConfig {
        // A role that may not do that is one of the tests.
        auto_migrate: url.contains("postgres@"),
        url: Secret::new(url),
        lease_ms: LEASE_MS,
        ..StoreConfig::default()
    };
    Store::connect(&config).await.unwrap()
}

/// The same database as another role, which may use all tables.
async fn as_role(url: &str, role: &str) -> String {
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

/// A session that holds the lock, and a lease that expired: as a writer that hangs.
async fn hung(url: &str) -> PgConnection {
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

async fn lives(session: &mut PgConnection) -> bool {
    session.ping().await.is_ok()
}

/// Looks until another answer comes than that it is written.
async fn looked(store: &Store) -> Result<Writer, StoreError> {
    eventually("a look that says more", async || {
        match Writer::acquire(store, Stream::Prices).await {
            Err(StoreError::Locked(_) | StoreError::StillHeld(_)) => {
                tokio::time::sleep(LOOK_EVERY).await;
                None
            }
            other => Some(other),
        }
    })
    .await
}

#[tokio::test]
async fn standby_ends_the_session_of_an_expired_lease() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let mut session = hung(&url).await;
    let first = Writer::acquire(&store, Stream::Prices).await.err().unwrap();
    // Once might be a database that stood still.
    assert!(first.to_string().contains("a writer that hangs"), "{first}");
    assert!(lives(&mut session).await);
    let writer = looked(&store).await.unwrap();
    assert_eq!(writer.lease().term(), 8);
    assert!(!lives(&mut session).await);
}

#[tokio::test]
async fn standby_never_ends_a_session_without_the_lock() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let mut innocent = hung(&url).await;
    // The lease names a session that lost the lock to another: as a process id that is used again.
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
    let error = looked(&store).await.err().unwrap();
    assert!(matches!(error, StoreError::Stuck(_)), "{error}");
    assert!(error.to_string().contains("pg_locks"), "{error}");
    assert!(lives(&mut innocent).await && lives(&mut other).await);
    other.close().await.unwrap();
    looked(&store).await.unwrap();
    assert!(lives(&mut innocent).await);
}

#[tokio::test]
async fn standby_without_privilege_says_what_to_grant() {
    let url = fresh_database().await;
    connect(&url).await.close().await;
    let (holder, standby) = (
        as_role(&url, "holder").await,
        as_role(&url, "standby").await,
    );
    let store = connect(&standby).await;
    let mut session = hung(&holder).await;
    let error = looked(&store).await.err().unwrap();
    assert!(matches!(error, StoreError::Stuck(_)), "{error}");
    assert!(error.is_transient(), "{error}");
    assert!(lives(&mut session).await);
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
        tokio::time::sleep(LOOK_EVERY).await;
        Writer::acquire(&store, Stream::Prices).await.ok()
    })
    .await;
    assert_eq!(taken.lease().term(), 8);
    assert!(!lives(&mut session).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_statement_keeps_the_lease() {
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
    let looks = async {
        loop {
            let error = Writer::acquire(&other, Stream::Prices).await.err().unwrap();
            assert!(matches!(error, StoreError::Locked(_)), "{error}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = statement => {}
        () = looks => {}
    }
    writer.begin().await.unwrap().commit().await.unwrap();
    assert_eq!(writer.lease().term(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_of_an_old_term_cannot_begin() {
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
async fn writer_whose_session_was_ended_loses_its_lease() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend(backend_pid) FROM leases")
        .execute(&mut admin)
        .await
        .unwrap();
    // Without a statement of its own: it may wait for the answer to one that never comes.
    let lost = tokio::time::timeout(Duration::from_secs(60), writer.lease().lost())
        .await
        .unwrap();
    assert!(
        lost.to_string().contains("the server ended the session"),
        "{lost}"
    );
}

/// How long after `since` the lease of the prices was last renewed, in ms.
async fn renewed_after(store: &Store, since: f64) -> i64 {
    sqlx::query_scalar(
        "SELECT ((extract(epoch FROM renewed_at) - $1) * 1000)::bigint FROM leases WHERE stream = 'prices'",
    )
    .bind(since)
    .fetch_one(store.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_outlasts_a_disk_that_stands_still() {
    let dir = Temporary::new("leases");
    let postgres = PrivatePostgres::start(dir.path()).await.unwrap();
    let store = connect(postgres.url()).await;
    let mut writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let mut admin = PgConnection::connect(postgres.url()).await.unwrap();
    // Whatever is to be durable waits for a standby that there is not, and keeps its locks meanwhile.
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
    // That a writer fails is noted in the row that is renewed.
    let failure = StoreError::Silent(Duration::from_secs(1));
    store.writer_failed(Stream::Prices, &failure).await;
    eventually(
        "the lease is renewed for longer than it lasts",
        async || {
            writer.lease().check().unwrap();
            let renewed = renewed_after(&store, stalled).await;
            (renewed > 3 * LEASE_MS as i64).then_some(())
        },
    )
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
async fn former_session_of_this_process_is_no_other_writer() {
    let url = fresh_database().await;
    let store = connect(&url).await;
    let writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let error = Writer::acquire(&store, Stream::Prices).await.err().unwrap();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    // Next in line for the lock, as if the server were slow to end the session.
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
    let writer = looked(&store).await.unwrap();
    assert_eq!(writer.lease().term(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_holder_does_not_inherit_a_failure() {
    let url = fresh_database().await;
    let (store, other) = (connect(&url).await, connect(&url).await);
    let failure = async || {
        let writers = other.read_writers().await.unwrap();
        writers[0].failure.clone()
    };
    let writer = Writer::acquire(&store, Stream::Prices).await.unwrap();
    let silent = StoreError::Silent(Duration::from_secs(1));
    store.writer_failed(Stream::Prices, &silent).await;
    writer.release().await.unwrap();
    // It may have reached what it fails at again.
    let writer = looked(&store).await.unwrap();
    assert!(failure().await.is_some());
    writer.release().await.unwrap();
    let _writer = looked(&other).await.unwrap();
    assert_eq!(failure().await, None);
}
