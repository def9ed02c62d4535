//! `newHeads` that is silent or lies, and nodes that want headers.

use serde_json::json;

use super::{
    lab::{Lab, config_of},
    stage::{CHAIN, eventually},
};
use crate::{
    dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree},
    source::chain::{ChainConfig, Role},
};

const NEW_HEADS: &str = "newHeads";
const SUBSCRIBE: &str = "eth_subscribe";

async fn one() -> (Tree, FaultyNode, ChainConfig) {
    let tree = Tree::new(CHAIN);
    tree.mine(&Contents::transfers(1, 1));
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let config = config_of(&[(&node, Role::All)]);
    (tree, node, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn replaces_silent_subscription() {
    let lab = Lab::new().await;
    let (tree, node, config) = one().await;
    node.add(Fault::of(NEW_HEADS, Kind::Null));
    let running = lab.ingest(config).await.unwrap();
    lab.caught_up(&tree, "the start").await;
    eventually("a second subscription", async || {
        tree.mine(&Contents::empty(tree.head().number));
        lab.caught_up(&tree, "by polls").await;
        (node.asked(SUBSCRIBE) >= 2).then_some(())
    })
    .await;
    // Announcements that come are followed again.
    node.heal();
    let before = node.asked(NEW_HEADS);
    eventually("an announcement", async || {
        tree.mine(&Contents::empty(tree.head().number));
        lab.caught_up(&tree, "by either").await;
        (node.asked(NEW_HEADS) > before).then_some(())
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_subscription_while_chain_stands_still() {
    let lab = Lab::new().await;
    let (tree, node, config) = one().await;
    let running = lab.ingest(config).await.unwrap();
    lab.caught_up(&tree, "the start").await;
    eventually("a subscription", async || {
        (node.asked(SUBSCRIBE) > 0).then_some(())
    })
    .await;
    let polled = node.asked("eth_getBlockByNumber");
    eventually("many polls", async || {
        (node.asked("eth_getBlockByNumber") > polled + 60).then_some(())
    })
    .await;
    for _ in 0..4 {
        tree.mine(&Contents::empty(tree.head().number));
        lab.caught_up(&tree, "one more").await;
    }
    assert_eq!(node.asked(SUBSCRIBE), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_for_head_when_announcement_is_doubtful() {
    let lab = Lab::new().await;
    for (at, to) in [
        ("/number", json!("0x3b9aca00")),
        ("/hash", json!(null)),
        ("/hash", json!("0x12")),
    ] {
        lab.clear().await;
        let (tree, node, config) = one().await;
        // Only announcements lead to the head.
        let config = ChainConfig {
            poll_interval_ms: 600_000,
            ..config
        };
        let running = lab.ingest(config).await.unwrap();
        lab.caught_up(&tree, "the start").await;
        eventually("a subscription", async || {
            (node.asked(SUBSCRIBE) > 0).then_some(())
        })
        .await;
        let at = at.to_owned();
        node.add(Fault::of(NEW_HEADS, Kind::Alter { at, to }));
        tree.mine(&Contents::transfers(1, 2));
        lab.caught_up(&tree, "by the poll that it led to").await;
        let told = lab.count("SELECT node_head FROM chains").await;
        assert!(told <= 2, "{told}");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_headers_over_http_and_websocket() {
    let lab = Lab::new().await;
    let (tree, node, mut config) = one().await;
    node.require_header("X-Api-Key", "key-0123456789");
    let Err(refused) = lab.ingest(config.clone()).await else {
        panic!("a node that wants a header answered without it");
    };
    assert!(refused.to_string().contains("401"), "{refused}");

    let headers = json!({ "x-api-key": "key-0123456789" });
    config.providers[0].headers = serde_json::from_value(headers).unwrap();
    let running = lab.ingest(config.clone()).await.unwrap();
    lab.caught_up(&tree, "with the header").await;
    eventually("a subscription", async || {
        (node.asked(SUBSCRIBE) > 0).then_some(())
    })
    .await;
    // What the node repeats of it is hidden.
    let echo = Kind::Error {
        code: -32_000,
        message: "the key key-0123456789 has no credits".to_owned(),
    };
    node.add(Fault::of("eth_getBlockByNumber", echo));
    let shown = eventually("the node's words", async || {
        let rows = lab.store.read_providers(&[CHAIN]).await.unwrap();
        rows[0].1.last_error.clone()
    })
    .await;
    assert!(shown.contains("the key (hidden) has no credits"), "{shown}");
    assert!(!format!("{config:?}").contains("0123456789"));
    running.stop().await;
}
