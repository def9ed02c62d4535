//! Errors of nodes and their proxies in place of an answer.

use std::sync::Arc;

use super::*;
use crate::chain::{BlockTarget, ChainConfig, ChecksConfig, workers::Workers};
use chaincast_base::Secret;
use chaincast_protocol::BlockRef;
use chaincast_testkit::faulty_node::{BlockSelector, BlockTree, Contents, Fault, FaultyNode, Kind};

const RECEIPTS: &str = "eth_getBlockReceipts";

struct Pair {
    faulty: FaultyNode,
    node: Node,
    tree: BlockTree,
}

/// A chain of five blocks, and a client of its node.
async fn pair() -> Pair {
    let tree = BlockTree::new(31_337);
    for salt in 0..5 {
        tree.mine(&Contents::transfers(2, salt));
    }
    let faulty = FaultyNode::from_tree(&tree).await.unwrap();
    let config = ChainConfig {
        request_timeout_ms: 30_000,
        ..ChainConfig::of(31_337, Secret::new(faulty.http_url()))
    };
    let node = Node::new(&config).unwrap();
    Pair { faulty, node, tree }
}

impl Pair {
    /// Fetches the newest block like a writer.
    async fn newest(&self) -> Result<usize, NodeError> {
        let block = self.at(self.tree.head()).await?;
        Ok(block.transactions.len())
    }

    async fn at(&self, block: BlockRef) -> Result<chaincast_model::IndexedBlock, NodeError> {
        let checks = ChecksConfig::default();
        self.node.block(BlockTarget::Block(block), &checks).await
    }
}

#[tokio::test]
async fn reads_throttling_in_every_form() {
    let Pair { faulty, node, .. } = pair().await;
    let error = |code: i64, message: &str| Kind::Error {
        code,
        message: message.to_owned(),
    };
    let body = |status: u16, text: &str| Kind::Body {
        status,
        text: text.to_owned(),
    };
    for kind in [
        body(429, ""),
        body(429, "<html>slow down</html>"),
        body(200, "Too many requests"),
        body(200, "\"429\""),
        body(200, r#"{"message":"You have exceeded the rate limit"}"#),
        body(200, r#"{"status":429,"message":"slow"}"#),
        body(200, r#"{"jsonrpc":"2.0","id":0,"error":"rate limit"}"#),
        body(
            403,
            r#"{"error":{"code":-32005,"message":"daily request count"}}"#,
        ),
        body(400, r#"{"error":{"code":"-32097","message":"no"}}"#),
        body(503, r#"{"error":{"code":429,"message":"no"}}"#),
        error(-32_005, "limit exceeded"),
        error(-32_097, "no"),
        error(429, ""),
        error(0, "HTTP 429"),
        Kind::ErrorText("too many requests".to_owned()),
    ] {
        faulty.clear_faults();
        faulty.add(Fault::new("*", kind.clone()));
        let error = node.at(1).await.unwrap_err();
        assert!(
            matches!(error, NodeError::Throttled { .. }),
            "{kind:?}: {error}"
        );
    }
}

#[tokio::test]
async fn json_error_counts_under_http_4xx() {
    let Pair { faulty, node, .. } = pair().await;
    for (status, text, expected) in [
        (
            404,
            r#"{"error":{"code":-32601,"message":"no such method"}}"#,
            -32_601,
        ),
        (
            405,
            r#"{"error":{"code":-32601,"message":"no such method"}}"#,
            -32_601,
        ),
        (
            403,
            r#"{"error":{"code":-32001,"message":"not whitelisted"}}"#,
            -32_001,
        ),
        (
            500,
            r#"{"error":{"code":-32603,"message":"internal"}}"#,
            -32_603,
        ),
        (401, "no key", 401),
        (404, "<html>nothing here</html>", 404),
    ] {
        faulty.clear_faults();
        let text = text.to_owned();
        faulty.add(Fault::new("*", Kind::Body { status, text }));
        let error = node.at(1).await.unwrap_err();
        match &error {
            NodeError::Refused { code, .. } => assert_eq!(*code, expected, "{error}"),
            _ => panic!("{status}: {error}"),
        }
        let message = error.to_string();
        assert!(
            !message.contains("cannot reach") && !message.contains("<html>"),
            "{message}"
        );
    }
    for (status, text) in [
        (500, "<html>gone</html>"),
        (502, "<html>gone</html>"),
        (503, "<html>gone</html>"),
        (500, r#"{"message":"Internal server error"}"#),
        (500, r#"{"error":{"code":-32000,"message":"it broke"}}"#),
    ] {
        faulty.clear_faults();
        let text = text.to_owned();
        faulty.add(Fault::new("*", Kind::Body { status, text }));
        let error = node.at(1).await.unwrap_err();
        assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn refused_lists_are_fetched_one_by_one() {
    for (status, text) in [
        (
            200,
            r#"{"error":{"code":-32004,"message":"Method eth_getBlockReceipts is not supported"}}"#,
        ),
        (
            200,
            r#"{"error":{"code":-32600,"message":"invalid request"}}"#,
        ),
        (
            200,
            r#"{"error":{"code":-32001,"message":"not whitelisted"}}"#,
        ),
        (200, r#"{"error":"unsupported"}"#),
        (404, r#"{"error":{"code":-32601,"message":"no"}}"#),
        (
            402,
            r#"{"error":{"code":-32000,"message":"Your plan does not include this method"}}"#,
        ),
        (405, "method not allowed"),
        (501, ""),
    ] {
        let pair = pair().await;
        let text = text.to_owned();
        pair.faulty.add(Fault::new(
            RECEIPTS,
            Kind::Body {
                status,
                text: text.clone(),
            },
        ));
        assert_eq!(pair.newest().await.unwrap(), 2, "{status} {text}");
        let requests = pair.faulty.requests(RECEIPTS);
        // Recorded: the next block requests them one by one right away.
        let below = pair.tree.at(4);
        pair.at(below).await.unwrap();
        assert_eq!(pair.faulty.requests(RECEIPTS), requests, "{status} {text}");
    }
}

#[tokio::test]
async fn throttling_does_not_disable_lists() {
    let pair = pair().await;
    let kind = Kind::Error {
        code: -32_005,
        message: "rate limit".to_owned(),
    };
    pair.faulty.add(Fault::new(RECEIPTS, kind));
    let error = pair.newest().await.unwrap_err();
    assert!(!error.is_refusal(), "{error}");
    pair.faulty.clear_faults();
    pair.newest().await.unwrap();
    assert_eq!(pair.faulty.requests("eth_getTransactionReceipt"), 0);
}

fn body(status: u16, text: &str) -> Kind {
    let text = text.to_owned();
    Kind::Body { status, text }
}

/// Errors that say nothing about the method: an outage of the node or a proxy, or a list that is too large.
fn transient_errors() -> Vec<Kind> {
    let error = |code: i64, message: &str| Kind::Error {
        code,
        message: message.to_owned(),
    };
    vec![
        error(-32_603, "Internal error"),
        error(-32_002, "request timed out"),
        error(-32_000, "Unable to complete request at this time."),
        error(-32_008, "Response is too big"),
        body(413, ""),
        body(
            500,
            r#"{"error":{"code":-32603,"message":"Internal error"}}"#,
        ),
        body(500, r#"{"message":"Internal server error"}"#),
        body(401, r#"{"error":{"code":-32000,"message":"who are you?"}}"#),
        body(401, r#"{"message":"who are you?"}"#),
    ]
}

#[tokio::test]
async fn failed_list_is_tried_for_next_block() {
    for kind in transient_errors() {
        let pair = pair().await;
        pair.faulty.add(Fault::new(RECEIPTS, kind.clone()));
        // The block is still fetched.
        assert_eq!(pair.newest().await.unwrap(), 2, "{kind:?}");
        let single = pair.faulty.requests("eth_getTransactionReceipt");
        assert_eq!(single, 2, "{kind:?}");
        let lists = pair.faulty.requests(RECEIPTS);
        pair.faulty.clear_faults();
        pair.at(pair.tree.at(4)).await.unwrap();
        assert_eq!(pair.faulty.requests(RECEIPTS), lists + 1, "{kind:?}");
        let after = pair.faulty.requests("eth_getTransactionReceipt");
        assert_eq!(after, single, "{kind:?}");
    }
}

async fn chunk(node: &Arc<Node>) -> Result<usize, NodeError> {
    let checks = ChecksConfig::default();
    let chunk = node.clone().chunk(0, 3, checks, Workers::new(), 0).await;
    chunk.map(|chunk| chunk.blocks.len())
}

#[tokio::test]
async fn transient_error_does_not_disable_batches() {
    for kind in transient_errors() {
        let Pair { faulty, node, .. } = pair().await;
        let node = Arc::new(node);
        let mut fault = Fault::new("batch", kind.clone());
        fault.at_least = 4;
        faulty.add(fault);
        // Then fewer are requested.
        if let Err(error) = chunk(&node).await {
            assert!(error.is_outage() || error.kind() == "refused", "{error}");
        }
        faulty.clear_faults();
        for _ in 0..4 {
            chunk(&node).await.unwrap();
        }
        assert!(node.gate.current().0 > 1, "{kind:?}");
    }
}

#[tokio::test]
async fn item_timeout_halves_batch() {
    let Pair { faulty, node, .. } = pair().await;
    let node = Arc::new(node);
    let mut fault = Fault::new(
        "eth_getBlockByNumber",
        Kind::Error {
            code: -32_002,
            message: "request timed out".to_owned(),
        },
    );
    fault.at_least = 2;
    faulty.add(fault);
    let mut sizes = Vec::new();
    while sizes.last() != Some(&1) {
        sizes.push(node.gate.current().0);
        assert!(chunk(&node).await.is_err() || sizes.last() == Some(&1));
    }
    assert_eq!(sizes, [4, 2, 1]);
}

#[tokio::test]
async fn batches_are_retried_after_new_chain_check() {
    for kind in [
        Kind::Error {
            code: -32_005,
            message: "Batched requests are not supported by this server".to_owned(),
        },
        Kind::Error {
            code: -32_600,
            message: "no arrays here".to_owned(),
        },
        body(400, "no arrays here"),
    ] {
        let Pair { faulty, node, .. } = pair().await;
        let node = Arc::new(node);
        faulty.add(Fault::new("batch", kind.clone()));
        assert_eq!(chunk(&node).await.unwrap(), 1, "{kind:?}");
        for _ in 0..4 {
            chunk(&node).await.unwrap();
        }
        assert_eq!(node.gate.current().0, 1, "{kind:?}");
        faulty.clear_faults();
        node.identity(&[], 0).await.unwrap();
        for _ in 0..8 {
            chunk(&node).await.unwrap();
        }
        assert!(node.gate.current().0 > 1, "{kind:?}");
    }
}

#[tokio::test]
async fn lists_are_requested_by_number_if_hashes_are_refused() {
    let pair = pair().await;
    let refused = Kind::Error {
        code: -32_602,
        message: "invalid argument 0: hex number too large".to_owned(),
    };
    pair.faulty
        .add(Fault::new(RECEIPTS, refused).by(BlockSelector::Hash));
    assert_eq!(pair.newest().await.unwrap(), 2);
    let requests = pair.faulty.requests(RECEIPTS);
    pair.at(pair.tree.at(4)).await.unwrap();
    assert_eq!(pair.faulty.requests(RECEIPTS), requests + 1);
    assert_eq!(pair.faulty.requests("eth_getTransactionReceipt"), 0);
}

#[tokio::test]
async fn failing_key_is_replaced_by_the_other() {
    for by in [BlockSelector::Hash, BlockSelector::Number] {
        let pair = pair().await;
        let crashed = || Kind::Error {
            code: -32_000,
            message: "method handler crashed".to_owned(),
        };
        if matches!(by, BlockSelector::Number) {
            // Already known: hashes are refused.
            pair.node
                .record_only_key(crate::chain::receipt_methods::Key::Number);
        }
        pair.faulty.add(Fault::new(RECEIPTS, crashed()).by(by));
        assert_eq!(pair.newest().await.unwrap(), 2);
        let requests = pair.faulty.requests(RECEIPTS);
        assert_eq!(requests, 2);
        // Recorded.
        pair.at(pair.tree.at(4)).await.unwrap();
        assert_eq!(pair.faulty.requests(RECEIPTS), requests + 1);
        assert_eq!(pair.faulty.requests("eth_getTransactionReceipt"), 0);
    }
}

#[tokio::test]
async fn receipt_lists_are_ordered_and_completed() {
    for (kind, single) in [
        (Kind::Reverse, 0),
        (Kind::Double, 0),
        (Kind::Keep(1), 1),
        (Kind::Empty, 2),
        (Kind::Null, 2),
    ] {
        let pair = pair().await;
        pair.faulty.add(Fault::new(RECEIPTS, kind.clone()));
        assert_eq!(pair.newest().await.unwrap(), 2, "{kind:?}");
        let requests = pair.faulty.requests("eth_getTransactionReceipt");
        assert_eq!(requests, single, "{kind:?}");
    }
    // A block without transactions needs no receipts.
    let pair = pair().await;
    pair.tree.mine(&Contents::empty(9));
    pair.faulty.add(Fault::new(RECEIPTS, Kind::Null));
    assert_eq!(pair.newest().await.unwrap(), 0);
}

#[tokio::test]
async fn receipts_of_another_branch_are_missing() {
    let refused = |by: BlockSelector| {
        let kind = Kind::Error {
            code: -32_602,
            message: "invalid argument 0: hex number too large".to_owned(),
        };
        Fault::new(RECEIPTS, kind).by(by)
    };
    let moved = || Kind::Alter {
        at: "/blockHash".to_owned(),
        to: serde_json::json!(chaincast_protocol::B256::repeat_byte(9)),
    };
    // By number, if the node switched branches in between.
    let pair = self::pair().await;
    pair.faulty.add(refused(BlockSelector::Hash));
    pair.at(pair.tree.at(4)).await.unwrap();
    pair.faulty.clear_faults();
    pair.faulty.add(Fault::new(RECEIPTS, Kind::OtherBlock(-1)));
    let error = pair.newest().await.unwrap_err();
    assert!(matches!(error, NodeError::Missing { .. }), "{error}");

    // One by one, if a transaction moved to another block; also if it is one of several.
    for times in [1, 2] {
        let pair = self::pair().await;
        pair.faulty.add(refused(BlockSelector::Hash));
        pair.faulty.add(refused(BlockSelector::Number));
        pair.faulty
            .add(Fault::new("eth_getTransactionReceipt", moved()).times(times));
        let error = pair.newest().await.unwrap_err();
        assert!(matches!(error, NodeError::Missing { .. }), "{error}");
        pair.newest().await.unwrap();
    }

    // A list by hash is of that block, or wrong data.
    let pair = self::pair().await;
    pair.faulty.add(Fault::new(RECEIPTS, Kind::OtherBlock(-1)));
    let error = pair.newest().await.unwrap_err();
    assert!(matches!(error, NodeError::BadAnswer { .. }), "{error}");
}
