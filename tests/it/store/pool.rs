//! The read pools: no connection is handed out inside a transaction, and no caller can leave one in it.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use chaincast_base::Secret;
use chaincast_store::{Store, StoreConfig, alerts::AlertLimits};
use sqlx::{Executor, PgConnection, Row};

use super::{alerts::alert_above, number, store};
use crate::support::{eventually, fresh_database};

/// A store with a single read connection: each caller gets the connection of the caller before.
async fn single_connection() -> (Store, String) {
    let url = fresh_database().await;
    let config = StoreConfig {
        url: Secret::new(&url),
        max_connections: 1,
        ..StoreConfig::default()
    };
    (Store::connect(&config).await.unwrap(), url)
}

/// Whether the next connection of the pool is inside a transaction.
async fn is_in_transaction(store: &Store) -> bool {
    in_transaction(&mut store.pool().acquire().await.unwrap()).await
}

/// By a simple query: outside of a transaction it is one message, whose time is that of its transaction.
async fn in_transaction(connection: &mut PgConnection) -> bool {
    let query = sqlx::raw_sql("SELECT now() <> statement_timestamp()");
    query.fetch_one(connection).await.unwrap().get(0)
}

/// Other connections to this database that are inside a transaction.
const LEFT_OPEN: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";

#[tokio::test]
async fn rolls_back_a_connection_in_an_open_transaction() {
    let (store, _) = single_connection().await;
    for begin in [
        "BEGIN",
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "BEGIN; CREATE TABLE left_behind ()",
    ] {
        let mut left = store.pool().acquire().await.unwrap();
        // Without sqlx's knowledge, as a dropped `begin` does.
        left.execute(begin).await.unwrap();
        assert!(in_transaction(&mut left).await, "{begin}");
        drop(left);
        assert!(!is_in_transaction(&store).await, "{begin}");
    }
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'";
    assert_eq!(number(&store, tables).await, 0);
}

#[tokio::test]
async fn replaces_a_connection_in_an_aborted_transaction() {
    let (store, _) = single_connection().await;
    let mut left = store.pool().acquire().await.unwrap();
    left.execute("BEGIN").await.unwrap();
    left.execute("SELECT 1/0").await.unwrap_err();
    drop(left);
    assert_eq!(number(&store, "SELECT 42::bigint").await, 42);
    assert!(!is_in_transaction(&store).await);
}

#[tokio::test]
async fn replaces_a_lost_connection() {
    let (store, url) = single_connection().await;
    let before = number(&store, "SELECT pg_backend_pid()::bigint").await;
    let other = super::connect(&url).await;
    let end = format!("SELECT pg_terminate_backend({before})::int::bigint");
    assert_eq!(number(&other, &end).await, 1);
    let after = number(&store, "SELECT pg_backend_pid()::bigint").await;
    assert_ne!(after, before);
}

/// Polls a future up to `polls` times, then drops it. Returns whether it completed.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if polled {
            return true;
        }
        // Yields, so that the future can progress; how far differs between rounds.
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn dropped_begin_leaves_no_transaction() {
    let (store, url) = single_connection().await;
    let watcher = super::connect(&url).await;
    let mut dropped = 0;
    // Small numbers of polls are frequent: on a busy machine the response arrives soon.
    for polls in (0..100).map(|round| round % 5).chain((0..400).step_by(6)) {
        dropped += usize::from(!dropped_after(polls, store.begin()).await);
        assert!(!is_in_transaction(&store).await, "after {polls} polls");
    }
    // The number of polls until the response arrives depends on the machine, but is at least two.
    assert!(dropped >= 2, "{dropped} were dropped");
    eventually("no connection is in a transaction", async || {
        (number(&watcher, LEFT_OPEN).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn dropped_alert_creation_holds_no_lock() {
    const MANY: AlertLimits = AlertLimits {
        per_user: 1_000,
        total: 1_000,
        creations: 1_000,
        window_ms: 1_000,
    };
    let (store, _) = store().await;
    for round in (0..1_200).step_by(15) {
        let threshold = round.to_string();
        dropped_after(
            round,
            store.create_alert(&alert_above("alice", &threshold), &MANY),
        )
        .await;
    }
    // It takes the lock that every alert creation takes first.
    let bob = alert_above("bob", "1");
    let made = tokio::time::timeout(Duration::from_secs(60), store.create_alert(&bob, &MANY));
    made.await.expect("nobody holds the lock").unwrap();
}

#[tokio::test]
async fn postgres_ends_readers_that_idle_in_a_transaction() {
    let (store, _) = store().await;
    let idle_timeout = "SELECT setting::bigint FROM pg_settings
        WHERE name = 'idle_in_transaction_session_timeout'";
    assert_eq!(number(&store, idle_timeout).await, 10_000);
}
