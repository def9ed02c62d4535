//! What `null` in place of a list of logs is taken for.

use super::tests::{LOGS, REDUCED, chunks, client, config, tree, truth};
use crate::{
    dev::faulty_node::{Fault, FaultyNode, Kind},
    model::{IndexMode, Secret},
    source::chain::{
        ChecksConfig, NodeError, ProviderConfig, Providers, Wanted, Work, chunk::Workers,
    },
};

/// Blocks of [`tree`] whose blooms have no bit.
const BARE: [u64; 2] = [2, 3];

#[tokio::test]
async fn null_for_a_range_is_asked_for_again_by_hash() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        let node = FaultyNode::of_tree(&tree).await.unwrap();
        let fault = node.add(Fault::of(LOGS, Kind::Null).times(1));
        let client = client(&node, index);
        assert_eq!(chunks(&client, 4).await.unwrap(), expected, "{index}");
        assert_eq!(node.hits(fault), 1);
        node.add(Fault::of(LOGS, Kind::Null).times(1));
        let checks = ChecksConfig::default();
        let one = client.block(Wanted::Number(1), &checks).await;
        assert_eq!(one.unwrap(), expected[1], "{index}");
        assert!(node.unspent().is_empty());
    }
}

#[tokio::test]
async fn null_is_no_log_where_the_bloom_is_empty() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        let node = FaultyNode::of_tree(&tree).await.unwrap();
        node.add(Fault::of(LOGS, Kind::Null));
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
        let asked = node.asked(LOGS);
        assert_eq!(asked, 1, "{index}: nothing is asked for again");
        for number in BARE {
            let one = client.block(Wanted::Number(number), &checks).await.unwrap();
            assert_eq!(one, expected[number as usize], "{index}");
        }

        // Without that check nothing shows that there is none.
        let unchecked = ChecksConfig {
            logs_bloom: false,
            ..checks
        };
        let one = client.block(Wanted::Number(2), &unchecked).await;
        assert!(matches!(one, Err(NodeError::Missing { .. })), "{one:?}");
        let some = client.clone().chunk(2, 3, unchecked, Workers::new(), 0);
        let some = some.await.map(|chunk| chunk.blocks);
        assert!(matches!(some, Err(NodeError::Missing { .. })), "{some:?}");
    }
}

#[tokio::test]
async fn null_that_stays_is_missing_and_others_are_asked() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        let bad = FaultyNode::of_tree(&tree).await.unwrap();
        let good = FaultyNode::of_tree(&tree).await.unwrap();
        bad.add(Fault::of(LOGS, Kind::Null));
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
