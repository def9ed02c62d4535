//! Nodes without block 0: the first indexed block tells the chain from others of its id.

use super::{
    lab::{Lab, config_of},
    stage::{CHAIN, eventually},
};
use crate::{
    dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree},
    ingest::IngestError,
    source::chain::{ChainConfig, Role},
};

const BLOCKS: &str = "eth_getBlockByNumber";

/// A chain of its own, behind a node without its block 0.
async fn pruned(salt: u64) -> (Tree, FaultyNode) {
    let tree = Tree::salted(CHAIN, salt);
    for salt in 0..6 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    node.add(Fault::of(BLOCKS, Kind::Null).at(0));
    (tree, node)
}

fn from_block_3(nodes: &[&FaultyNode]) -> ChainConfig {
    let nodes: Vec<_> = nodes.iter().map(|node| (*node, Role::All)).collect();
    ChainConfig {
        start_block: 3,
        ..config_of(&nodes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_indexed_block_stands_for_missing_block_0() {
    let lab = Lab::new().await;
    let (tree, node) = pruned(0).await;
    let Err(error) = lab.ingest(config_of(&[(&node, Role::All)])).await else {
        panic!("nothing tells which chain it is");
    };
    let text = error.to_string();
    assert!(
        text.contains("does not have block 0") && text.contains("set start_block"),
        "{text}"
    );

    let config = from_block_3(&[&node]);
    let running = lab.ingest(config.clone()).await.unwrap();
    lab.caught_up(&tree, "from block 3 on").await;
    running.stop().await;
    lab.assert_equals(&tree, 3, "from block 3 on").await;
    assert_eq!(lab.state().await.unwrap().identity, tree.at(3));

    // The same after a restart, and beside a node that has all; another chain of this id is refused.
    let whole = FaultyNode::of_tree(&tree).await.unwrap();
    tree.mine(&Contents::empty(9));
    let running = lab.ingest(from_block_3(&[&node, &whole])).await.unwrap();
    lab.caught_up(&tree, "with two nodes").await;
    running.stop().await;
    tree.mine(&Contents::empty(10));
    let running = lab.ingest(from_block_3(&[&whole])).await.unwrap();
    lab.caught_up(&tree, "with the whole node alone").await;
    running.stop().await;
    assert_eq!(lab.state().await.unwrap().identity, tree.at(3));
    let (_, other) = pruned(7).await;
    let Err(error) = lab.ingest(from_block_3(&[&other])).await else {
        panic!("another chain was not refused");
    };
    assert!(
        matches!(error, IngestError::DifferentChain { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("block 3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_lost_block_0_is_known_by_stored_block() {
    let lab = Lab::new().await;
    let (tree, node) = pruned(0).await;
    node.heal();
    let running = lab.ingest(from_block_3(&[&node])).await.unwrap();
    lab.caught_up(&tree, "with block 0").await;
    running.stop().await;
    assert_eq!(lab.state().await.unwrap().identity, tree.genesis());

    let refused = Kind::Error {
        code: -32_000,
        message: "header not found".to_owned(),
    };
    node.add(Fault::of(BLOCKS, refused).at(0));
    let running = lab.ingest(from_block_3(&[&node])).await.unwrap();
    tree.mine(&Contents::transfers(2, 9));
    lab.caught_up(&tree, "without block 0").await;
    running.stop().await;

    // Another chain without block 0 is refused, though block 0 is the stored identity.
    let (_, other) = pruned(7).await;
    let Err(error) = lab.ingest(from_block_3(&[&other])).await else {
        panic!("another chain was not refused");
    };
    assert!(
        matches!(error, IngestError::DifferentChain { .. }),
        "{error}"
    );
}

/// Replaces so many blocks by one more.
fn reorg(tree: &Tree, depth: u64, salt: u64) {
    let contents: Vec<_> = (0..=depth)
        .map(|at| Contents::transfers(2, 100 * salt + at))
        .collect();
    tree.reorg(depth, &contents);
}

#[tokio::test(flavor = "multi_thread")]
async fn reorg_of_start_block_is_followed_without_block_0() {
    let lab = Lab::new().await;
    let (tree, node) = pruned(0).await;
    let running = lab.ingest(from_block_3(&[&node])).await.unwrap();
    lab.caught_up(&tree, "from block 3 on").await;
    let first = tree.at(3);
    reorg(&tree, 4, 1);
    assert_ne!(tree.at(3), first);
    lab.caught_up(&tree, "the other branch").await;
    assert_eq!(lab.state().await.unwrap().identity, tree.at(3));
    running.stop().await;

    // The same while nobody looked, and beside a node that has block 0.
    reorg(&tree, 5, 2);
    let whole = FaultyNode::of_tree(&tree).await.unwrap();
    let running = lab.ingest(from_block_3(&[&node, &whole])).await.unwrap();
    lab.caught_up(&tree, "the third branch").await;
    assert_eq!(lab.state().await.unwrap().identity, tree.at(3));
    lab.assert_equals(&tree, 3, "the third branch").await;

    // Once it is final it stays.
    tree.tag(None, Some(tree.at(4)));
    tree.mine(&Contents::empty(30));
    eventually("block 4 is final", async || {
        (lab.state().await?.finalized? == tree.at(4)).then_some(())
    })
    .await;
    running.stop().await;
    tree.tag(None, None);
    reorg(&tree, tree.head().number - 2, 3);
    let Err(error) = lab.ingest(from_block_3(&[&node])).await else {
        panic!("a branch below what is final was not refused");
    };
    assert!(
        matches!(error, IngestError::DifferentChain { number: 3, .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reorg_below_start_block_is_refused_without_block_0() {
    let lab = Lab::new().await;
    let (tree, node) = pruned(0).await;
    let running = lab.ingest(from_block_3(&[&node])).await.unwrap();
    lab.caught_up(&tree, "from block 3 on").await;
    running.stop().await;
    reorg(&tree, 5, 1);
    let Err(error) = lab.ingest(from_block_3(&[&node])).await else {
        panic!("another branch below the first block was not refused");
    };
    let text = error.to_string();
    for words in [
        "block 3 0x",
        "a reorg went below",
        "a start_block that is final",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reorg_of_identity_above_first_block_is_followed() {
    let lab = Lab::new().await;
    let (tree, node) = pruned(0).await;
    let running = lab.ingest(from_block_3(&[&node])).await.unwrap();
    lab.caught_up(&tree, "from block 3 on").await;
    running.stop().await;
    let filled = lab
        .backfill(config_of(&[(&node, Role::All)]), 1, None)
        .await;
    assert_eq!(filled.unwrap().state.start_block, 1);
    assert_eq!(lab.state().await.unwrap().identity, tree.at(3));
    reorg(&tree, 5, 1);
    let running = lab.ingest(from_block_3(&[&node])).await.unwrap();
    lab.caught_up(&tree, "the other branch").await;
    running.stop().await;
    assert_eq!(lab.state().await.unwrap().identity, tree.at(1));
    lab.assert_equals(&tree, 1, "the other branch").await;
}
