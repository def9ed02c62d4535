//! Nodes without block 0, as of a pruned or forked chain: `dev --rpc-url`, `check` and `verify` against one.

use std::path::Path;

use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};
use serde_json::Value;

use crate::support::{Server, TempDir, eventually, run_to_end};

const CHAIN: u64 = 31_337;
/// The lowest block of the nodes.
const LOWEST: u64 = 6;

async fn pruned(tree: &BlockTree) -> FaultyNode {
    let node = FaultyNode::from_tree(tree).await.unwrap();
    for height in 0..LOWEST {
        node.add(Fault::new("eth_getBlockByNumber", Kind::Null).at(height));
    }
    node
}

/// A chain of ten blocks above block 0.
fn chain(salt: u64) -> BlockTree {
    let tree = BlockTree::salted(CHAIN, salt);
    for salt in 0..10 {
        tree.mine(&Contents::transfers(1, salt));
    }
    tree
}

/// Replaces the blocks from `LOWEST` on by the same number and one more.
fn reorg(tree: &BlockTree, salt: u64) {
    let depth = tree.head().number - LOWEST + 1;
    let contents: Vec<_> = (0..=depth)
        .map(|at| Contents::transfers(2, 100 * salt + at))
        .collect();
    let before = tree.at(LOWEST);
    tree.reorg(depth, &contents);
    assert_ne!(tree.at(LOWEST), before);
}

fn dev<'a>(url: &'a str, data: &'a Path) -> [&'a str; 7] {
    let data = data.to_str().unwrap();
    ["dev", "--port", "0", "--rpc-url", url, "--data-dir", data]
}

async fn caught_up(server: &Server, tree: &BlockTree) {
    let hash = format!("{:#x}", tree.head().hash);
    eventually("the index reaches the node's head", async || {
        let url = format!("{}/api/v1/blocks/latest", server.url());
        let text = reqwest::get(url).await.ok()?.text().await.ok()?;
        let block: Value = serde_json::from_str(&text).ok()?;
        (block["hash"] == hash).then_some(())
    })
    .await;
}

/// `check` and `verify` find that index and node serve the same chain with equal content.
async fn assert_check_and_verify_pass(config: &Path, tree: &BlockTree) {
    let config = config.to_str().unwrap();
    let (code, output, error) = run_to_end(&["check", "--config", config]).await;
    assert_eq!(code, 0, "{output}{error}");
    let known = format!("identified by block {LOWEST} {}", tree.at(LOWEST).hash);
    assert!(output.contains(&known), "{output}");
    let (code, output, error) = run_to_end(&["verify", "--config", config]).await;
    assert_eq!(code, 0, "{output}{error}");
    let compared = format!("compared blocks {LOWEST} to {}: ", tree.head().number);
    assert!(
        output.contains(&compared) && output.contains("no difference"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_check_and_verify_work_without_block_0() {
    let tree = chain(0);
    let (node, dir) = (pruned(&tree).await, TempDir::new("no-block-0"));
    let url = node.http_url();
    let data = dir.path().join("data");
    // Indexing begins at the lowest block that is found on the way to the head.
    let server = Server::start(&dev(&url, &data)).await;
    caught_up(&server, &tree).await;
    let config = data.join("chaincast.toml");
    assert_check_and_verify_pass(&config, &tree).await;
    let below = format!("{}/api/v1/blocks/{}", server.url(), LOWEST - 1);
    assert_eq!(reqwest::get(below).await.unwrap().status(), 404);

    // A reorg of the first block, while running and while stopped.
    reorg(&tree, 1);
    caught_up(&server, &tree).await;
    assert_check_and_verify_pass(&config, &tree).await;
    server.stop().await;
    reorg(&tree, 2);
    let server = Server::start(&dev(&url, &data)).await;
    caught_up(&server, &tree).await;
    assert_check_and_verify_pass(&config, &tree).await;

    // Another chain with the same id.
    let other = chain(7);
    let other = pruned(&other).await;
    let text = std::fs::read_to_string(&config).unwrap();
    let elsewhere = dir.path().join("elsewhere.toml");
    std::fs::write(&elsewhere, text.replace(&url, &other.http_url())).unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    let (code, output, _) = run_to_end(&["check", "--config", elsewhere]).await;
    assert_eq!(code, 1, "{output}");
    let refused =
        format!("serves a different chain than the database indexes: block {LOWEST} is 0x");
    assert!(output.contains(&refused), "{output}");
    let (code, _, error) = run_to_end(&["verify", "--config", elsewhere]).await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains(&format!("block {LOWEST} is 0x")), "{error}");
    assert!(error.contains("have different chains"), "{error}");
    server.stop().await;
    let (code, output, error) = run_to_end(&dev(&other.http_url(), &data)).await;
    assert_eq!(code, 1, "{output}{error}");
    for words in [
        "the database holds another chain 31337 than the node serves",
        "block 6 0x",
        "--reset",
        "a finalized start_block",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
}
