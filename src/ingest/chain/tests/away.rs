//! A node that is away while a writer begins: who writes the chain is known, and what is missing is the node.

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
