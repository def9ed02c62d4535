//! A node that refuses a part of what it is asked, and how far the index is behind it then.

use std::time::Duration;

use chaincast::dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::{Server, Temporary, eventually, fresh_database};

/// Of the chain.
const BLOCK_TIME: Duration = Duration::from_secs(1);
const BLOCKS: u64 = 16;
/// How often it is seen how far the index is behind.
const LOOK: Duration = Duration::from_millis(50);

/// chaincast behind a node that refuses one request in ten, and says not for how long.
struct Refused {
    node: FaultyNode,
    server: Server,
    _dir: Temporary,
}

impl Refused {
    async fn start(tree: &Tree, announced: bool) -> Self {
        let (node, database) = tokio::join!(FaultyNode::of_tree(tree), fresh_database());
        let (node, dir) = (node.unwrap(), Temporary::new("throttling"));
        // Without announcements the head is as old as the poll.
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
        let refused = Self {
            node,
            server,
            _dir: dir,
        };
        refused.reaches(tree).await;
        refused.node.add(Fault::of("*", refusal).every(10));
        refused
    }

    async fn head(&self) -> Option<u64> {
        let url = format!("{}/api/v1/blocks/latest", self.server.url());
        let block: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
        block["number"].as_u64()
    }

    async fn reaches(&self, tree: &Tree) {
        eventually("the index reaches the head", || async {
            (self.head().await? == tree.head().number).then_some(())
        })
        .await;
    }

    /// How many blocks the index was behind, looked at again and again until `end`; sorted.
    async fn behind(&self, tree: &Tree, end: Instant) -> Vec<u64> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut behind = Vec::new();
        while looks.tick().await < end {
            let head = self.head().await.unwrap();
            behind.push(tree.head().number.saturating_sub(head));
        }
        behind.sort_unstable();
        behind
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_in_ten_keeps_the_head_within_two_blocks() {
    let tree = Tree::new(31_337);
    tree.mine(&Contents::transfers(2, 0));
    let (announced, polled) =
        tokio::join!(Refused::start(&tree, true), Refused::start(&tree, false));
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
        announced.behind(&tree, end),
        polled.behind(&tree, end)
    );
    for (name, refused, behind) in [("announced", announced, first), ("polled", polled, second)] {
        let (median, most) = (behind[behind.len() / 2], behind[behind.len() - 1]);
        let mean = behind.iter().sum::<u64>() as f64 / behind.len() as f64;
        let hits = refused.node.hits(0);
        eprintln!(
            "{name}: {median} blocks behind at the median of {} looks, {mean:.2} at the mean, {most} at most; {hits} \
             requests refused",
            behind.len()
        );
        assert!(hits > 0, "{name}: nothing was refused");
        assert!(
            median <= 2,
            "{name}: {median} blocks behind at the median: {behind:?}\n{}",
            refused.server.said()
        );
        refused.reaches(&tree).await;
        refused.server.stop().await;
    }
}
