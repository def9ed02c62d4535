//! Branches that are abandoned and taken again, deep branches, and those of a single provider.

use super::{
    anvil_fixture::{CHAIN, eventually},
    scripted_fixture::{ReplayedChain, ScriptedFixture, config_of},
};
use crate::{IngestError, chain::ReorgLimit};
use chaincast_evm::chain::{ChainConfig, Role};
use chaincast_testkit::faulty_node::{BlockTree, Contents, FaultyNode};

fn mine(tree: &BlockTree, blocks: u64) {
    for salt in 0..blocks {
        tree.mine(&Contents::empty(salt));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_alternating_branches_and_keeps_drops() {
    let fixture = ScriptedFixture::new().await;
    let tree = BlockTree::new(CHAIN);
    mine(&tree, 3);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let running = fixture
        .ingest(config_of(&[(&node, Role::All)]))
        .await
        .unwrap();
    fixture.caught_up(&tree, "the start").await;
    let mut replayed = ReplayedChain::default();
    let one = tree.head();
    tree.reorg(2, &[Contents::transfers(1, 8), Contents::transfers(1, 9)]);
    let other = tree.head();
    for tip in [other, one, other, one, other] {
        tree.set_head(tip.hash);
        fixture.caught_up(&tree, "the other branch").await;
        fixture.assert_equals(&tree, 0, "the other branch").await;
        replayed
            .assert_equals(&fixture, &tree, "the other branch")
            .await;
    }
    assert_eq!(replayed.reorgs, 5);
    let of = async |tip: chaincast_protocol::BlockRef| {
        let query = format!(
            "SELECT count(*) FROM dropped_blocks WHERE hash = '\\x{:x}'",
            tip.hash
        );
        fixture.count(&query).await
    };
    assert_eq!((of(one).await, of(other).await), (3, 2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reorg_below_finalized_block_ends_writer() {
    let fixture = ScriptedFixture::new().await;
    let tree = BlockTree::new(CHAIN);
    mine(&tree, 150);
    let last = tree.at(5);
    tree.tag(Some(last), Some(last));
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let config = ChainConfig {
        max_reorg_depth: 1_000,
        ..config_of(&[(&node, Role::All)])
    };
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up(&tree, "the start").await;
    eventually("finality", async || {
        (fixture.state().await?.finalized == Some(last)).then_some(())
    })
    .await;
    let branch: Vec<_> = (0..146).map(|salt| Contents::empty(1_000 + salt)).collect();
    tree.reorg(145, &branch);
    let mut replayed = ReplayedChain::default();
    fixture.caught_up(&tree, "145 blocks deep").await;
    fixture.assert_equals(&tree, 0, "145 blocks deep").await;
    replayed
        .assert_equals(&fixture, &tree, "145 blocks deep")
        .await;
    assert_eq!(replayed.reorgs, 1);

    let head = tree.head();
    let branch: Vec<_> = (0..148).map(|salt| Contents::empty(2_000 + salt)).collect();
    tree.reorg(147, &branch);
    let error = running.failed().await;
    let text = error.to_string();
    assert!(
        matches!(
            error,
            IngestError::ReorgTooDeep {
                limit: ReorgLimit::Finalized(5),
                ..
            }
        ),
        "{text}"
    );
    assert!(
        text.contains("or drop the stored data") && !text.contains("secret"),
        "{text}"
    );
    assert_eq!(fixture.state().await.unwrap().head, Some(head));
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_counts_only_if_active_provider_has_it() {
    let fixture = ScriptedFixture::new().await;
    let tree = BlockTree::new(CHAIN);
    mine(&tree, 5);
    let (first, second) = (
        FaultyNode::from_tree(&tree).await.unwrap(),
        FaultyNode::from_tree(&tree).await.unwrap(),
    );
    let sibling = tree.extend(tree.at(4).hash, &Contents::empty(77));
    second.pin(Some(sibling.hash));
    let config = config_of(&[(&first, Role::All), (&second, Role::All)]);
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up(&tree, "the preferred one's branch").await;
    let requests_before = second.requests("eth_getBlockByNumber");
    eventually("more polls of the other", async || {
        (second.requests("eth_getBlockByNumber") > requests_before + 5).then_some(())
    })
    .await;
    fixture
        .assert_equals(&tree, 0, "the preferred one's branch")
        .await;
    assert_eq!(
        fixture.count("SELECT count(*) FROM dropped_blocks").await,
        0
    );

    // The preferred provider follows, which makes it a reorg.
    tree.set_head(sibling.hash);
    fixture.caught_up(&tree, "the branch of both").await;
    assert_eq!(
        fixture.count("SELECT count(*) FROM dropped_blocks").await,
        1
    );
    running.stop().await;
}
