//! Silent or false `newHeads` subscriptions, and nodes that require headers.

use serde_json::json;

use super::{
    anvil_fixture::{CHAIN, eventually},
    scripted_fixture::{ScriptedFixture, config_of},
};
use chaincast_evm::chain::{ChainConfig, Role};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

const NEW_HEADS: &str = "newHeads";
const SUBSCRIBE: &str = "eth_subscribe";

async fn one() -> (BlockTree, FaultyNode, ChainConfig) {
    let tree = BlockTree::new(CHAIN);
    tree.mine(&Contents::transfers(1, 1));
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let config = config_of(&[(&node, Role::All)]);
    (tree, node, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn replaces_silent_subscription() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node, config) = one().await;
    node.add(Fault::new(NEW_HEADS, Kind::Null));
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up(&tree, "the start").await;
    eventually("a second subscription", async || {
        tree.mine(&Contents::empty(tree.head().number));
        fixture.caught_up(&tree, "by polls").await;
        (node.requests(SUBSCRIBE) >= 2).then_some(())
    })
    .await;
    // Announcements are followed again once they arrive.
    node.clear_faults();
    let before = node.requests(NEW_HEADS);
    eventually("an announcement", async || {
        tree.mine(&Contents::empty(tree.head().number));
        fixture.caught_up(&tree, "by either").await;
        (node.requests(NEW_HEADS) > before).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_subscription_while_chain_is_idle() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node, config) = one().await;
    let running = fixture.ingest(config).await.unwrap();
    fixture.caught_up(&tree, "the start").await;
    eventually("a subscription", async || {
        (node.requests(SUBSCRIBE) > 0).then_some(())
    })
    .await;
    let polled = node.requests("eth_getBlockByNumber");
    eventually("many polls", async || {
        (node.requests("eth_getBlockByNumber") > polled + 60).then_some(())
    })
    .await;
    for _ in 0..4 {
        tree.mine(&Contents::empty(tree.head().number));
        fixture.caught_up(&tree, "one more").await;
    }
    assert_eq!(node.requests(SUBSCRIBE), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_head_after_doubtful_announcement() {
    let fixture = ScriptedFixture::new().await;
    for (at, to) in [
        ("/number", json!("0x3b9aca00")),
        ("/hash", json!(null)),
        ("/hash", json!("0x12")),
    ] {
        fixture.clear().await;
        let (tree, node, config) = one().await;
        // Only announcements lead to the head.
        let config = ChainConfig {
            poll_interval_ms: 600_000,
            ..config
        };
        let running = fixture.ingest(config).await.unwrap();
        fixture.caught_up(&tree, "the start").await;
        eventually("a subscription", async || {
            (node.requests(SUBSCRIBE) > 0).then_some(())
        })
        .await;
        let at = at.to_owned();
        node.add(Fault::new(NEW_HEADS, Kind::Alter { at, to }));
        tree.mine(&Contents::transfers(1, 2));
        fixture.caught_up(&tree, "by the poll that it led to").await;
        let head_numbers = fixture.count("SELECT node_head FROM chains").await;
        assert!(head_numbers <= 2, "{head_numbers}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_headers_over_http_and_websocket() {
    let fixture = ScriptedFixture::new().await;
    let (tree, node, mut config) = one().await;
    node.require_header("X-Api-Key", "key-0123456789");
    let Err(error) = fixture.ingest(config.clone()).await else {
        panic!("a node that wants a header answered without it");
    };
    assert!(error.to_string().contains("401"), "{error}");

    let headers = json!({ "x-api-key": "key-0123456789" });
    config.providers[0].headers = serde_json::from_value(headers).unwrap();
    let running = fixture.ingest(config.clone()).await.unwrap();
    fixture.caught_up(&tree, "with the header").await;
    eventually("a subscription", async || {
        (node.requests(SUBSCRIBE) > 0).then_some(())
    })
    .await;
    // A key that the node repeats is hidden.
    let echo = Kind::Error {
        code: -32_000,
        message: "the key key-0123456789 has no credits".to_owned(),
    };
    node.add(Fault::new("eth_getBlockByNumber", echo));
    let last_error = eventually("the recorded error", async || {
        let rows = fixture.store.read_providers(&[CHAIN]).await.unwrap();
        rows[0].1.last_error.clone()
    })
    .await;
    assert!(
        last_error.contains("the key (hidden) has no credits"),
        "{last_error}"
    );
    assert!(!format!("{config:?}").contains("0123456789"));
    running.stop().await;
}
