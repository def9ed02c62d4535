//! Indexes that are dropped during a large load and rebuilt after it.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use chaincast_api::{ApiConfig, ApiState};
use chaincast_base::Secret;
use chaincast_http::client::OriginPolicy;
use chaincast_store::{
    Store, StoreConfig,
    chain::{self, Batch, indexes},
    writer::{Stream, Writer},
};
use serde_json::Value;
use tower::ServiceExt;

use super::{
    blocks::{self, CHAIN, Shape},
    connect, number, store,
};
use crate::support::eventually;

const MEMORY: u64 = 32 << 20;
const OTHER: u64 = 10;

/// Every index with its definition, by name.
async fn all_indexes(store: &Store) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname",
    )
    .fetch_all(store.pool())
    .await
    .unwrap()
}

async fn writer(store: &Store) -> Writer {
    Writer::acquire(store, Stream::Chain(CHAIN)).await.unwrap()
}

/// Registers the chain and stores its first blocks.
async fn register_and_store(writer: &mut Writer, chain_id: u64, count: u64) {
    let shape = Shape {
        transactions: 3,
        logs: 4,
        transfers: 2,
    };
    let genesis = blocks::block_ref(0);
    let connection = writer.connection();
    chain::register(connection, chain_id, genesis, 0)
        .await
        .unwrap();
    if count > 0 {
        let blocks: Vec<_> = (0..count)
            .map(|number| blocks::block(number, shape))
            .collect();
        let batch = Batch::encode(chain_id, &blocks).unwrap();
        let mut transaction = writer.begin().await.unwrap();
        chain::apply_batch(&mut transaction, &batch, true)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn next_writer_rebuilds_indexes_after_a_killed_load() {
    let (store, url) = store().await;
    let before = all_indexes(&store).await;
    let mut first = writer(&store).await;
    register_and_store(&mut first, CHAIN, 0).await;
    assert!(
        indexes::defer(first.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    let during = all_indexes(&store).await;
    assert!(during.len() + 5 <= before.len(), "{during:?}");
    assert!(
        during.iter().any(|index| index.contains("logs_pkey")),
        "{during:?}"
    );
    register_and_store(&mut first, CHAIN, 40).await;
    // Killed: the connection ends, and releases the lock.
    drop(first);

    let store = connect(&url).await;
    let mut second = eventually("the lock of the killed writer", async || {
        Writer::acquire(&store, Stream::Chain(CHAIN)).await.ok()
    })
    .await;
    // Most of the load is still ahead, so it continues without the indexes.
    assert!(
        indexes::defer(second.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    // Nothing large is left to load.
    assert!(
        !indexes::defer(second.connection(), CHAIN, 10, 1_000)
            .await
            .unwrap()
    );
    // An index whose build was interrupted is invalid and must be rebuilt.
    let (name, definition): (String, String) = sqlx::query_as(
        "SELECT name, definition FROM deferred_indexes WHERE name = 'transactions_hash'",
    )
    .fetch_one(second.connection())
    .await
    .unwrap();
    sqlx::raw_sql(&definition)
        .execute(second.connection())
        .await
        .unwrap();
    sqlx::query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass($1)")
        .bind(&name)
        .execute(second.connection())
        .await
        .unwrap();

    let mut finished = Vec::new();
    let built = indexes::restore(second.connection(), MEMORY, |building| {
        assert_eq!(building.done, finished.len());
        finished.push((building.name.to_owned(), building.of));
    })
    .await
    .unwrap();
    assert_eq!(built, finished.len());
    assert!(finished.iter().all(|(_, of)| *of == built), "{finished:?}");
    assert_eq!(all_indexes(&store).await, before);
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(number(&store, invalid).await, 0);
    assert!(store.read_deferred_indexes().await.unwrap().is_empty());
    // The stored rows are in the indexes.
    let found = store
        .read_transaction(CHAIN, blocks::transaction_hash(7, 1))
        .await
        .unwrap();
    assert_eq!(found.unwrap().transaction.block_number, 7);
    // A second call has nothing to do.
    let again = indexes::restore(second.connection(), MEMORY, |_| {})
        .await
        .unwrap();
    assert_eq!(again, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_stay_for_small_loads_and_shared_tables() {
    let (store, _) = store().await;
    let before = all_indexes(&store).await;
    let mut writer = writer(&store).await;
    register_and_store(&mut writer, CHAIN, 10).await;
    for (coming, least, why) in [
        (999, 1_000, "the load is small"),
        (1_000_000, 0, "it is switched off"),
        (30, 20, "a third is stored already"),
    ] {
        let connection = writer.connection();
        assert!(
            !indexes::defer(connection, CHAIN, coming, least)
                .await
                .unwrap(),
            "{why}"
        );
    }
    let connection = writer.connection();
    assert!(
        !indexes::defer(connection, OTHER, 1_000_000, 1_000)
            .await
            .unwrap()
    );
    assert_eq!(all_indexes(&store).await, before);
    // A reader's lock on a table is not waited for.
    let mut reader = store.pool().begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM logs")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    assert!(
        !indexes::defer(writer.connection(), CHAIN, 1_000_000, 1_000)
            .await
            .unwrap()
    );
    assert_eq!(all_indexes(&store).await, before);
    reader.rollback().await.unwrap();
    assert!(
        indexes::defer(writer.connection(), CHAIN, 1_000_000, 1_000)
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_built_while_another_chain_is_written() {
    let (store, _) = store().await;
    let before = all_indexes(&store).await;
    let mut first = writer(&store).await;
    register_and_store(&mut first, CHAIN, 0).await;
    assert!(
        indexes::defer(first.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    register_and_store(&mut first, CHAIN, 20).await;
    let mut second = Writer::acquire(&store, Stream::Chain(OTHER)).await.unwrap();
    register_and_store(&mut second, OTHER, 20).await;
    let built = indexes::restore(first.connection(), MEMORY, |_| {})
        .await
        .unwrap();
    assert!(built >= 5, "{built}");
    assert_eq!(all_indexes(&store).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_reports_missing_indexes() {
    let (store, _) = store().await;
    let mut writer = writer(&store).await;
    register_and_store(&mut writer, CHAIN, 0).await;
    assert!(
        indexes::defer(writer.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    let origins = OriginPolicy::default();
    let state = ApiState::new(store.clone(), ApiConfig::default(), vec![CHAIN], origins);
    let (router, _) = chaincast_api::router(state);
    // On a busy machine the database may not answer within a probe's time limit.
    let check = eventually("a check of the indexes", async || {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 503);
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let checks = answer["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["name"] == "indexes")
            .cloned()
    })
    .await;
    assert_eq!(check["ok"], false);
    let detail = check["detail"].as_str().unwrap();
    assert!(detail.contains("transactions_hash"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_database_has_all_indexes() {
    let (store, url) = store().await;
    let before = all_indexes(&store).await;
    let mut writer = writer(&store).await;
    register_and_store(&mut writer, CHAIN, 0).await;
    assert!(
        indexes::defer(writer.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    writer.release().await.unwrap();
    let config = StoreConfig {
        url: Secret::new(url),
        ..StoreConfig::default()
    };
    Store::reset(&config).await.unwrap();
    assert_eq!(all_indexes(&store).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_indexes_keeps_connection_settings() {
    let (store, _) = store().await;
    let mut writer = writer(&store).await;
    register_and_store(&mut writer, CHAIN, 0).await;
    let settings = async |writer: &mut Writer| -> Vec<String> {
        sqlx::query_scalar(
            "SELECT name || ' = ' || setting FROM pg_settings
             WHERE name IN ('client_connection_check_interval', 'maintenance_work_mem', 'statement_timeout')
                 OR name LIKE 'tcp%' ORDER BY name",
        )
        .fetch_all(writer.connection())
        .await
        .unwrap()
    };
    let before = settings(&mut writer).await;
    let polls = before
        .iter()
        .any(|setting| setting == "client_connection_check_interval = 0");
    assert!(!polls, "{before:?}");
    let connection = writer.connection();
    assert!(
        indexes::defer(connection, CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    let mut during = 0;
    indexes::restore(connection, MEMORY, |_| during += 1)
        .await
        .unwrap();
    assert!(during > 0);
    assert_eq!(settings(&mut writer).await, before);
}
