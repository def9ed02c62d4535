//! Nodes without block 0: the first indexed block identifies the chain.

use super::{
    anvil_fixture::{CHAIN, eventually},
    scripted_fixture::{ScriptedFixture, config_of},
};
use crate::IngestError;
use chaincast_evm::chain::{ChainConfig, Role};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

const BLOCKS: &str = "eth_getBlockByNumber";

/// A chain of its own, behind a node without its block 0.
async fn pruned(salt: u64) -> (BlockTree, FaultyNode) {
    let tree = BlockTree::salted(CHAIN, salt);
    for salt in 0..6 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    node.add(Fault::new(BLOCKS, Kind::Null).at(0));
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
async fn first_indexed_block_identifies_pruned_chain() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node) = pruned(0).await;
    let Err(error) = fixture.ingest(config_of(&[(&node, Role::All)])).await else {
        panic!("a chain without block 0 was accepted");
    };
    let text = error.to_string();
    assert!(
        text.contains("does not have block 0") && text.contains("set start_block"),
        "{text}"
    );

    let config = from_block_3(&[&node]);
    let running = fixture.ingest(config.clone()).await.unwrap();
    fixture.caught_up(&tree, "from block 3 on").await;
    running.stop().await;
    fixture.assert_equals(&tree, 3, "from block 3 on").await;
    assert_eq!(fixture.state().await.unwrap().identity, tree.at(3));

    // The same after a restart, and with an archive node; another chain with this id is rejected.
    let whole = FaultyNode::from_tree(&tree).await.unwrap();
    tree.mine(&Contents::empty(9));
    let running = fixture
        .ingest(from_block_3(&[&node, &whole]))
        .await
        .unwrap();
    fixture.caught_up(&tree, "with two nodes").await;
    running.stop().await;
    tree.mine(&Contents::empty(10));
    let running = fixture.ingest(from_block_3(&[&whole])).await.unwrap();
    fixture.caught_up(&tree, "with the whole node alone").await;
    running.stop().await;
    assert_eq!(fixture.state().await.unwrap().identity, tree.at(3));
    let (_, other) = pruned(7).await;
    let Err(error) = fixture.ingest(from_block_3(&[&other])).await else {
        panic!("another chain was not rejected");
    };
    assert!(
        matches!(error, IngestError::DifferentChain { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("block 3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_without_block_0_is_verified_by_stored_block() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node) = pruned(0).await;
    node.clear_faults();
    let running = fixture.ingest(from_block_3(&[&node])).await.unwrap();
    fixture.caught_up(&tree, "with block 0").await;
    running.stop().await;
    assert_eq!(fixture.state().await.unwrap().identity, tree.genesis());

    let rejected = Kind::Error {
        code: -32_000,
        message: "header not found".to_owned(),
    };
    node.add(Fault::new(BLOCKS, rejected).at(0));
    let running = fixture.ingest(from_block_3(&[&node])).await.unwrap();
    tree.mine(&Contents::transfers(2, 9));
    fixture.caught_up(&tree, "without block 0").await;
    running.stop().await;

    // Another chain without block 0 is rejected, though block 0 is the stored identity.
    let (_, other) = pruned(7).await;
    let Err(error) = fixture.ingest(from_block_3(&[&other])).await else {
        panic!("another chain was not rejected");
    };
    assert!(
        matches!(error, IngestError::DifferentChain { .. }),
        "{error}"
    );
}

/// Replaces `depth` blocks by one more.
fn reorg(tree: &BlockTree, depth: u64, salt: u64) {
    let contents: Vec<_> = (0..=depth)
        .map(|at| Contents::transfers(2, 100 * salt + at))
        .collect();
    tree.reorg(depth, &contents);
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_reorg_of_start_block_without_block_0() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node) = pruned(0).await;
    let running = fixture.ingest(from_block_3(&[&node])).await.unwrap();
    fixture.caught_up(&tree, "from block 3 on").await;
    let first = tree.at(3);
    reorg(&tree, 4, 1);
    assert_ne!(tree.at(3), first);
    fixture.caught_up(&tree, "the other branch").await;
    assert_eq!(fixture.state().await.unwrap().identity, tree.at(3));
    running.stop().await;

    // The same while no writer ran, and with a node that has block 0.
    reorg(&tree, 5, 2);
    let whole = FaultyNode::from_tree(&tree).await.unwrap();
    let running = fixture
        .ingest(from_block_3(&[&node, &whole]))
        .await
        .unwrap();
    fixture.caught_up(&tree, "the third branch").await;
    assert_eq!(fixture.state().await.unwrap().identity, tree.at(3));
    fixture.assert_equals(&tree, 3, "the third branch").await;

    // A finalized start block is not replaced.
    tree.tag(None, Some(tree.at(4)));
    tree.mine(&Contents::empty(30));
    eventually("block 4 is final", async || {
        (fixture.state().await?.finalized? == tree.at(4)).then_some(())
    })
    .await;
    running.stop().await;
    tree.tag(None, None);
    reorg(&tree, tree.head().number - 2, 3);
    let Err(error) = fixture.ingest(from_block_3(&[&node])).await else {
        panic!("a branch below the finalized block was not rejected");
    };
    assert!(
        matches!(error, IngestError::DifferentChain { number: 3, .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_reorg_below_start_block_without_block_0() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node) = pruned(0).await;
    let running = fixture.ingest(from_block_3(&[&node])).await.unwrap();
    fixture.caught_up(&tree, "from block 3 on").await;
    running.stop().await;
    reorg(&tree, 5, 1);
    let Err(error) = fixture.ingest(from_block_3(&[&node])).await else {
        panic!("another branch below the first block was not rejected");
    };
    let text = error.to_string();
    for words in [
        "block 3 0x",
        "a reorg went below",
        "a finalized start_block",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_reorg_of_identity_above_first_block() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node) = pruned(0).await;
    let running = fixture.ingest(from_block_3(&[&node])).await.unwrap();
    fixture.caught_up(&tree, "from block 3 on").await;
    running.stop().await;
    let filled = fixture
        .backfill(config_of(&[(&node, Role::All)]), 1, None)
        .await;
    assert_eq!(filled.unwrap().state.start_block, 1);
    assert_eq!(fixture.state().await.unwrap().identity, tree.at(3));
    reorg(&tree, 5, 1);
    let running = fixture.ingest(from_block_3(&[&node])).await.unwrap();
    fixture.caught_up(&tree, "the other branch").await;
    running.stop().await;
    assert_eq!(fixture.state().await.unwrap().identity, tree.at(1));
    fixture.assert_equals(&tree, 1, "the other branch").await;
}
