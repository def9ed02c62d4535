//! Nodes without block 0, as of a chain that was pruned or forked: `dev --rpc-url`, `check` and `verify` against one.

use std::path::Path;

use chaincast::dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree};
use serde_json::Value;

use crate::support::{Server, Temporary, eventually, run_to_end};

const CHAIN: u64 = 31_337;
/// The lowest block that the nodes have.
const LOWEST: u64 = 6;

async fn pruned(tree: &Tree) -> FaultyNode {
    let node = FaultyNode::of_tree(tree).await.unwrap();
    for height in 0..LOWEST {
        node.add(Fault::of("eth_getBlockByNumber", Kind::Null).at(height));
    }
    node
}

/// Ten blocks above block 0.
fn chain(salt: u64) -> Tree {
    let tree = Tree::salted(CHAIN, salt);
    for salt in 0..10 {
        tree.mine(&Contents::transfers(1, salt));
    }
    tree
}

/// Replaces the newest blocks from `LOWEST` on by as many and one more.
fn reorg(tree: &Tree, salt: u64) {
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

async fn caught_up(server: &Server, tree: &Tree) {
    let hash = format!("{:#x}", tree.head().hash);
    eventually("the index reaches the node's head", async || {
        let url = format!("{}/api/v1/blocks/latest", server.url());
        let text = reqwest::get(url).await.ok()?.text().await.ok()?;
        let block: Value = serde_json::from_str(&text).ok()?;
        (block["hash"] == hash).then_some(())
    })
    .await;
}

/// `check` and `verify` find the index and the node to be of one chain, and equal.
async fn agree(config: &Path, tree: &Tree) {
    let config = config.to_str().unwrap();
    let (code, said, error) = run_to_end(&["check", "--config", config]).await;
    assert_eq!(code, 0, "{said}{error}");
    let known = format!("known by block {LOWEST} {}", tree.at(LOWEST).hash);
    assert!(said.contains(&known), "{said}");
    let (code, said, error) = run_to_end(&["verify", "--config", config]).await;
    assert_eq!(code, 0, "{said}{error}");
    let compared = format!("compared blocks {LOWEST} to {}: ", tree.head().number);
    assert!(
        said.contains(&compared) && said.contains("no difference"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_check_and_verify_work_without_block_0() {
    let tree = chain(0);
    let (node, dir) = (pruned(&tree).await, Temporary::new("no-block-0"));
    let url = node.http_url();
    let data = dir.path().join("data");
    // It begins at the lowest block that it finds on the way to the head.
    let server = Server::start(&dev(&url, &data)).await;
    caught_up(&server, &tree).await;
    let config = data.join("chaincast.toml");
    agree(&config, &tree).await;
    let below = format!("{}/api/v1/blocks/{}", server.url(), LOWEST - 1);
    assert_eq!(reqwest::get(below).await.unwrap().status(), 404);

    // A reorg of the first block, seen and not seen.
    reorg(&tree, 1);
    caught_up(&server, &tree).await;
    agree(&config, &tree).await;
    server.stop().await;
    reorg(&tree, 2);
    let server = Server::start(&dev(&url, &data)).await;
    caught_up(&server, &tree).await;
    agree(&config, &tree).await;

    // Another chain of the same id.
    let other = chain(7);
    let other = pruned(&other).await;
    let text = std::fs::read_to_string(&config).unwrap();
    let elsewhere = dir.path().join("elsewhere.toml");
    std::fs::write(&elsewhere, text.replace(&url, &other.http_url())).unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    let (code, said, _) = run_to_end(&["check", "--config", elsewhere]).await;
    assert_eq!(code, 1, "{said}");
    let refused =
        format!("serves another chain than the database indexes: its block {LOWEST} is 0x");
    assert!(said.contains(&refused), "{said}");
    let (code, _, error) = run_to_end(&["verify", "--config", elsewhere]).await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains(&format!("block {LOWEST} is 0x")), "{error}");
    assert!(error.contains("they are two chains"), "{error}");
    server.stop().await;
    let (code, said, error) = run_to_end(&dev(&other.http_url(), &data)).await;
    assert_eq!(code, 1, "{said}{error}");
    for words in [
        "the database indexes another chain 31337 than the node serves",
        "block 6 0x",
        "--reset",
        "a start_block that is final",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
}
