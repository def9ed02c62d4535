//! History from resting, incomplete and correct nodes.

use super::*;
use crate::chain::ProviderConfig;
use chaincast_base::Secret;
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

const CHAIN: ChainId = 31_337;
const RECEIPTS: &str = "eth_getBlockReceipts";

fn tree(blocks: u64) -> BlockTree {
    let tree = BlockTree::new(CHAIN);
    for salt in 0..blocks {
        tree.mine(&Contents::transfers(1, salt));
    }
    tree
}

fn history(nodes: &[&FaultyNode], to: u64, config: ChainConfig) -> BlockRange {
    let providers = nodes
        .iter()
        .map(|node| ProviderConfig::of(Secret::new(node.http_url())));
    let config = ChainConfig {
        providers: providers.collect(),
        ..config
    };
    let providers = Arc::new(Providers::new(&config).unwrap());
    BlockRange::start(providers, &config, 0..=to, Direction::Up)
}

fn config() -> ChainConfig {
    ChainConfig {
        request_blocks: 4,
        concurrency: 8,
        rest_max_ms: 3_600_000,
        ..ChainConfig::of(CHAIN, Secret::default())
    }
}

/// Numbers of the returned blocks, and the error after them.
async fn collect(history: &mut BlockRange) -> (Vec<u64>, Option<NodeError>) {
    let mut numbers = Vec::new();
    while let Some(segment) = history.next().await {
        match segment {
            Ok(segment) => numbers.extend(segment.blocks.iter().map(|b| b.header.number)),
            Err(error) => return (numbers, Some(error)),
        }
    }
    (numbers, None)
}

/// Far shorter than the requested pauses, which must not be awaited.
async fn with_deadline<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(90);
    tokio::time::timeout(limit, work)
        .await
        .expect("the work ends in time")
}

fn throttled(seconds: u64) -> Kind {
    Kind::Status {
        code: 429,
        retry_after: Some(seconds),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resting_node_is_replaced_by_another() {
    let tree = tree(60);
    let (first, second) = tokio::join!(FaultyNode::from_tree(&tree), FaultyNode::from_tree(&tree));
    let (first, second) = (first.unwrap(), second.unwrap());
    let fault = first.add(Fault::new("batch", throttled(3_000)));
    let mut history = history(&[&first, &second], 60, config());
    let (numbers, error) = with_deadline(collect(&mut history)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers, Vec::from_iter(0..=60));
    assert!(first.hits(fault) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn single_node_rests_up_to_maximum() {
    let tree = tree(20);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let fault = node.add(Fault::new("batch", throttled(3_000)).times(2));
    let allowed = ChainConfig {
        rest_max_ms: 300,
        ..config()
    };
    let mut history = history(&[&node], 20, allowed);
    let (numbers, error) = with_deadline(collect(&mut history)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(numbers, Vec::from_iter(0..=20));
    assert_eq!(node.hits(fault), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_before_missing_one_are_returned() {
    let tree = tree(20);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    node.add(Fault::new(RECEIPTS, Kind::Null).at(14));
    node.add(Fault::new("eth_getTransactionReceipt", Kind::Null).at(14));
    let wide = ChainConfig {
        request_blocks: 21,
        ..config()
    };
    let mut history = history(&[&node], 20, wide);
    let (numbers, error) = with_deadline(collect(&mut history)).await;
    assert_eq!(numbers, Vec::from_iter(0..14));
    assert!(
        matches!(error, Some(NodeError::Missing { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn dispatcher_panic_is_not_end_of_range() {
    let (segments_tx, segments_rx) = mpsc::channel(1);
    let mut history = BlockRange::of(segments_rx, async move {
        drop(segments_tx);
        panic!("boom");
    });
    let next = tokio::spawn(async move { history.next().await.is_none() });
    assert!(next.await.unwrap_err().is_panic());
}

fn all(range: RangeInclusive<u64>, size: u64, direction: Direction) -> Vec<(u64, u64)> {
    segments(range, || size, direction).collect()
}

#[test]
fn segments_cover_range_once_in_both_directions() {
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
