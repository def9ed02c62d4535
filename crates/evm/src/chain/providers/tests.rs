//! Selection of providers, with running nodes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{ProviderConfig, ProviderState, Providers, Role, Work};
use crate::chain::{ChainConfig, Node, NodeError};
use chaincast_base::Secret;
use chaincast_model::KnownBlock;
use chaincast_testkit::faulty_node::{BlockTree, Fault, FaultyNode, Kind};

const CHAIN: u64 = 31_337;

async fn nodes(roles: &[Role]) -> (Vec<FaultyNode>, Providers) {
    let tree = BlockTree::new(CHAIN);
    let (mut nodes, mut providers) = (Vec::new(), Vec::new());
    for (position, role) in roles.iter().enumerate() {
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        providers.push(ProviderConfig {
            name: Some(format!("node-{position}")),
            role: *role,
            ..ProviderConfig::of(Secret::new(node.http_url()))
        });
        nodes.push(node);
    }
    let config = ChainConfig {
        providers,
        failover_cooldown_ms: 600_000,
        ..ChainConfig::of(CHAIN, Secret::default())
    };
    let providers = Providers::new(&config).unwrap();
    (nodes, providers)
}

/// The URLs tried in one attempt, each failing as `failure` returns.
async fn tried_urls(
    providers: &Providers,
    work: Work,
    failure: impl Fn(&Node) -> Option<NodeError>,
) -> (Vec<String>, Result<(), NodeError>) {
    let urls = Mutex::new(Vec::new());
    let done = providers
        .attempt(work, |node: Arc<Node>| {
            urls.lock().push(node.redacted_url());
            let failure = failure(&node);
            async move { failure.map_or(Ok(()), Err) }
        })
        .await;
    (urls.into_inner(), done)
}

fn url(node: &FaultyNode) -> String {
    format!("http://127.0.0.1:{}", node.port())
}

fn bad(node: &Node) -> Option<NodeError> {
    Some(NodeError::BadAnswer {
        url: node.redacted_url(),
        method: "eth_x",
        reason: "nonsense".to_owned(),
    })
}

#[tokio::test]
async fn work_goes_to_suitable_providers_in_order() {
    let (nodes, providers) = nodes(&[Role::History, Role::All, Role::Live]).await;
    let all = |positions: &[usize]| -> Vec<String> {
        positions
            .iter()
            .map(|position| url(&nodes[*position]))
            .collect()
    };
    let missing = |node: &Node| {
        Some(NodeError::Missing {
            url: node.redacted_url(),
            what: "block 9".to_owned(),
        })
    };
    let (live, error) = tried_urls(&providers, Work::Live, missing).await;
    assert_eq!(live, all(&[1, 2]));
    let error = error.unwrap_err();
    assert!(
        matches!(error.cause(), NodeError::Missing { .. }),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("2 providers: node-1: the node at http://127.0.0.1")
            && text.contains("; node-2: "),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    let (history, _) = tried_urls(&providers, Work::History, missing).await;
    assert_eq!(history, all(&[0, 1]));
    // A block that no provider has is no failure of any.
    assert!(
        providers
            .status()
            .iter()
            .all(|status| status.state == ProviderState::Ok)
    );
}

#[tokio::test]
async fn wrong_provider_is_skipped_while_another_answers() {
    let (nodes, providers) = nodes(&[Role::All, Role::All]).await;
    let first = url(&nodes[0]);
    let wrong = |node: &Node| (node.redacted_url() == first).then(|| bad(node)).flatten();
    let (tried, done) = tried_urls(&providers, Work::Live, wrong).await;
    assert_eq!(tried, [first.clone(), url(&nodes[1])]);
    done.unwrap();
    let (tried, _) = tried_urls(&providers, Work::Live, |_| None).await;
    assert_eq!(tried, [url(&nodes[1])]);
    let status = providers.status();
    assert_eq!(status[0].state, ProviderState::Failed);
    assert!(status[0].last_error.as_ref().unwrap().contains("nonsense"));
    // If the other fails too, both are tried.
    tried_urls(&providers, Work::Live, bad).await.1.unwrap_err();
    let (tried, done) = tried_urls(&providers, Work::Live, |_| None).await;
    assert_eq!(tried, [first]);
    done.unwrap();
}

#[tokio::test]
async fn all_resting_providers_return_wait() {
    let (_nodes, providers) = nodes(&[Role::All]).await;
    let throttled = |node: &Node| {
        Some(NodeError::Throttled {
            url: node.redacted_url(),
            reason: "429".to_owned(),
            retry_after: Some(std::time::Duration::from_secs(50)),
        })
    };
    tried_urls(&providers, Work::Live, throttled)
        .await
        .1
        .unwrap_err();
    let (tried, done) = tried_urls(&providers, Work::Live, |_| None).await;
    assert!(tried.is_empty());
    match done.unwrap_err() {
        NodeError::Resting { wait, .. } => assert!(wait.as_secs() > 20, "{wait:?}"),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn provider_proves_chain_again_after_outage() {
    let (nodes, providers) = nodes(&[Role::All]).await;
    let proofs = || nodes[0].requests("eth_chainId");
    for _ in 0..3 {
        tried_urls(&providers, Work::Live, |_| None)
            .await
            .1
            .unwrap();
    }
    assert_eq!(proofs(), 1);
    let cut = nodes[0].add(Fault::new("eth_getBlockByNumber", Kind::Cut).times(1));
    providers
        .tagged(crate::chain::Tag::Latest)
        .await
        .unwrap_err();
    assert_eq!(nodes[0].hits(cut), 1);
    tried_urls(&providers, Work::Live, |_| None)
        .await
        .1
        .unwrap();
    assert_eq!(proofs(), 2);
}

#[tokio::test]
async fn majority_genesis_excludes_other_providers() {
    let (tree, other) = (BlockTree::new(CHAIN), BlockTree::salted(CHAIN, 9));
    let mut providers = Vec::new();
    let mut nodes = Vec::new();
    for tree in [&other, &tree, &tree] {
        let node = FaultyNode::from_tree(tree).await.unwrap();
        providers.push(ProviderConfig::of(Secret::new(node.http_url())));
        nodes.push(node);
    }
    let config = ChainConfig {
        providers,
        ..ChainConfig::of(CHAIN, Secret::default())
    };
    let agreed = Providers::new(&config).unwrap();
    assert_eq!(agreed.identity().await.unwrap(), tree.genesis());
    assert_eq!(
        tried_urls(&agreed, Work::Live, |_| None).await.0,
        [url(&nodes[1])]
    );
    let error = agreed.status()[0].last_error.clone().unwrap();
    assert!(error.contains("another chain with this id"), "{error}");

    // Stored blocks outweigh the nodes.
    let stored = Providers::new(&config).unwrap();
    stored.expect(&[KnownBlock::fixed(other.genesis())]);
    assert_eq!(stored.identity().await.unwrap(), other.genesis());
    let expected = alloy::primitives::B256::repeat_byte(7);
    stored.expect(&[KnownBlock::fixed(chaincast_protocol::BlockRef {
        number: 0,
        hash: expected,
    })]);
    let error = stored.identity().await.unwrap_err();
    let NodeError::WrongGenesis {
        number,
        expected: actual,
        ..
    } = error.cause()
    else {
        panic!("{error}");
    };
    assert_eq!((*number, *actual), (0, expected));
}

#[tokio::test]
async fn response_bound_applies_after_decompression() {
    let node = FaultyNode::from_tree(&BlockTree::new(CHAIN)).await.unwrap();
    let config = ChainConfig {
        response_bytes: 20_000,
        ..ChainConfig::of(CHAIN, Secret::new(node.http_url()))
    };
    let client = Node::new(&config).unwrap();
    let compress = |with: &str, padding: usize| {
        node.clear_faults();
        let with = with.to_owned();
        node.add(Fault::new("*", Kind::Compressed { with, padding }));
    };
    for with in ["gzip", "br"] {
        compress(with, 100);
        assert_eq!(client.at(0).await.unwrap().unwrap().number, 0, "{with}");
        // Compressed it is far below the bound.
        compress(with, 1_000_000);
        let error = client.at(0).await.unwrap_err();
        assert!(matches!(error, NodeError::TooLarge { .. }), "{error}");
    }
    compress("zstd", 0);
    let error = client.at(0).await.unwrap_err().to_string();
    assert!(
        error.contains("zstd") && error.contains("use gzip or br"),
        "{error}"
    );
}

#[tokio::test]
async fn reports_unrequested_block() {
    let (nodes, providers) = nodes(&[Role::All, Role::All]).await;
    nodes[0].add(Fault::new(
        "eth_getBlockByNumber",
        Kind::Alter {
            at: "/number".to_owned(),
            to: "0x7".into(),
        },
    ));
    let found = providers.attempt(Work::Live, |node| async move { node.at(0).await });
    assert_eq!(found.await.unwrap().unwrap().number, 0);
    let status = providers.status();
    let error = status[0].last_error.clone().unwrap();
    assert!(error.contains("block 7 instead of 0"), "{error}");
    assert_eq!(status[0].state, ProviderState::Failed);
}
