//! A node that rejects a part of all requests, and how far the index lags behind it.

use std::time::Duration;

use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::{Server, TempDir, eventually, fresh_database};

/// The block time of the chain.
const BLOCK_TIME: Duration = Duration::from_secs(1);
const BLOCKS: u64 = 16;
/// How often the lag is measured.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// chaincast with a node that rejects one request in ten, without a retry time.
struct Throttled {
    node: FaultyNode,
    server: Server,
    _dir: TempDir,
}

impl Throttled {
    async fn start(tree: &BlockTree, announced: bool) -> Self {
        let (node, database) = tokio::join!(FaultyNode::from_tree(tree), fresh_database());
        let (node, dir) = (node.unwrap(), TempDir::new("throttling"));
        // Without announcements the head is only polled.
        let head = match announced {
            true => format!("ws_url = {:?}", node.ws_url()),
            false => "poll_interval_ms = 250".to_owned(),
        };
        let config = format!(
            "[server]\nport = 0\n[database]\nurl = {database:?}\n\
             [[chains]]\nchain_id = 31337\nrpc_url = {:?}\n{head}\n",
            node.http_url()
        );
        let file = dir.path().join("chaincast.toml");
        std::fs::write(&file, config).unwrap();
        let server = Server::serve(&file).await;
        let refusal = Kind::Status {
            code: 429,
            retry_after: None,
        };
        let throttled = Self {
            node,
            server,
            _dir: dir,
        };
        throttled.wait_for_head(tree).await;
        throttled.node.add(Fault::new("*", refusal).every(10));
        throttled
    }

    async fn head(&self) -> Option<u64> {
        let url = format!("{}/api/v1/blocks/latest", self.server.url());
        let block: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
        block["number"].as_u64()
    }

    async fn wait_for_head(&self, tree: &BlockTree) {
        eventually("the index reaches the head", || async {
            (self.head().await? == tree.head().number).then_some(())
        })
        .await;
    }

    /// The lag in blocks, sampled until `end`, sorted.
    async fn sample_lag(&self, tree: &BlockTree, end: Instant) -> Vec<u64> {
        let mut samples = interval(SAMPLE_INTERVAL);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut behind = Vec::new();
        while samples.tick().await < end {
            let head = self.head().await.unwrap();
            behind.push(tree.head().number.saturating_sub(head));
        }
        behind.sort_unstable();
        behind
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_one_in_ten_keeps_lag_within_two_blocks() {
    let tree = BlockTree::new(31_337);
    tree.mine(&Contents::transfers(2, 0));
    let (announced, polled) = tokio::join!(
        Throttled::start(&tree, true),
        Throttled::start(&tree, false)
    );
    let end = Instant::now() + BLOCK_TIME * (BLOCKS as u32 + 1);
    let mining = async {
        let mut blocks = interval(BLOCK_TIME);
        for salt in 1..=BLOCKS {
            blocks.tick().await;
            tree.mine(&Contents::transfers(2, salt));
        }
    };
    let (_, first, second) = tokio::join!(
        mining,
        announced.sample_lag(&tree, end),
        polled.sample_lag(&tree, end)
    );
    for (name, throttled, behind) in [("announced", announced, first), ("polled", polled, second)] {
        let (median, most) = (behind[behind.len() / 2], behind[behind.len() - 1]);
        let mean = behind.iter().sum::<u64>() as f64 / behind.len() as f64;
        let hits = throttled.node.hits(0);
        eprintln!(
            "{name}: {median} blocks behind at the median of {} samples, {mean:.2} at the mean, {most} at most; {hits} \
             requests rejected",
            behind.len()
        );
        assert!(hits > 0, "{name}: no request was rejected");
        assert!(
            median <= 2,
            "{name}: {median} blocks behind at the median: {behind:?}\n{}",
            throttled.server.output()
        );
        throttled.wait_for_head(&tree).await;
        throttled.server.stop().await;
    }
}
