//! An unreachable node while a writer starts: the writer holds the lock, and the node is reported as the cause.

use std::time::Duration;

use super::{
    anvil_fixture::{CHAIN, eventually},
    scripted_fixture::{ScriptedFixture, config_of},
};
use chaincast_evm::chain::Role;
use chaincast_store::{StoreConfig, writer::Stream, writers::WriterRow};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

async fn writer(fixture: &ScriptedFixture) -> WriterRow {
    fixture.store.read_writers().await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_lock_while_node_is_unreachable() {
    let fixture = ScriptedFixture::with(StoreConfig {
        lease_ms: 2_000,
        ..StoreConfig::default()
    })
    .await;
    let tree = BlockTree::new(CHAIN);
    for salt in 0..3 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let config = config_of(&[(&node, Role::All)]);
    let running = fixture.ingest(config.clone()).await.unwrap();
    fixture.caught_up(&tree, "the first blocks").await;
    running.stop().await;

    node.add(Fault::new("*", Kind::Cut));
    let running = fixture.ingest(config).await.unwrap();
    let began = eventually("it takes the lock", async || {
        let row = writer(&fixture).await;
        (row.term == 2).then_some(row.since)
    })
    .await;
    let renewed = "SELECT (extract(epoch FROM renewed_at) * 1000)::bigint FROM leases";
    eventually("it keeps the lock for several attempts", async || {
        let row = writer(&fixture).await;
        assert_eq!((row.term, row.failure), (2, None));
        (fixture.count(renewed).await - began > 5_000).then_some(())
    })
    .await;

    // The database fails and recovers meanwhile.
    fixture
        .count("SELECT count(*) FROM leases WHERE pg_terminate_backend(backend_pid)")
        .await;
    let stream = Stream::Chain(CHAIN);
    eventually("only the node is missing again", async || {
        let row = writer(&fixture).await;
        (row.term == 3 && row.failure.is_none() && fixture.store.writer_failure(stream).is_none())
            .then_some(())
    })
    .await;
    assert!(writer(&fixture).await.is_alive());

    node.clear_faults();
    tree.mine(&Contents::transfers(1, 9));
    fixture.caught_up(&tree, "the node is back").await;
    assert_eq!(writer(&fixture).await.term, 3);
    running.stop().await;
}

/// How long a writer holds the lock while its node fails.
const YIELD_AFTER: Duration = Duration::from_secs(2);

/// Two writers of one chain, each with its own node. The first one writes, and its node becomes unreachable before
/// it starts, or while it runs.
async fn should_yield(is_running: bool) {
    let fixture = ScriptedFixture::new().await;
    let tree = BlockTree::new(CHAIN);
    tree.mine(&Contents::transfers(1, 0));
    let nodes = [
        FaultyNode::from_tree(&tree).await.unwrap(),
        FaultyNode::from_tree(&tree).await.unwrap(),
    ];
    let [first, second] = [0, 1].map(|at| config_of(&[(&nodes[at], Role::All)]));
    let mut running = fixture
        .ingest_yielding_after(first.clone(), YIELD_AFTER)
        .await
        .unwrap();
    fixture.caught_up(&tree, "the first block").await;
    if is_running {
        nodes[0].add(Fault::new("*", Kind::Cut));
    } else {
        running.stop().await;
        nodes[0].add(Fault::new("*", Kind::Cut));
        running = fixture
            .ingest_yielding_after(first, YIELD_AFTER)
            .await
            .unwrap();
        eventually("it takes the lock", async || {
            (writer(&fixture).await.term == 2).then_some(())
        })
        .await;
    }
    let term = writer(&fixture).await.term;
    // Without another writer it keeps the lock.
    let renewed =
        "SELECT (extract(epoch FROM renewed_at - acquired_at) * 1000)::bigint FROM leases";
    let shortest = fixture.count(renewed).await + 2 * YIELD_AFTER.as_millis() as i64;
    eventually("it keeps the lock for longer", async || {
        assert_eq!(writer(&fixture).await.term, term);
        (fixture.count(renewed).await > shortest).then_some(())
    })
    .await;
    let other = fixture
        .ingest_yielding_after(second, YIELD_AFTER)
        .await
        .unwrap();
    tree.mine(&Contents::transfers(1, 1));
    fixture
        .caught_up(&tree, "the other writer takes over")
        .await;
    assert!(writer(&fixture).await.term > term);
    other.stop().await;
    nodes[0].clear_faults();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_writer_without_node_yields_lock() {
    should_yield(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_writer_without_node_yields_lock() {
    should_yield(true).await;
}
