//! Branches that are left and taken again, deep ones, and those that only one provider has.

use super::{
    lab::{Fold, Lab, config_of},
    stage::{CHAIN, eventually},
};
use crate::{
    dev::faulty_node::{Contents, FaultyNode, Tree},
    ingest::{IngestError, chain::ReorgLimit},
    source::chain::{ChainConfig, Role},
};

fn mine(tree: &Tree, blocks: u64) {
    for salt in 0..blocks {
        tree.mine(&Contents::empty(salt));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_goes_back_and_forth_is_followed_and_each_drop_is_kept() {
    let lab = Lab::new().await;
    let tree = Tree::new(CHAIN);
    mine(&tree, 3);
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let running = lab.ingest(config_of(&[(&node, Role::All)])).await.unwrap();
    lab.caught_up(&tree, "the start").await;
    let mut fold = Fold::default();
    let one = tree.head();
    tree.reorg(2, &[Contents::transfers(1, 8), Contents::transfers(1, 9)]);
    let other = tree.head();
    for tip in [other, one, other, one, other] {
        tree.set_head(tip.hash);
        lab.caught_up(&tree, "the other branch").await;
        lab.assert_equals(&tree, 0, "the other branch").await;
        fold.assert_equals(&lab, &tree, "the other branch").await;
    }
    assert_eq!(fold.reorgs, 5);
    let of = async |tip: crate::model::BlockRef| {
        let query = format!(
            "SELECT count(*) FROM dropped_blocks WHERE hash = '\\x{:x}'",
            tip.hash
        );
        lab.count(&query).await
    };
    assert_eq!((of(one).await, of(other).await), (3, 2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_down_to_the_finalized_block_is_one_update_and_one_block_deeper_ends_the_writer() {
    let lab = Lab::new().await;
    let tree = Tree::new(CHAIN);
    mine(&tree, 150);
    let last = tree.at(5);
    tree.tag(Some(last), Some(last));
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let config = ChainConfig {
        max_reorg_depth: 1_000,
        ..config_of(&[(&node, Role::All)])
    };
    let running = lab.ingest(config).await.unwrap();
    lab.caught_up(&tree, "the start").await;
    eventually("finality", async || {
        (lab.state().await?.finalized == Some(last)).then_some(())
    })
    .await;
    let branch: Vec<_> = (0..146).map(|salt| Contents::empty(1_000 + salt)).collect();
    tree.reorg(145, &branch);
    let mut fold = Fold::default();
    lab.caught_up(&tree, "145 blocks deep").await;
    lab.assert_equals(&tree, 0, "145 blocks deep").await;
    fold.assert_equals(&lab, &tree, "145 blocks deep").await;
    assert_eq!(fold.reorgs, 1);

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
        text.contains("or drop what is stored") && !text.contains("secret"),
        "{text}"
    );
    assert_eq!(lab.state().await.unwrap().head, Some(head));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_branch_of_the_same_height_counts_only_when_the_active_provider_has_it() {
    let lab = Lab::new().await;
    let tree = Tree::new(CHAIN);
    mine(&tree, 5);
    let (first, second) = (
        FaultyNode::of_tree(&tree).await.unwrap(),
        FaultyNode::of_tree(&tree).await.unwrap(),
    );
    let sibling = tree.extend(tree.at(4).hash, &Contents::empty(77));
    second.pin(Some(sibling.hash));
    let config = config_of(&[(&first, Role::All), (&second, Role::All)]);
    let running = lab.ingest(config).await.unwrap();
    lab.caught_up(&tree, "the preferred one's branch").await;
    let asked = second.asked("eth_getBlockByNumber");
    eventually("more polls of the other", async || {
        (second.asked("eth_getBlockByNumber") > asked + 5).then_some(())
    })
    .await;
    lab.assert_equals(&tree, 0, "the preferred one's branch")
        .await;
    assert_eq!(lab.count("SELECT count(*) FROM dropped_blocks").await, 0);

    // The preferred one goes there too, which makes it a reorg.
    tree.set_head(sibling.hash);
    lab.caught_up(&tree, "the branch of both").await;
    assert_eq!(lab.count("SELECT count(*) FROM dropped_blocks").await, 1);
    running.stop().await;
}
