//! Unwinding is the inverse of applying, and a reset leaves nothing.

use sqlx::{Connection, PgConnection};

use super::stage::{CHAIN, EveryTransfer, Stage, count};
use crate::{
    dev::deploy_or_load,
    ingest::chain::ticks::ticks_of,
    model::{BlockRef, IndexedBlock},
    source::chain::{ChecksConfig, Node, Wanted},
    store::{Store, StoreError, chain as stored, ticks},
};

/// Every row of the chain but for the times and ids that a row gets by itself.
async fn rows(connection: &mut PgConnection) -> Vec<String> {
    let mut all = Vec::new();
    for table in [
        "chains",
        "blocks",
        "transactions",
        "logs",
        "transfers",
        "ticks",
    ] {
        let query = format!(
            "SELECT (to_jsonb(t) - '{{indexed_at,updated_at,received_at,id}}'::text[])::text FROM {table} t ORDER BY 1"
        );
        all.extend(
            sqlx::query_scalar::<_, String>(&query)
                .fetch_all(&mut *connection)
                .await
                .unwrap(),
        );
    }
    all
}

async fn put(connection: &mut PgConnection, blocks: &[IndexedBlock]) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    stored::apply(&mut transaction, CHAIN, blocks, true).await?;
    ticks::insert(&mut transaction, &ticks_of(&EveryTransfer, CHAIN, blocks)).await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn fetched(stage: &Stage) -> Vec<IndexedBlock> {
    let url = format!("http://127.0.0.1:{}", stage.anvil_options.port);
    // However many transactions of the deployment share a block, there are enough.
    stage.control.mine(6).await.unwrap();
    deploy_or_load(&url, stage.dir.path()).await.unwrap();
    let node = Node::new(&stage.config()).unwrap();
    let (head, _) = stage.control.head().await.unwrap();
    let mut blocks = Vec::new();
    for number in 0..=head {
        let block = node
            .block(Wanted::Number(number), &ChecksConfig::default())
            .await
            .unwrap();
        blocks.push(block);
    }
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn unwinding_leaves_what_was_there_before_and_keeps_the_rest_aside() {
    let stage = Stage::new().await;
    let blocks = fetched(&stage).await;
    let mut connection = stage.connection().await;
    let connection = &mut *connection;
    stored::register(connection, CHAIN, blocks[0].block_ref(), 0)
        .await
        .unwrap();
    let (below, above) = blocks.split_at(blocks.len() / 2);
    put(connection, below).await.unwrap();
    let before = rows(connection).await;
    put(connection, above).await.unwrap();
    let after = rows(connection).await;
    assert!(after.len() > before.len() + above.len());

    let ancestor = below.last().unwrap().block_ref();
    let dropped = stored::unwind(connection, CHAIN, ancestor).await.unwrap();
    let expected: Vec<BlockRef> = above.iter().rev().map(IndexedBlock::block_ref).collect();
    assert_eq!(dropped, expected);
    assert_eq!(rows(connection).await, before);
    for (kind, kept) in [
        (
            "transactions",
            above
                .iter()
                .map(|block| block.transactions.len())
                .sum::<usize>(),
        ),
        ("logs", above.iter().map(|block| block.logs.len()).sum()),
        (
            "transfers",
            above.iter().map(|block| block.transfers.len()).sum(),
        ),
        ("ticks", ticks_of(&EveryTransfer, CHAIN, above).len()),
    ] {
        assert!(kept > 0, "the demo has no {kind} there");
        let query = format!(
            "SELECT sum(jsonb_array_length(content->'{kind}'))::bigint FROM dropped_blocks"
        );
        assert_eq!(count(connection, &query).await, kept as i64, "{kind}");
    }

    // And forward again, as a node may go back to the first branch.
    put(connection, above).await.unwrap();
    assert_eq!(rows(connection).await, after);

    // Below the first block, nothing is left.
    let root = BlockRef {
        number: 0,
        hash: below[0].header.hash,
    };
    stored::unwind(connection, CHAIN, root).await.unwrap();
    assert_eq!(count(connection, "SELECT count(*) FROM blocks").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_begins_later_can_be_unwound_to_its_root() {
    let stage = Stage::new().await;
    let blocks = fetched(&stage).await;
    let mut connection = stage.connection().await;
    let connection = &mut *connection;
    stored::register(connection, CHAIN, blocks[0].block_ref(), 5)
        .await
        .unwrap();
    let before = rows(connection).await;
    put(connection, &blocks[5..9]).await.unwrap();
    stored::unwind(connection, CHAIN, blocks[4].block_ref())
        .await
        .unwrap();
    assert_eq!(rows(connection).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_does_not_fit_the_head_is_refused() {
    let stage = Stage::new().await;
    let blocks = fetched(&stage).await;
    let mut connection = stage.connection().await;
    let connection = &mut *connection;
    stored::register(connection, CHAIN, blocks[0].block_ref(), 0)
        .await
        .unwrap();
    put(connection, &blocks[..3]).await.unwrap();
    let mut stranger = blocks[3].clone();
    stranger.header.parent_hash = stranger.header.hash;
    for wrong in [&blocks[4..5], &blocks[2..3], &[stranger][..]] {
        let refused = put(connection, wrong).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict(_))),
            "{refused:?}"
        );
    }
    let unknown = BlockRef {
        number: 1,
        hash: blocks[2].header.hash,
    };
    let refused = stored::unwind(connection, CHAIN, unknown).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_store_is_empty_and_has_another_epoch() {
    let stage = Stage::new().await;
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    running.stop().await;
    Store::reset(&stage.database).await.unwrap();
    let store = Store::connect(&stage.database).await.unwrap();
    assert_ne!(store.epoch(), stage.store.epoch());
    for table in ["chains", "blocks", "channels", "updates"] {
        assert_eq!(
            stage.count(&format!("SELECT count(*) FROM {table}")).await,
            0,
            "{table}"
        );
    }
    // What was another chain before may be indexed now.
    let running = stage.ingest(stage.config()).await.unwrap();
    stage.caught_up().await;
    running.stop().await;
}
