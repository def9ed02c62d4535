//! History from nodes that rest, lack blocks, or tell the truth.

use super::*;
use crate::{
    dev::faulty_node::{Contents, Fault, FaultyNode, Kind, Tree},
    model::Secret,
    source::chain::ProviderConfig,
};

const CHAIN: ChainId = 31_337;
const RECEIPTS: &str = "eth_getBlockReceipts";

fn tree(blocks: u64) -> Tree {
    let tree = Tree::new(CHAIN);
    for salt in 0..blocks {
        tree.mine(&Contents::transfers(1, salt));
    }
    tree
}

fn history(nodes: &[&FaultyNode], to: u64, config: ChainConfig) -> History {
    let providers = nodes
        .iter()
        .map(|node| ProviderConfig::of(Secret::new(node.http_url())));
    let config = ChainConfig {
        providers: providers.collect(),
        ..config
    };
    let providers = Arc::new(Providers::new(&config).unwrap());
    History::start(providers, &config, 0..=to, Direction::Up)
}

fn config() -> ChainConfig {
    ChainConfig {
        request_blocks: 4,
        concurrency: 8,
        rest_max_ms: 3_600_000,
        ..ChainConfig::of(CHAIN, Secret::default())
    }
}

/// Numbers of the blocks that come, and the error after them.
async fn taken(history: &mut History) -> (Vec<u64>, Option<NodeError>) {
    let mut numbers = Vec::new();
    while let Some(segment) = history.next().await {
        match segment {
            Ok(segment) => numbers.extend(segment.blocks.iter().map(|b| b.header.number)),
            Err(error) => return (numbers, Some(error)),
        }
    }
    (numbers, None)
}

/// A node that wants to be left alone is never waited for here: this is far less than it wants.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(90);
    tokio::time::timeout(limit, work).await.expect("it comes")
}

fn busy(seconds: u64) -> Kind {
    Kind::Status {
        code: 429,
        retry_after: Some(seconds),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_node_that_wants_to_be_left_alone_is_asked_of_another() {
    let tree = tree(60);
    let (first, second) = tokio::join!(FaultyNode::of_tree(&tree), FaultyNode::of_tree(&tree));
    let (first, second) = (first.unwrap(), second.unwrap());
    let fault = first.add(Fault::of("batch", busy(3_000)));
    let mut history = history(&[&first, &second], 60, config());
    let (numbers, error) = soon(taken(&mut history)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers, Vec::from_iter(0..=60));
    assert!(first.hits(fault) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_is_left_alone_no_longer_than_is_allowed() {
    let tree = tree(20);
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    let fault = node.add(Fault::of("batch", busy(3_000)).times(2));
    let allowed = ChainConfig {
        rest_max_ms: 300,
        ..config()
    };
    let mut history = history(&[&node], 20, allowed);
    let (numbers, error) = soon(taken(&mut history)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers, Vec::from_iter(0..=20));
    assert_eq!(node.hits(fault), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_below_one_that_is_missing_come_before_the_error() {
    let tree = tree(20);
    let node = FaultyNode::of_tree(&tree).await.unwrap();
    node.add(Fault::of(RECEIPTS, Kind::Null).at(14));
    node.add(Fault::of("eth_getTransactionReceipt", Kind::Null).at(14));
    let wide = ChainConfig {
        request_blocks: 21,
        ..config()
    };
    let mut history = history(&[&node], 20, wide);
    let (numbers, error) = soon(taken(&mut history)).await;
    assert_eq!(numbers, Vec::from_iter(0..14));
    assert!(
        matches!(error, Some(NodeError::Missing { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_panic_where_history_is_dispatched_is_no_end_of_it() {
    let (hand_over, coming) = mpsc::channel(1);
    let mut history = History::of(coming, async move {
        drop(hand_over);
        panic!("boom");
    });
    let next = tokio::spawn(async move { history.next().await.is_none() });
    assert!(next.await.unwrap_err().is_panic());
}

fn all(range: RangeInclusive<u64>, size: u64, direction: Direction) -> Vec<(u64, u64)> {
    segments(range, || size, direction).collect()
}

#[test]
fn segments_cover_a_range_once_in_either_direction_up_to_the_ends_of_the_numbers() {
    assert_eq!(all(3..=9, 3, Direction::Up), [(3, 5), (6, 8), (9, 9)]);
    assert_eq!(all(3..=9, 3, Direction::Down), [(7, 9), (4, 6), (3, 3)]);
    assert_eq!(all(0..=5, 3, Direction::Down), [(3, 5), (0, 2)]);
    assert_eq!(all(4..=4, 10, Direction::Up), [(4, 4)]);
    let top = u64::MAX;
    assert_eq!(
        all(top - 3..=top, 2, Direction::Up),
        [(top - 3, top - 2), (top - 1, top)]
    );
}
