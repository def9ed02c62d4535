//! Logs from a correct node, or one with faults.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Log, LogData, U256};
use serde_json::json;

use crate::chain::{
    BlockTarget, ChainConfig, ChecksConfig, Node, NodeError, ProviderConfig, Providers, Work,
    transfers::SIGNATURES, workers::Workers,
};
use chaincast_base::Secret;
use chaincast_model::{IndexMode, IndexedBlock};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind, Payment};

const CHAIN: u64 = 31_337;
pub(super) const LOGS: &str = "eth_getLogs";
const HEADERS: &str = "eth_getBlockByNumber";

pub(super) fn config(node: &FaultyNode, index: IndexMode) -> ChainConfig {
    ChainConfig {
        index,
        request_blocks: 3,
        ..ChainConfig::of(CHAIN, Secret::new(node.http_url()))
    }
}

pub(super) fn client(node: &FaultyNode, index: IndexMode) -> Arc<Node> {
    Arc::new(Node::new(&config(node, index)).unwrap())
}

/// Blocks from 0 to `to`, in as many chunks as it takes.
pub(super) async fn chunks(client: &Arc<Node>, to: u64) -> Result<Vec<IndexedBlock>, NodeError> {
    let mut blocks: Vec<IndexedBlock> = Vec::new();
    while (blocks.len() as u64) <= to {
        let (from, checks) = (blocks.len() as u64, ChecksConfig::default());
        let chunk = client
            .clone()
            .chunk(from, to, checks, Workers::new(), 0)
            .await?;
        assert!(!chunk.blocks.is_empty());
        blocks.extend(chunk.blocks);
    }
    Ok(blocks)
}

/// Block 1 has three transfers, 2 a payment without a log, 3 nothing, 4 logs of other kinds, one of them twice.
pub(super) fn tree() -> BlockTree {
    let tree = BlockTree::new(CHAIN);
    tree.mine(&Contents::transfers(3, 1));
    tree.mine(&Contents::new(vec![Payment::new(1)], 2));
    tree.mine(&Contents::empty(3));
    let other = Log {
        address: Address::repeat_byte(0x33),
        data: LogData::new_unchecked(vec![B256::repeat_byte(0x44)], vec![1, 2, 3].into()),
    };
    let approval = Log {
        address: Address::repeat_byte(0x70),
        data: LogData::new_unchecked(Vec::new(), Default::default()),
    };
    let token = Address::repeat_byte(0x70);
    let busy = Payment::new(0)
        .log(other.clone())
        .transfer(token, Address::repeat_byte(5), 9)
        .log(other.clone());
    let last = Payment::new(1).log(other).log(approval);
    tree.mine(&Contents::new(vec![busy, last], 4));
    tree
}

/// Reduces a whole block to an index mode.
fn reduced(mut block: IndexedBlock, index: IndexMode) -> IndexedBlock {
    let hash = |at: u32| Some(block.transactions[at as usize].hash);
    for log in &mut block.logs {
        log.transaction_hash = hash(log.transaction_index);
    }
    for transfer in &mut block.transfers {
        transfer.transaction_hash = hash(transfer.transaction_index);
    }
    block.header.size_proved = false;
    block.transactions.clear();
    if index == IndexMode::Transfers {
        block.logs.clear();
    }
    block
}

pub(super) async fn truth(tree: &BlockTree, index: IndexMode) -> Vec<IndexedBlock> {
    let node = FaultyNode::from_tree(tree).await.unwrap();
    let whole = chunks(&client(&node, IndexMode::Blocks), tree.head().number).await;
    whole
        .unwrap()
        .into_iter()
        .map(|block| reduced(block, index))
        .collect()
}

pub(super) const REDUCED: [IndexMode; 2] = [IndexMode::Logs, IndexMode::Transfers];

#[tokio::test]
async fn logs_and_transfers_equal_those_of_whole_blocks() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        assert_eq!(
            expected
                .iter()
                .map(|block| block.transfers.len())
                .sum::<usize>(),
            4
        );
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let client = client(&node, index);
        assert_eq!(chunks(&client, 4).await.unwrap(), expected, "{index}");
        for block in expected {
            let at = block.block_ref();
            for wanted in [BlockTarget::Number(at.number), BlockTarget::Block(at)] {
                let one = client
                    .block(wanted, &ChecksConfig::default())
                    .await
                    .unwrap();
                assert_eq!(one, block, "{index}");
            }
        }
        for method in ["eth_getBlockReceipts", "eth_getTransactionReceipt"] {
            assert_eq!(node.requests(method), 0, "{index}");
        }
    }
}

#[tokio::test]
async fn partial_logs_are_requested_again() {
    let tree = tree();
    let expected = truth(&tree, IndexMode::Logs).await;
    let hole = Kind::Alter {
        at: "/1/logIndex".to_owned(),
        to: json!("0x2"),
    };
    let other = Kind::Alter {
        at: "/0/blockHash".to_owned(),
        to: json!(B256::repeat_byte(1)),
    };
    for kind in [Kind::Empty, Kind::Keep(1), Kind::Keep(2), hole, other] {
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let client = client(&node, IndexMode::Logs);
        let fault = node.add(Fault::new(LOGS, kind.clone()).times(1));
        assert_eq!(chunks(&client, 4).await.unwrap(), expected, "{kind:?}");
        assert_eq!(node.hits(fault), 1);

        // Single blocks as well.
        node.add(Fault::new(LOGS, kind.clone()).times(1));
        let one = client
            .block(BlockTarget::Number(1), &ChecksConfig::default())
            .await;
        assert_eq!(one.unwrap(), expected[1], "{kind:?}");
        assert!(node.unused_faults().is_empty());
    }
}

#[tokio::test]
async fn persistently_partial_logs_fail_over() {
    let tree = tree();
    let expected = truth(&tree, IndexMode::Logs).await;
    let (bad, good) = (
        FaultyNode::from_tree(&tree).await.unwrap(),
        FaultyNode::from_tree(&tree).await.unwrap(),
    );
    bad.add(Fault::new(LOGS, Kind::Keep(2)));
    let alone = chunks(&client(&bad, IndexMode::Logs), 4).await.unwrap_err();
    assert!(
        matches!(&alone, NodeError::Check { error, .. } if error.check == "logs_bloom"),
        "{alone}"
    );
    assert!(
        alone
            .to_string()
            .contains("chains.checks.logs_bloom = false"),
        "{alone}"
    );

    let mut both = config(&bad, IndexMode::Logs);
    both.providers
        .push(ProviderConfig::of(Secret::new(good.http_url())));
    let providers = Providers::new(&both).unwrap();
    let chunk = providers
        .attempt(Work::History, |node| {
            node.chunk(1, 1, ChecksConfig::default(), Workers::new(), 0)
        })
        .await
        .unwrap();
    assert_eq!(chunk.blocks[..], expected[1..2]);
    let one = providers
        .attempt(Work::Live, |node| async move {
            node.block(BlockTarget::Number(4), &ChecksConfig::default())
                .await
        })
        .await
        .unwrap();
    assert_eq!(one, expected[4]);
}

#[tokio::test]
async fn unconfirmed_empty_transfers_are_requested_again() {
    let tree = tree();
    let expected = truth(&tree, IndexMode::Transfers).await;
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let client = client(&node, IndexMode::Transfers);
    node.add(Fault::new(LOGS, Kind::Empty).times(1));
    assert_eq!(chunks(&client, 4).await.unwrap(), expected);

    // Logs that the node never returns cannot be detected: a bloom only allows them.
    node.clear_faults();
    node.add(Fault::new(LOGS, Kind::Empty).at(1));
    node.add(Fault::new(LOGS, Kind::Empty).times(1));
    let first = client
        .clone()
        .chunk(0, 1, ChecksConfig::default(), Workers::new(), 0)
        .await;
    assert!(
        first
            .unwrap()
            .blocks
            .iter()
            .all(|block| block.transfers.is_empty())
    );

    // Logs that are no transfer, or in no bloom, are rejected.
    for (at, to) in [
        ("/0/topics/0", json!(B256::repeat_byte(9))),
        ("/0/address", json!(Address::repeat_byte(0x99))),
        ("/0/topics/1", json!(B256::repeat_byte(0x77))),
        ("/1/logIndex", json!("0x0")),
        ("/0/transactionIndex", json!("0x3")),
        ("/0/removed", json!(true)),
    ] {
        node.clear_faults();
        node.add(Fault::new(
            LOGS,
            Kind::Alter {
                at: at.to_owned(),
                to,
            },
        ));
        let result = client
            .block(BlockTarget::Number(1), &ChecksConfig::default())
            .await;
        let error = result.unwrap_err();
        assert!(
            matches!(error, NodeError::Check { .. } | NodeError::BadAnswer { .. }),
            "{at}: {error}"
        );
    }
}

#[tokio::test]
async fn rejects_altered_header() {
    let tree = tree();
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let client = client(&node, IndexMode::Logs);
    let fault = Kind::Alter {
        at: "/stateRoot".to_owned(),
        to: json!(B256::repeat_byte(1)),
    };
    node.add(Fault::new("eth_getBlockByNumber", fault).at(2));
    let refused = chunks(&client, 4).await.unwrap_err();
    assert!(
        matches!(&refused, NodeError::Check { error, .. } if error.check == "block_hash"),
        "{refused}"
    );
}

#[tokio::test]
async fn too_large_range_is_halved_or_follows_offer() {
    let tree = BlockTree::new(CHAIN);
    for salt in 1..=40 {
        tree.mine(&Contents::transfers(salt % 3, salt));
    }
    let expected = truth(&tree, IndexMode::Logs).await;
    let error = |code: i64, message: &str| Kind::Error {
        code,
        message: message.to_owned(),
    };
    let broken = |message: &str| Kind::Body {
        status: 500,
        text: serde_json::json!({ "error": { "code": -32_000, "message": message } }).to_string(),
    };
    for (message, refused, times) in [
        (
            "more than",
            error(-32_005, "query returned more than 10000 results"),
            2,
        ),
        ("too big", error(-32_008, "Response is too big"), 2),
        ("range", error(-32_602, "range exceeds the limit"), 2),
        ("status", broken("exceed max allowed range 1000"), 2),
        // It offers one block: no request is refused after that.
        (
            "offer",
            error(
                -32_005,
                "query returned more than 10000 results. Try with this block range [0x0, 0x0].",
            ),
            1,
        ),
    ] {
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let client = client(&node, IndexMode::Logs);
        node.add(Fault::new(LOGS, refused).times(times));
        let first = client
            .clone()
            .chunk(0, 40, ChecksConfig::default(), Workers::new(), 0)
            .await;
        assert_eq!(first.unwrap().blocks[..], expected[..1], "{message}");
        assert_eq!(node.requests(LOGS), times + 1, "{message}");
        assert_eq!(chunks(&client, 40).await.unwrap(), expected, "{message}");
        // It grows again.
        assert!(
            node.requests(LOGS) < 40,
            "{message}: {}",
            node.requests(LOGS)
        );
    }

    // A node that refuses even one block is not retried forever.
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let refused = Kind::Error {
        code: -32_005,
        message: "query returned more than 10000 results".to_owned(),
    };
    node.add(Fault::new(LOGS, refused));
    let error = chunks(&client(&node, IndexMode::Logs), 40)
        .await
        .unwrap_err();
    assert!(matches!(error, NodeError::TooLarge { .. }), "{error}");
    assert!(node.requests(LOGS) < 10);
}

#[tokio::test]
async fn logs_work_without_batches() {
    let tree = tree();
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let refused = Kind::Error {
            code: -32_600,
            message: "no arrays here".to_owned(),
        };
        node.add(Fault::new("batch", refused));
        node.add(Fault::new(LOGS, Kind::Empty).times(1));
        assert_eq!(
            chunks(&client(&node, index), 4).await.unwrap(),
            expected,
            "{index}"
        );
    }
}

#[tokio::test]
async fn native_transfers_equal_those_of_whole_blocks() {
    let tree = BlockTree::new(CHAIN);
    let [from, to] = [6, 7].map(Address::repeat_byte);
    let native = Payment::new(1).native(from, to, 5).burn(to, 3);
    tree.mine(&Contents::new(vec![native], 5).in_slot(9));
    for index in REDUCED {
        let expected = truth(&tree, index).await;
        assert_eq!(expected[1].transfers.len(), 2, "{index}");
        assert_eq!(expected[1].header.slot_number, Some(9));
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let client = client(&node, index);
        assert_eq!(chunks(&client, 1).await.unwrap(), expected, "{index}");
    }
}

#[test]
fn transfer_signatures_match_standards() {
    let of = |signature: &str| alloy::primitives::keccak256(signature);
    assert_eq!(
        SIGNATURES,
        [
            of("Transfer(address,address,uint256)"),
            of("TransferSingle(address,address,address,uint256,uint256)"),
            of("TransferBatch(address,address,address,uint256[],uint256[])"),
            of("Burn(address,uint256)"),
        ]
    );
    assert_ne!(U256::from_be_bytes(SIGNATURES[0].0), U256::ZERO);
}

#[tokio::test]
async fn rejects_logs_of_another_transaction_or_block() {
    let tree = tree();
    let number = tree.head().number;
    let other = tree.block(tree.at(1).hash).unwrap().receipts[0].transaction_hash;
    for index in REDUCED {
        for (at, to) in [
            ("/0/transactionHash", json!(B256::ZERO)),
            ("/0/transactionHash", json!(other)),
            ("/0/transactionIndex", json!("0x1")),
            ("/0/transactionIndex", json!("0x63")),
            ("/0/blockNumber", json!("0x1")),
            ("/0/blockHash", json!(other)),
            ("/0/removed", json!(true)),
        ] {
            let node = FaultyNode::from_tree(&tree).await.unwrap();
            let client = client(&node, index);
            let (what, alteration) = (
                format!("{index} {at} {to}"),
                Kind::Alter {
                    at: at.to_owned(),
                    to,
                },
            );
            node.add(Fault::new(LOGS, alteration));
            let checks = ChecksConfig::default();
            let one = client.block(BlockTarget::Number(number), &checks).await;
            assert!(
                matches!(one, Err(NodeError::BadAnswer { .. })),
                "{what}: {one:?}"
            );
            let many = client
                .chunk(number, number, checks, Workers::new(), 0)
                .await;
            let many = many.map(|chunk| chunk.blocks);
            assert!(
                matches!(many, Err(NodeError::BadAnswer { .. })),
                "{what}: {many:?}"
            );
        }
    }
}

#[tokio::test]
async fn absurd_numbers_are_rejected_and_absurd_size_is_dropped() {
    let tree = tree();
    let number = tree.head().number;
    let above = |bits: u64| json!(format!("{:#x}", 1_u64 << bits));
    let unhashed = ChecksConfig {
        block_hash: false,
        ..ChecksConfig::default()
    };
    for (index, method, at, to) in [
        (IndexMode::Logs, HEADERS, "/slotNumber", above(63)),
        (IndexMode::Logs, HEADERS, "/timestamp", above(63)),
        (IndexMode::Blocks, HEADERS, "/slotNumber", above(63)),
        (IndexMode::Transfers, LOGS, "/0/logIndex", above(31)),
    ] {
        // The head has no slot number: a fault can only alter an existing one.
        let tree = match at {
            "/slotNumber" => {
                let tree = BlockTree::new(CHAIN);
                tree.mine(&Contents::transfers(1, 1).in_slot(9));
                tree
            }
            _ => self::tree(),
        };
        let number = match index {
            IndexMode::Transfers => 1,
            _ => tree.head().number,
        };
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let what = format!("{index} {at}");
        node.add(Fault::new(
            method,
            Kind::Alter {
                at: at.to_owned(),
                to,
            },
        ));
        let client = client(&node, index);
        let one = client.block(BlockTarget::Number(number), &unhashed).await;
        assert!(
            matches!(one, Err(NodeError::BadAnswer { .. })),
            "{what}: {one:?}"
        );
        let many = client.chunk(number, number, unhashed, Workers::new(), 0);
        let many = many.await.map(|chunk| chunk.blocks);
        assert!(
            matches!(many, Err(NodeError::BadAnswer { .. })),
            "{what}: {many:?}"
        );
    }

    let node = FaultyNode::from_tree(&tree).await.unwrap();
    node.add(Fault::new(
        HEADERS,
        Kind::Alter {
            at: "/size".to_owned(),
            to: json!("0xffffffffffffffff"),
        },
    ));
    let client = client(&node, IndexMode::Logs);
    let checks = ChecksConfig::default();
    let one = client.block(BlockTarget::Number(number), &checks).await;
    assert_eq!(one.unwrap().header.size, None);
}
