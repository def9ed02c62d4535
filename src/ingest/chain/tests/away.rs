//! A node that is away while a writer begins: who writes the chain is known, and what is missing is the node.

use std::time::Duration;

use super::{
    lab::{Lab, config_of},
    stage::{CHAIN, eventually},
};
use crate::{
    dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree},
    source::chain::Role,
    store::{StoreConfig, writer::Stream, writers::WriterRow},
};

async fn writer(lab: &Lab) -> WriterRow {
    lab.store.read_writers().await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_an_absent_node_with_the_lock() {
    let lab = Lab::with(StoreConfig {
        lease_ms: 2_000,
        ..StoreConfig::default()
    })
    .await;
    let tree = Tree::new(CHAIN);
    for salt in 0..3 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let config = config_of(&[(&node, Role::All)]);
    let running = lab.ingest(config.clone()).await.unwrap();
    lab.caught_up(&tree, "the first blocks").await;
    running.stop().await;

    node.add(Fault::of("*", Kind::Cut));
    let running = lab.ingest(config).await.unwrap();
    let began = eventually("it takes the lock", async || {
        let row = writer(&lab).await;
        (row.term == 2).then_some(row.since)
    })
    .await;
    let renewed = "SELECT (extract(epoch FROM renewed_at) * 1000)::bigint FROM leases";
    eventually("it keeps the lock for several attempts", async || {
        let row = writer(&lab).await;
        assert_eq!((row.term, row.failure), (2, None));
        (lab.count(renewed).await - began > 5_000).then_some(())
    })
    .await;

    // The database fails and recovers meanwhile.
    lab.count("SELECT count(*) FROM leases WHERE pg_terminate_backend(backend_pid)")
        .await;
    let stream = Stream::Chain(CHAIN);
    eventually("only the node is missing again", async || {
        let row = writer(&lab).await;
        (row.term == 3 && row.failure.is_none() && lab.store.writer_failure(stream).is_none())
            .then_some(())
    })
    .await;
    assert!(writer(&lab).await.is_alive());

    node.heal();
    tree.mine(&Contents::transfers(1, 9));
    lab.caught_up(&tree, "the node is back").await;
    assert_eq!(writer(&lab).await.term, 3);
    running.stop().await;
}

/// A writer keeps the lock for this long while its node fails.
const KEEP: Duration = Duration::from_secs(2);

/// Two writers of one chain, each with a node of its own, of which the first writes and its node is then away; before
/// it begins, or while it runs.
async fn gives_way(is_running: bool) {
    let lab = Lab::new().await;
    let tree = Tree::new(CHAIN);
    tree.mine(&Contents::transfers(1, 0));
    let nodes = [
        FaultyNode::of_tree(&tree).await.unwrap(),
        FaultyNode::of_tree(&tree).await.unwrap(),
    ];
    let [first, second] = [0, 1].map(|at| config_of(&[(&nodes[at], Role::All)]));
    let mut running = lab.ingest_keeping(first.clone(), KEEP).await.unwrap();
    lab.caught_up(&tree, "the first block").await;
    if is_running {
        nodes[0].add(Fault::of("*", Kind::Cut));
    } else {
        running.stop().await;
        nodes[0].add(Fault::of("*", Kind::Cut));
        running = lab.ingest_keeping(first, KEEP).await.unwrap();
        eventually("it takes the lock", async || {
            (writer(&lab).await.term == 2).then_some(())
        })
        .await;
    }
    let term = writer(&lab).await.term;
    // Without another writer it keeps the lock.
    let renewed =
        "SELECT (extract(epoch FROM renewed_at - acquired_at) * 1000)::bigint FROM leases";
    let shortest = lab.count(renewed).await + 2 * KEEP.as_millis() as i64;
    eventually("it keeps the lock for longer", async || {
        assert_eq!(writer(&lab).await.term, term);
        (lab.count(renewed).await > shortest).then_some(())
    })
    .await;
    let other = lab.ingest_keeping(second, KEEP).await.unwrap();
    tree.mine(&Contents::transfers(1, 1));
    lab.caught_up(&tree, "the other writer takes over").await;
    assert!(writer(&lab).await.term > term);
    other.stop().await;
    nodes[0].heal();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_writer_without_node_gives_way() {
    gives_way(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_writer_without_node_gives_way() {
    gives_way(true).await;
}
