//! Indexes that a large load leaves out.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use chaincast::{
    api::{self, ApiConfig, ApiState},
    model::Secret,
    store::{
        Store, StoreConfig,
        chain::{self, Batch, indexes},
        writer::{Stream, Writer},
    },
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
async fn all(store: &Store) -> Vec<String> {
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
async fn begin(writer: &mut Writer, chain_id: u64, count: u64) {
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
async fn indexes_left_out_of_a_load_that_is_killed_are_built_by_the_next_writer() {
    let (store, url) = store().await;
    let before = all(&store).await;
    let mut first = writer(&store).await;
    begin(&mut first, CHAIN, 0).await;
    assert!(
        indexes::defer(first.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    let during = all(&store).await;
    assert!(during.len() + 5 <= before.len(), "{during:?}");
    assert!(
        during.iter().any(|index| index.contains("logs_pkey")),
        "{during:?}"
    );
    begin(&mut first, CHAIN, 40).await;
    // Killed: the connection goes, and the lock with it.
    drop(first);

    let store = connect(&url).await;
    let mut second = eventually("the lock of the killed writer", async || {
        Writer::acquire(&store, Stream::Chain(CHAIN)).await.ok()
    })
    .await;
    // Most is still to come: it goes on without them.
    assert!(
        indexes::defer(second.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    // Nothing large is left.
    assert!(
        !indexes::defer(second.connection(), CHAIN, 10, 1_000)
            .await
            .unwrap()
    );
    // One that was begun when it was killed is not to be trusted.
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

    let mut told = Vec::new();
    let built = indexes::restore(second.connection(), MEMORY, |building| {
        assert_eq!(building.done, told.len());
        told.push((building.name.to_owned(), building.of));
    })
    .await
    .unwrap();
    assert_eq!(built, told.len());
    assert!(told.iter().all(|(_, of)| *of == built), "{told:?}");
    assert_eq!(all(&store).await, before);
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(number(&store, invalid).await, 0);
    assert!(store.read_deferred_indexes().await.unwrap().is_empty());
    // Its rows are in them.
    let found = store
        .read_transaction(CHAIN, blocks::transaction_hash(7, 1))
        .await
        .unwrap();
    assert_eq!(found.unwrap().transaction.block_number, 7);
    // A second time there is nothing to do.
    let again = indexes::restore(second.connection(), MEMORY, |_| {})
        .await
        .unwrap();
    assert_eq!(again, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_stay_where_a_load_is_small_or_others_have_rows() {
    let (store, _) = store().await;
    let before = all(&store).await;
    let mut writer = writer(&store).await;
    begin(&mut writer, CHAIN, 10).await;
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
    assert_eq!(all(&store).await, before);
    // A reader that holds a table is not waited for.
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
    assert_eq!(all(&store).await, before);
    reader.rollback().await.unwrap();
    assert!(
        indexes::defer(writer.connection(), CHAIN, 1_000_000, 1_000)
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_built_beside_the_writer_of_another_chain() {
    let (store, _) = store().await;
    let before = all(&store).await;
    let mut first = writer(&store).await;
    begin(&mut first, CHAIN, 0).await;
    assert!(
        indexes::defer(first.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    begin(&mut first, CHAIN, 20).await;
    let mut second = Writer::acquire(&store, Stream::Chain(OTHER)).await.unwrap();
    begin(&mut second, OTHER, 20).await;
    let built = indexes::restore(first.connection(), MEMORY, |_| {})
        .await
        .unwrap();
    assert!(built >= 5, "{built}");
    assert_eq!(all(&store).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_says_which_indexes_are_yet_to_be_built() {
    let (store, _) = store().await;
    let mut writer = writer(&store).await;
    begin(&mut writer, CHAIN, 0).await;
    assert!(
        indexes::defer(writer.connection(), CHAIN, 1_000, 1_000)
            .await
            .unwrap()
    );
    let state = ApiState::new(store.clone(), ApiConfig::default(), vec![CHAIN]);
    let (router, _) = api::router(state);
    // On a busy machine the database may not answer in a probe's time.
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
async fn a_reset_database_has_its_indexes() {
    let (store, url) = store().await;
    let before = all(&store).await;
    let mut writer = writer(&store).await;
    begin(&mut writer, CHAIN, 0).await;
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
    assert_eq!(all(&store).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_keeps_the_settings_of_the_session() {
    let (store, _) = store().await;
    let mut writer = writer(&store).await;
    begin(&mut writer, CHAIN, 0).await;
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
    let looks = before
        .iter()
        .any(|setting| setting == "client_connection_check_interval = 0");
    assert!(!looks, "{before:?}");
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
