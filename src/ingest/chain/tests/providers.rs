//! Several providers of one chain, each with what is wrong with it.

use serde_json::json;

use super::{
    lab::{Fold, Lab, config_of},
    stage::{CHAIN, Running, eventually},
};
use crate::{
    dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree},
    ingest::IngestError,
    source::chain::{ChainConfig, NodeError, Role},
    store::chain::ProviderRow,
};

/// A chain of a few blocks, and two nodes in front of it.
async fn two() -> (Tree, FaultyNode, FaultyNode) {
    let tree = Tree::new(CHAIN);
    mine(&tree, 4);
    let first = FaultyNode::of_tree(&tree).await.unwrap();
    let second = FaultyNode::of_tree(&tree).await.unwrap();
    (tree, first, second)
}

fn mine(tree: &Tree, blocks: u64) {
    for _ in 0..blocks {
        let salt = tree.head().number;
        tree.mine(&Contents::transfers(2, salt));
    }
}

fn config(first: &FaultyNode, second: &FaultyNode) -> ChainConfig {
    config_of(&[(first, Role::All), (second, Role::All)])
}

/// Nothing of it is answered any more, and what is connected is cut with the next head.
fn kill(node: &FaultyNode) {
    node.add(Fault::of("*", Kind::Cut));
    node.add(Fault::of("newHeads", Kind::Cut));
}

/// The providers as recorded, once they are as wanted.
async fn providers(
    lab: &Lab,
    what: &str,
    wanted: impl Fn(&[ProviderRow]) -> bool,
) -> Vec<ProviderRow> {
    eventually(what, async || {
        let rows = lab.store.read_providers(&[CHAIN]).await.unwrap();
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        wanted(&rows).then_some(rows)
    })
    .await
}

/// The whole chain is stored, linked and announced, and so many blocks were dropped on the way.
async fn follows(lab: &Lab, tree: &Tree, dropped: i64, what: &str) {
    lab.caught_up(tree, what).await;
    lab.assert_equals(tree, 0, what).await;
    Fold::default().assert_equals(lab, tree, what).await;
    let really = lab.count("SELECT count(*) FROM dropped_blocks").await;
    assert_eq!(really, dropped, "{what}");
}

async fn ended(lab: &Lab, running: Running) {
    running.stop().await;
    let shown = format!("{:?}", lab.store.read_providers(&[CHAIN]).await.unwrap());
    assert!(!shown.contains("a-secret-key"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_provider_is_left_for_another_and_followed_again_once_it_does_well() {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    let running = lab.ingest(config(&first, &second)).await.unwrap();
    follows(&lab, &tree, 0, "the start").await;
    providers(&lab, "the preferred is active", |rows| {
        rows.len() == 2 && rows[0].active
    })
    .await;

    kill(&first);
    mine(&tree, 3);
    follows(&lab, &tree, 0, "the first is dead").await;
    let rows = providers(&lab, "the second is active", |rows| {
        rows[1].active && rows[0].state == "failed"
    })
    .await;
    assert!(rows[0].failures >= 3, "{rows:?}");
    assert_eq!(rows[0].url, format!("http://127.0.0.1:{}", first.port()));

    first.heal();
    providers(&lab, "the preferred is active again", |rows| {
        rows[0].active && rows[0].state == "ok"
    })
    .await;
    mine(&tree, 3);
    follows(&lab, &tree, 0, "the first is back").await;
    ended(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_lags_is_not_followed_and_its_old_branch_is_no_reorg() {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    let running = lab.ingest(config(&first, &second)).await.unwrap();
    follows(&lab, &tree, 0, "the start").await;

    // It stays on a branch that the chain leaves.
    let old = tree.head();
    first.pin(Some(old.hash));
    tree.reorg(2, &[Contents::empty(70), Contents::empty(71)]);
    mine(&tree, 8);
    follows(&lab, &tree, 2, "the first lags").await;
    providers(&lab, "the first lags", |rows| {
        rows[1].active && rows[0].state == "lagging"
    })
    .await;

    // And alone, it is still behind what is indexed: no reason to go back.
    kill(&second);
    providers(&lab, "only the first is left", |rows| {
        rows[0].active && rows[1].state == "failed"
    })
    .await;
    let asked = first.asked("eth_getBlockByNumber");
    eventually("more polls", async || {
        (first.asked("eth_getBlockByNumber") > asked + 5).then_some(())
    })
    .await;
    follows(&lab, &tree, 2, "only the first is left, on its old branch").await;

    first.pin(None);
    mine(&tree, 1);
    follows(&lab, &tree, 2, "the first is where the chain is").await;
    ended(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_branch_of_a_provider_that_took_over_is_followed_once_the_one_before_it_shows_it_too()
 {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    kill(&first);
    let running = lab.ingest(config(&first, &second)).await.unwrap();
    mine(&tree, 3);
    follows(&lab, &tree, 0, "the first is dead").await;
    let left = tree.head();

    // The one that comes back shows a lower branch, the other stays where it was.
    second.pin(Some(left.hash));
    tree.reorg(3, &[Contents::empty(70)]);
    first.heal();
    providers(&lab, "the preferred is active again", |rows| {
        rows[0].active && rows[0].state == "ok" && rows[0].head == Some(left.number - 2)
    })
    .await;
    let asked = first.asked("eth_getBlockByNumber");
    eventually("more polls", async || {
        (first.asked("eth_getBlockByNumber") > asked + 5).then_some(())
    })
    .await;
    assert_eq!(lab.state().await.unwrap().head, Some(left));

    // Nothing is mined: that both agree is enough.
    second.pin(None);
    follows(&lab, &tree, 3, "both show it").await;
    ended(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_tells_a_head_that_it_does_not_have_makes_no_other_lag() {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    let running = lab.ingest(config(&first, &second)).await.unwrap();
    follows(&lab, &tree, 0, "the start").await;

    second.add(Fault::of(
        "eth_getBlockByNumber",
        Kind::Alter {
            at: "/number".to_owned(),
            to: json!("0xffffffffffffffff"),
        },
    ));
    providers(&lab, "the second is not followed", |rows| {
        rows[0].active && rows[0].state == "ok" && rows[1].state == "lagging"
    })
    .await;
    mine(&tree, 8);
    follows(&lab, &tree, 0, "the second tells what cannot be").await;
    ended(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_truncates_or_alters_is_taken_from_another_and_never_stored() {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    let altered = Kind::Alter {
        at: "/0/logs/0/data".to_owned(),
        to: json!(format!("0x{}", "f".repeat(64))),
    };
    first.add(Fault::of("eth_getBlockReceipts", altered).at(2));
    first.add(Fault::of("eth_getBlockReceipts", Kind::CutAfter(100)).at(3));
    let running = lab.ingest(config(&first, &second)).await.unwrap();
    follows(&lab, &tree, 0, "history of which some is wrong").await;
    let lied = lab
        .count("SELECT count(*) FROM transfers WHERE amount > 1000")
        .await;
    assert_eq!(lied, 0);
    assert!(first.hits(0) > 0);

    let rows = providers(&lab, "its last error", |rows| rows[0].last_error.is_some()).await;
    let error = rows[0].last_error.clone().unwrap();
    assert!(
        error.contains("127.0.0.1") && !error.contains("secret"),
        "{error}"
    );
    ended(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_another_chain_is_never_used_and_only_when_all_are_the_writer_ends() {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    let other = || {
        let kind = Kind::Alter {
            at: String::new(),
            to: json!("0x1"),
        };
        Fault::of("eth_chainId", kind)
    };
    first.add(other());
    let running = lab.ingest(config(&first, &second)).await.unwrap();
    mine(&tree, 2);
    follows(&lab, &tree, 0, "one serves another chain").await;
    let rows = providers(&lab, "the second is active", |rows| {
        rows.len() == 2 && rows[1].active && rows[0].state == "failed"
    })
    .await;
    let error = rows[0].last_error.clone().unwrap();
    assert!(error.contains("serves chain 1, but chain 31337"), "{error}");
    assert_eq!(first.asked("eth_getBlockReceipts"), 0);
    ended(&lab, running).await;

    second.add(other());
    let Err(error) = lab.ingest(config(&first, &second)).await else {
        panic!("it was accepted")
    };
    let text = error.to_string();
    let IngestError::Node { error, .. } = &error else {
        panic!("{text}")
    };
    assert!(
        matches!(error.cause(), NodeError::WrongChain { .. }),
        "{text}"
    );
    assert!(
        text.contains("2 providers: node-0: ")
            && text.contains("; node-1: ")
            && !text.contains("secret"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_down_the_writer_waits_and_goes_on_with_the_first_that_answers() {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    let running = lab.ingest(config(&first, &second)).await.unwrap();
    follows(&lab, &tree, 0, "the start").await;
    kill(&first);
    kill(&second);
    mine(&tree, 5);
    providers(&lab, "both failed", |rows| {
        rows.iter().all(|row| row.state == "failed")
    })
    .await;
    second.heal();
    follows(&lab, &tree, 0, "one is back").await;
    ended(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_asks_for_rest_is_left_alone_while_another_works() {
    let lab = Lab::new().await;
    let (tree, first, second) = two().await;
    let config = ChainConfig {
        failover_cooldown_ms: 600_000,
        ..config(&first, &second)
    };
    let running = lab.ingest(config).await.unwrap();
    follows(&lab, &tree, 0, "the start").await;
    let busy = Kind::Status {
        code: 429,
        retry_after: Some(600),
    };
    let fault = first.add(Fault::of("*", busy));
    mine(&tree, 3);
    follows(&lab, &tree, 0, "the first is busy").await;
    providers(&lab, "it rests", |rows| {
        rows[0].state == "resting" && rows[1].active
    })
    .await;
    // A request that was under way when the rest began may have arrived only now.
    mine(&tree, 3);
    follows(&lab, &tree, 0, "the first rests").await;
    let hits = first.hits(fault);
    mine(&tree, 3);
    follows(&lab, &tree, 0, "the first goes on resting").await;
    assert_eq!(first.hits(fault), hits, "it was asked while it rested");
    ended(&lab, running).await;
}
