//! Several providers of one chain, with different faults.

use serde_json::json;

use super::{
    anvil_fixture::{CHAIN, RunningWriter, eventually},
    scripted_fixture::{ReplayedChain, ScriptedFixture, config_of},
};
use crate::IngestError;
use chaincast_evm::chain::{ChainConfig, NodeError, Role};
use chaincast_store::chain::ProviderRow;
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

/// A chain of a few blocks, and two nodes in front of it.
async fn two() -> (BlockTree, FaultyNode, FaultyNode) {
    let tree = BlockTree::new(CHAIN);
    mine(&tree, 4);
    let first = FaultyNode::from_tree(&tree).await.unwrap();
    let second = FaultyNode::from_tree(&tree).await.unwrap();
    (tree, first, second)
}

fn mine(tree: &BlockTree, blocks: u64) {
    for _ in 0..blocks {
        let salt = tree.head().number;
        tree.mine(&Contents::transfers(2, salt));
    }
}

fn config(first: &FaultyNode, second: &FaultyNode) -> ChainConfig {
    config_of(&[(first, Role::All), (second, Role::All)])
}

/// Stops all answers; open connections are closed at the next head.
fn kill(node: &FaultyNode) {
    node.add(Fault::new("*", Kind::Cut));
    node.add(Fault::new("newHeads", Kind::Cut));
}

/// The recorded providers, once they meet the condition.
async fn providers(
    fixture: &ScriptedFixture,
    what: &str,
    wanted: impl Fn(&[ProviderRow]) -> bool,
) -> Vec<ProviderRow> {
    eventually(what, async || {
        let rows = fixture.store.read_providers(&[CHAIN]).await.unwrap();
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        wanted(&rows).then_some(rows)
    })
    .await
}

/// Waits until the whole chain is stored, linked and announced, with `dropped` blocks on the way.
async fn follows(fixture: &ScriptedFixture, tree: &BlockTree, dropped: i64, what: &str) {
    fixture.caught_up(tree, what).await;
    fixture.assert_equals(tree, 0, what).await;
    ReplayedChain::default()
        .assert_equals(fixture, tree, what)
        .await;
    let really = fixture.count("SELECT count(*) FROM dropped_blocks").await;
    assert_eq!(really, dropped, "{what}");
}

async fn ended(fixture: &ScriptedFixture, running: RunningWriter) {
    running.stop().await;
    let urls = format!(
        "{:?}",
        fixture.store.read_providers(&[CHAIN]).await.unwrap()
    );
    assert!(!urls.contains("a-secret-key"), "{urls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fails_over_from_dead_provider_and_back() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    let running = fixture.ingest(config(&first, &second)).await.unwrap();
    follows(&fixture, &tree, 0, "the start").await;
    providers(&fixture, "the preferred is active", |rows| {
        rows.len() == 2 && rows[0].active
    })
    .await;

    kill(&first);
    mine(&tree, 3);
    follows(&fixture, &tree, 0, "the first is dead").await;
    let rows = providers(&fixture, "the second is active", |rows| {
        rows[1].active && rows[0].state == "failed"
    })
    .await;
    assert!(rows[0].failures >= 3, "{rows:?}");
    assert_eq!(rows[0].url, format!("http://127.0.0.1:{}", first.port()));

    first.clear_faults();
    providers(&fixture, "the preferred is active again", |rows| {
        rows[0].active && rows[0].state == "ok"
    })
    .await;
    mine(&tree, 3);
    follows(&fixture, &tree, 0, "the first is back").await;
    ended(&fixture, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_branch_of_lagging_provider_is_no_reorg() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    let running = fixture.ingest(config(&first, &second)).await.unwrap();
    follows(&fixture, &tree, 0, "the start").await;

    // It stays on a branch that the chain leaves.
    let old = tree.head();
    first.pin(Some(old.hash));
    tree.reorg(2, &[Contents::empty(70), Contents::empty(71)]);
    mine(&tree, 8);
    follows(&fixture, &tree, 2, "the first lags").await;
    providers(&fixture, "the first lags", |rows| {
        rows[1].active && rows[0].state == "lagging"
    })
    .await;

    // Even alone it is behind the indexed head: no reason for a reorg.
    kill(&second);
    providers(&fixture, "only the first is left", |rows| {
        rows[0].active && rows[1].state == "failed"
    })
    .await;
    let requests_before = first.requests("eth_getBlockByNumber");
    eventually("more polls", async || {
        (first.requests("eth_getBlockByNumber") > requests_before + 5).then_some(())
    })
    .await;
    follows(
        &fixture,
        &tree,
        2,
        "only the first is left, on its old branch",
    )
    .await;

    first.pin(None);
    mine(&tree, 1);
    follows(&fixture, &tree, 2, "the first is where the chain is").await;
    ended(&fixture, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_lower_branch_once_previous_provider_has_it() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    kill(&first);
    let running = fixture.ingest(config(&first, &second)).await.unwrap();
    mine(&tree, 3);
    follows(&fixture, &tree, 0, "the first is dead").await;
    let left = tree.head();

    // The recovered provider has a lower branch, the other one is unchanged.
    second.pin(Some(left.hash));
    tree.reorg(3, &[Contents::empty(70)]);
    first.clear_faults();
    providers(&fixture, "the preferred is active again", |rows| {
        rows[0].active && rows[0].state == "ok" && rows[0].head == Some(left.number - 2)
    })
    .await;
    let requests_before = first.requests("eth_getBlockByNumber");
    eventually("more polls", async || {
        (first.requests("eth_getBlockByNumber") > requests_before + 5).then_some(())
    })
    .await;
    assert_eq!(fixture.state().await.unwrap().head, Some(left));

    // No block is mined: agreement of both is sufficient.
    second.pin(None);
    follows(&fixture, &tree, 3, "both have it").await;
    ended(&fixture, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn false_head_of_one_provider_delays_no_other() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    let running = fixture.ingest(config(&first, &second)).await.unwrap();
    follows(&fixture, &tree, 0, "the start").await;

    second.add(Fault::new(
        "eth_getBlockByNumber",
        Kind::Alter {
            at: "/number".to_owned(),
            to: json!("0xffffffffffffffff"),
        },
    ));
    providers(&fixture, "the second is not followed", |rows| {
        rows[0].active && rows[0].state == "ok" && rows[1].state == "lagging"
    })
    .await;
    mine(&tree, 8);
    follows(&fixture, &tree, 0, "the second claims an impossible head").await;
    ended(&fixture, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_or_altered_data_is_fetched_elsewhere() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    let altered = Kind::Alter {
        at: "/0/logs/0/data".to_owned(),
        to: json!(format!("0x{}", "f".repeat(64))),
    };
    first.add(Fault::new("eth_getBlockReceipts", altered).at(2));
    first.add(Fault::new("eth_getBlockReceipts", Kind::CutAfter(100)).at(3));
    let running = fixture.ingest(config(&first, &second)).await.unwrap();
    follows(&fixture, &tree, 0, "history with false data").await;
    let lied = fixture
        .count("SELECT count(*) FROM transfers WHERE amount > 1000")
        .await;
    assert_eq!(lied, 0);
    assert!(first.hits(0) > 0);

    let rows = providers(&fixture, "its last error", |rows| {
        rows[0].last_error.is_some()
    })
    .await;
    let error = rows[0].last_error.clone().unwrap();
    assert!(
        error.contains("127.0.0.1") && !error.contains("secret"),
        "{error}"
    );
    ended(&fixture, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_ends_only_if_all_providers_serve_another_chain() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    let other = || {
        let kind = Kind::Alter {
            at: String::new(),
            to: json!("0x1"),
        };
        Fault::new("eth_chainId", kind)
    };
    first.add(other());
    let running = fixture.ingest(config(&first, &second)).await.unwrap();
    mine(&tree, 2);
    follows(&fixture, &tree, 0, "one serves another chain").await;
    let rows = providers(&fixture, "the second is active", |rows| {
        rows.len() == 2 && rows[1].active && rows[0].state == "failed"
    })
    .await;
    let error = rows[0].last_error.clone().unwrap();
    assert!(error.contains("serves chain 1, but chain 31337"), "{error}");
    assert_eq!(first.requests("eth_getBlockReceipts"), 0);
    ended(&fixture, running).await;

    second.add(other());
    let Err(error) = fixture.ingest(config(&first, &second)).await else {
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
async fn resumes_with_first_provider_that_recovers() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    let running = fixture.ingest(config(&first, &second)).await.unwrap();
    follows(&fixture, &tree, 0, "the start").await;
    kill(&first);
    kill(&second);
    mine(&tree, 5);
    providers(&fixture, "both failed", |rows| {
        rows.iter().all(|row| row.state == "failed")
    })
    .await;
    second.clear_faults();
    follows(&fixture, &tree, 0, "one is back").await;
    ended(&fixture, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_provider_is_not_used_while_another_works() {
    let fixture = ScriptedFixture::new().await;
    let (tree, first, second) = two().await;
    let config = ChainConfig {
        failover_cooldown_ms: 600_000,
        ..config(&first, &second)
    };
    let running = fixture.ingest(config).await.unwrap();
    follows(&fixture, &tree, 0, "the start").await;
    let busy = Kind::Status {
        code: 429,
        retry_after: Some(600),
    };
    let fault = first.add(Fault::new("*", busy));
    mine(&tree, 3);
    follows(&fixture, &tree, 0, "the first is busy").await;
    providers(&fixture, "it rests", |rows| {
        rows[0].state == "resting" && rows[1].active
    })
    .await;
    // A request in flight when the pause began may arrive only now.
    mine(&tree, 3);
    follows(&fixture, &tree, 0, "the first rests").await;
    let hits = first.hits(fault);
    mine(&tree, 3);
    follows(&fixture, &tree, 0, "the first stays throttled").await;
    assert_eq!(first.hits(fault), hits, "it was used while throttled");
    ended(&fixture, running).await;
}
