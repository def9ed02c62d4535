//! `null` in place of a list of logs.

use super::tests::{LOGS, REDUCED, chunks, client, config, tree, truth};
use crate::chain::{
    BlockTarget, ChecksConfig, NodeError, ProviderConfig, Providers, Work, workers::Workers,
};
use chaincast_base::Secret;
use chaincast_model::IndexMode;
use chaincast_testkit::faulty_node::{Fault, FaultyNode, Kind};

/// Blocks of [`tree`] with an empty bloom.
const BARE: [u64; 2] = [2, 3];

#[tokio::test]
async fn null_for_range_is_requested_again_by_hash() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let fault = node.add(Fault::new(LOGS, Kind::Null).times(1));
        let client = client(&node, index);
        assert_eq!(chunks(&client, 4).await.unwrap(), expected, "{index}");
        assert_eq!(node.hits(fault), 1);
        node.add(Fault::new(LOGS, Kind::Null).times(1));
        let checks = ChecksConfig::default();
        let one = client.block(BlockTarget::Number(1), &checks).await;
        assert_eq!(one.unwrap(), expected[1], "{index}");
        assert!(node.unused_faults().is_empty());
    }
}

#[tokio::test]
async fn null_means_no_logs_if_bloom_is_empty() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        node.add(Fault::new(LOGS, Kind::Null));
        let client = client(&node, index);
        let [from, to] = BARE;
        let checks = ChecksConfig::default();
        let chunk = client.clone().chunk(from, to, checks, Workers::new(), 0);
        let chunk = chunk.await.unwrap();
        assert_eq!(
            chunk.blocks[..],
            expected[2..2 + chunk.blocks.len()],
            "{index}"
        );
        let requests = node.requests(LOGS);
        assert_eq!(requests, 1, "{index}: no second request");
        for number in BARE {
            let one = client
                .block(BlockTarget::Number(number), &checks)
                .await
                .unwrap();
            assert_eq!(one, expected[number as usize], "{index}");
        }

        // Without that check nothing proves that there are none.
        let unchecked = ChecksConfig {
            logs_bloom: false,
            ..checks
        };
        let one = client.block(BlockTarget::Number(2), &unchecked).await;
        assert!(matches!(one, Err(NodeError::Missing { .. })), "{one:?}");
        let some = client.clone().chunk(2, 3, unchecked, Workers::new(), 0);
        let some = some.await.map(|chunk| chunk.blocks);
        assert!(matches!(some, Err(NodeError::Missing { .. })), "{some:?}");
    }
}

#[tokio::test]
async fn persistent_null_fails_over() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        let bad = FaultyNode::from_tree(&tree).await.unwrap();
        let good = FaultyNode::from_tree(&tree).await.unwrap();
        bad.add(Fault::new(LOGS, Kind::Null));
        let alone = chunks(&client(&bad, index), 4).await.unwrap_err();
        assert!(matches!(alone, NodeError::Missing { .. }), "{alone}");
        assert!(alone.to_string().contains("the logs of block 1"), "{alone}");

        let mut both = config(&bad, index);
        both.providers
            .push(ProviderConfig::of(Secret::new(good.http_url())));
        let providers = Providers::new(&both).unwrap();
        let chunk = providers.attempt(Work::History, |node| {
            node.chunk(1, 1, ChecksConfig::default(), Workers::new(), 0)
        });
        assert_eq!(chunk.await.unwrap().blocks[..], expected[1..2], "{index}");
    }
    assert_eq!(REDUCED, [IndexMode::Logs, IndexMode::Transfers]);
}
