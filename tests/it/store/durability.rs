//! The durability of backfilled blocks.

use chaincast_store::{
    chain,
    writer::{Stream, Writer},
};

use super::{
    blocks::{self, CHAIN},
    store,
};

#[tokio::test]
async fn only_backfill_commits_are_asynchronous_until_settled() {
    let (store, _) = store().await;
    let mut writer = Writer::acquire(&store, Stream::Chain(CHAIN)).await.unwrap();
    chain::register(writer.connection(), CHAIN, blocks::block_ref(0), 0)
        .await
        .unwrap();

    let mut transaction = writer.begin().await.unwrap();
    chain::commit_asynchronously(&mut transaction)
        .await
        .unwrap();
    sqlx::query("CREATE TABLE something AS SELECT generate_series(1, 10000)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let waits: String = sqlx::query_scalar("SHOW synchronous_commit")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(waits, "off");
    transaction.commit().await.unwrap();
    let waits: String = sqlx::query_scalar("SHOW synchronous_commit")
        .fetch_one(writer.connection())
        .await
        .unwrap();
    assert_eq!(waits, "on");

    let written: String = sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text")
        .fetch_one(writer.connection())
        .await
        .unwrap();
    chain::wait_until_durable(writer.connection(), CHAIN)
        .await
        .unwrap();
    let there: bool = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn() >= $1::pg_lsn")
        .bind(written)
        .fetch_one(writer.connection())
        .await
        .unwrap();
    assert!(there);
}
