//! Unwinding is the inverse of applying, and a reset leaves nothing.

use sqlx::{Connection, PgConnection};

use super::anvil_fixture::{AnvilFixture, CHAIN, EveryTransfer, count};
use crate::chain::ticks::decode_ticks;
use chaincast_dev::deploy_or_load;
use chaincast_evm::chain::{BlockTarget, ChecksConfig, Node};
use chaincast_model::IndexedBlock;
use chaincast_protocol::BlockRef;
use chaincast_store::{Store, StoreError, chain as stored, ticks};

/// Every row of the chain without generated times and ids.
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
    ticks::insert(
        &mut transaction,
        &decode_ticks(&EveryTransfer, CHAIN, blocks),
    )
    .await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn fetched(fixture: &AnvilFixture) -> Vec<IndexedBlock> {
    let url = format!("http://127.0.0.1:{}", fixture.anvil_options.port);
    // Enough blocks, however many transactions of the deployment share one.
    fixture.control.mine(6).await.unwrap();
    deploy_or_load(&url, fixture.dir.path()).await.unwrap();
    let node = Node::new(&fixture.config()).unwrap();
    let (head, _) = fixture.control.head().await.unwrap();
    let mut blocks = Vec::new();
    for number in 0..=head {
        let block = node
            .block(BlockTarget::Number(number), &ChecksConfig::default())
            .await
            .unwrap();
        blocks.push(block);
    }
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn unwind_restores_rows_and_keeps_dropped_ones() {
    let fixture = AnvilFixture::new().await;
    let blocks = fetched(&fixture).await;
    let mut connection = fixture.connection().await;
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
        ("ticks", decode_ticks(&EveryTransfer, CHAIN, above).len()),
    ] {
        assert!(kept > 0, "the demo has no {kind} there");
        let query = format!(
            "SELECT sum(jsonb_array_length(content->'{kind}'))::bigint FROM dropped_blocks"
        );
        assert_eq!(count(connection, &query).await, kept as i64, "{kind}");
    }

    // Forward again, as a node may return to the first branch.
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
async fn late_index_unwinds_to_its_root() {
    let fixture = AnvilFixture::new().await;
    let blocks = fetched(&fixture).await;
    let mut connection = fixture.connection().await;
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
async fn rejects_block_that_does_not_link_to_head() {
    let fixture = AnvilFixture::new().await;
    let blocks = fetched(&fixture).await;
    let mut connection = fixture.connection().await;
    let connection = &mut *connection;
    stored::register(connection, CHAIN, blocks[0].block_ref(), 0)
        .await
        .unwrap();
    put(connection, &blocks[..3]).await.unwrap();
    let mut stranger = blocks[3].clone();
    stranger.header.parent_hash = stranger.header.hash;
    for wrong in [&blocks[4..5], &blocks[2..3], &[stranger][..]] {
        let error = put(connection, wrong).await;
        assert!(matches!(error, Err(StoreError::Conflict(_))), "{error:?}");
    }
    let unknown = BlockRef {
        number: 1,
        hash: blocks[2].header.hash,
    };
    let error = stored::unwind(connection, CHAIN, unknown).await;
    assert!(matches!(error, Err(StoreError::Conflict(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_empties_store_and_changes_epoch() {
    let fixture = AnvilFixture::new().await;
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    running.stop().await;
    Store::reset(&fixture.database).await.unwrap();
    let store = Store::connect(&fixture.database).await.unwrap();
    assert_ne!(store.epoch(), fixture.store.epoch());
    for table in ["chains", "blocks", "channels", "updates"] {
        assert_eq!(
            fixture
                .count(&format!("SELECT count(*) FROM {table}"))
                .await,
            0,
            "{table}"
        );
    }
    // Another chain may be indexed now.
    let running = fixture.ingest(fixture.config()).await.unwrap();
    fixture.caught_up().await;
    running.stop().await;
}
