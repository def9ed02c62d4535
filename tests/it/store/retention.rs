//! Dropped blocks that go in time.

use chaincast::{
    model::BlockRef,
    store::{
        Store, StoreError,
        chain::{self, Batch, Tags},
        writer::{Stream, Writer},
    },
};

use super::{
    blocks::{self, CHAIN, Shape},
    number, store,
};

const COUNT: &str = "SELECT count(*) FROM dropped_blocks";

fn at(number: u64) -> BlockRef {
    BlockRef {
        number,
        hash: blocks::block_hash(number),
    }
}

async fn finalize(writer: &mut Writer, number: u64) -> Result<(), StoreError> {
    let tags = Tags {
        finalized: Some(at(number)),
        ..Tags::default()
    };
    chain::record_tags(writer.connection(), CHAIN, &tags).await
}

/// Ten blocks, of which those above 4 were dropped.
async fn dropped(store: &Store) -> Writer {
    let shape = Shape {
        transactions: 1,
        logs: 1,
        transfers: 1,
    };
    let mut writer = Writer::acquire(store, Stream::Chain(CHAIN)).await.unwrap();
    let connection = writer.connection();
    chain::register(connection, CHAIN, at(0).hash, 0)
        .await
        .unwrap();
    let blocks: Vec<_> = (0..10).map(|number| blocks::block(number, shape)).collect();
    let batch = Batch::encode(CHAIN, &blocks).unwrap();
    chain::apply_batch(connection, &batch, true).await.unwrap();
    let gone = chain::unwind(connection, CHAIN, at(4)).await.unwrap();
    assert_eq!(gone.len(), 5);
    for table in ["transactions", "logs", "transfers"] {
        let query = format!("SELECT count(*) FROM {table} WHERE block_number > 4");
        assert_eq!(number(store, &query).await, 0, "{table}");
    }
    writer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_block_is_kept_until_its_height_has_been_final_for_the_retention() {
    let (store, _) = store().await;
    let mut writer = dropped(&store).await;
    // Nothing is final: however short the retention, all stay.
    assert_eq!(store.prune_dropped(0, 100).await.unwrap(), 0);
    // Heights 5 and 6 are final now, so their time begins.
    finalize(&mut writer, 6).await.unwrap();
    assert_eq!(store.prune_dropped(3_600_000, 100).await.unwrap(), 0);
    assert_eq!(number(&store, COUNT).await, 5);
    sqlx::query("UPDATE dropped_blocks SET final_at = final_at - interval '61 minutes'")
        .execute(store.pool())
        .await
        .unwrap();
    // In bounded batches.
    assert_eq!(store.prune_dropped(3_600_000, 1).await.unwrap(), 1);
    assert_eq!(store.prune_dropped(3_600_000, 100).await.unwrap(), 1);
    assert_eq!(store.prune_dropped(3_600_000, 100).await.unwrap(), 0);
    let kept = "SELECT min(number) FROM dropped_blocks";
    assert_eq!(number(&store, kept).await, 7);
    assert_eq!(number(&store, COUNT).await, 3);
    assert_eq!(
        store.read_dropped_block(CHAIN, at(8).hash).await.unwrap(),
        Some(8)
    );
    assert_eq!(
        store.read_dropped_block(CHAIN, at(5).hash).await.unwrap(),
        None
    );
}
