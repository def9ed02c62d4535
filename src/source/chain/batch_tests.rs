//! What nodes and their proxies say instead of an answer.

use std::sync::Arc;

use super::*;
use crate::{
    dev::faulty_node::{By, Contents, Fault, FaultyNode, Kind, Tree},
    model::{BlockRef, Secret},
    source::chain::{ChainConfig, ChecksConfig, Wanted, chunk::Workers},
};

const RECEIPTS: &str = "eth_getBlockReceipts";

struct Pair {
    faulty: FaultyNode,
    node: Node,
    tree: Tree,
}

/// A chain of five blocks, and a client of the node that serves it.
async fn pair() -> Pair {
    let tree = Tree::new(31_337);
    for salt in 0..5 {
        tree.mine(&Contents::transfers(2, salt));
    }
    let faulty = FaultyNode::of_tree(&tree).await.unwrap();
    let config = ChainConfig {
        request_timeout_ms: 30_000,
        ..ChainConfig::of(31_337, Secret::new(faulty.http_url()))
    };
    let node = Node::new(&config).unwrap();
    Pair { faulty, node, tree }
}

impl Pair {
    /// The newest block, as a writer asks for it.
    async fn newest(&self) -> Result<usize, NodeError> {
        let block = self.at(self.tree.head()).await?;
        Ok(block.transactions.len())
    }

    async fn at(&self, block: BlockRef) -> Result<crate::model::IndexedBlock, NodeError> {
        let checks = ChecksConfig::default();
        self.node.block(Wanted::Block(block), &checks).await
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
        faulty.heal();
        faulty.add(Fault::of("*", kind.clone()));
        let told = node.at(1).await.unwrap_err();
        assert!(
            matches!(told, NodeError::Throttled { .. }),
            "{kind:?}: {told}"
        );
    }
}

#[tokio::test]
async fn an_error_in_a_4xx_body_is_that_error() {
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
        faulty.heal();
        let text = text.to_owned();
        faulty.add(Fault::of("*", Kind::Body { status, text }));
        let told = node.at(1).await.unwrap_err();
        match &told {
            NodeError::Refused { code, .. } => assert_eq!(*code, expected, "{told}"),
            _ => panic!("{status}: {told}"),
        }
        let shown = told.to_string();
        assert!(
            !shown.contains("cannot reach") && !shown.contains("<html>"),
            "{shown}"
        );
    }
    for (status, text) in [
        (500, "<html>gone</html>"),
        (502, "<html>gone</html>"),
        (503, "<html>gone</html>"),
        (500, r#"{"message":"Internal server error"}"#),
        (500, r#"{"error":{"code":-32000,"message":"it broke"}}"#),
    ] {
        faulty.heal();
        let text = text.to_owned();
        faulty.add(Fault::of("*", Kind::Body { status, text }));
        let told = node.at(1).await.unwrap_err();
        assert!(matches!(told, NodeError::Unreachable { .. }), "{told}");
    }
}

#[tokio::test]
async fn receipts_come_one_by_one_after_any_refusal() {
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
        pair.faulty.add(Fault::of(
            RECEIPTS,
            Kind::Body {
                status,
                text: text.clone(),
            },
        ));
        assert_eq!(pair.newest().await.unwrap(), 2, "{status} {text}");
        let asked = pair.faulty.asked(RECEIPTS);
        // Remembered: the next block asks for them one by one at once.
        let below = pair.tree.at(4);
        pair.at(below).await.unwrap();
        assert_eq!(pair.faulty.asked(RECEIPTS), asked, "{status} {text}");
    }
}

#[tokio::test]
async fn throttling_is_no_refusal_of_receipts() {
    let pair = pair().await;
    let kind = Kind::Error {
        code: -32_005,
        message: "rate limit".to_owned(),
    };
    pair.faulty.add(Fault::of(RECEIPTS, kind));
    let told = pair.newest().await.unwrap_err();
    assert!(!told.is_refusal(), "{told}");
    pair.faulty.heal();
    pair.newest().await.unwrap();
    assert_eq!(pair.faulty.asked("eth_getTransactionReceipt"), 0);
}

fn body(status: u16, text: &str) -> Kind {
    let text = text.to_owned();
    Kind::Body { status, text }
}

/// What says nothing of a method: the node or a proxy is in trouble, or a list is too large.
fn passing() -> Vec<Kind> {
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
async fn a_list_that_fails_once_is_asked_for_with_the_next_block() {
    for kind in passing() {
        let pair = pair().await;
        pair.faulty.add(Fault::of(RECEIPTS, kind.clone()));
        // The block itself is not held up.
        assert_eq!(pair.newest().await.unwrap(), 2, "{kind:?}");
        let single = pair.faulty.asked("eth_getTransactionReceipt");
        assert_eq!(single, 2, "{kind:?}");
        let lists = pair.faulty.asked(RECEIPTS);
        pair.faulty.heal();
        pair.at(pair.tree.at(4)).await.unwrap();
        assert_eq!(pair.faulty.asked(RECEIPTS), lists + 1, "{kind:?}");
        let after = pair.faulty.asked("eth_getTransactionReceipt");
        assert_eq!(after, single, "{kind:?}");
    }
}

async fn chunk(node: &Arc<Node>) -> Result<usize, NodeError> {
    let checks = ChecksConfig::default();
    let chunk = node.clone().chunk(0, 3, checks, Workers::new(), 0).await;
    chunk.map(|chunk| chunk.blocks.len())
}

#[tokio::test]
async fn trouble_with_an_array_is_no_lack_of_arrays() {
    for kind in passing() {
        let Pair { faulty, node, .. } = pair().await;
        let node = Arc::new(node);
        let mut fault = Fault::of("batch", kind.clone());
        fault.at_least = 4;
        faulty.add(fault);
        // Fewer are asked for then.
        if let Err(error) = chunk(&node).await {
            assert!(error.is_outage() || error.kind() == "refused", "{error}");
        }
        faulty.heal();
        for _ in 0..4 {
            chunk(&node).await.unwrap();
        }
        assert!(node.pace.now().0 > 1, "{kind:?}");
    }
}

#[tokio::test]
async fn an_item_that_timed_out_makes_requests_smaller() {
    let Pair { faulty, node, .. } = pair().await;
    let node = Arc::new(node);
    let mut fault = Fault::of(
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
        sizes.push(node.pace.now().0);
        assert!(chunk(&node).await.is_err() || sizes.last() == Some(&1));
    }
    assert_eq!(sizes, [4, 2, 1]);
}

#[tokio::test]
async fn a_node_without_arrays_is_asked_for_them_when_it_is_proven_anew() {
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
        faulty.add(Fault::of("batch", kind.clone()));
        assert_eq!(chunk(&node).await.unwrap(), 1, "{kind:?}");
        for _ in 0..4 {
            chunk(&node).await.unwrap();
        }
        assert_eq!(node.pace.now().0, 1, "{kind:?}");
        faulty.heal();
        node.identity(&[], 0).await.unwrap();
        for _ in 0..8 {
            chunk(&node).await.unwrap();
        }
        assert!(node.pace.now().0 > 1, "{kind:?}");
    }
}

#[tokio::test]
async fn receipts_are_asked_for_by_number_where_hashes_are_refused() {
    let pair = pair().await;
    let refused = Kind::Error {
        code: -32_602,
        message: "invalid argument 0: hex number too large".to_owned(),
    };
    pair.faulty.add(Fault::of(RECEIPTS, refused).by(By::Hash));
    assert_eq!(pair.newest().await.unwrap(), 2);
    let asked = pair.faulty.asked(RECEIPTS);
    pair.at(pair.tree.at(4)).await.unwrap();
    assert_eq!(pair.faulty.asked(RECEIPTS), asked + 1);
    assert_eq!(pair.faulty.asked("eth_getTransactionReceipt"), 0);
}

#[tokio::test]
async fn the_other_key_is_tried_where_one_is_in_trouble() {
    for by in [By::Hash, By::Number] {
        let pair = pair().await;
        let crashed = || Kind::Error {
            code: -32_000,
            message: "method handler crashed".to_owned(),
        };
        if matches!(by, By::Number) {
            // Learnt before: hashes are refused.
            pair.node
                .knows_only(crate::source::chain::receipts::Key::Number);
        }
        pair.faulty.add(Fault::of(RECEIPTS, crashed()).by(by));
        assert_eq!(pair.newest().await.unwrap(), 2);
        let asked = pair.faulty.asked(RECEIPTS);
        assert_eq!(asked, 2);
        // Remembered.
        pair.at(pair.tree.at(4)).await.unwrap();
        assert_eq!(pair.faulty.asked(RECEIPTS), asked + 1);
        assert_eq!(pair.faulty.asked("eth_getTransactionReceipt"), 0);
    }
}

#[tokio::test]
async fn lists_of_receipts_are_ordered_and_completed() {
    for (kind, single) in [
        (Kind::Reverse, 0),
        (Kind::Double, 0),
        (Kind::Keep(1), 1),
        (Kind::Empty, 2),
        (Kind::Null, 2),
    ] {
        let pair = pair().await;
        pair.faulty.add(Fault::of(RECEIPTS, kind.clone()));
        assert_eq!(pair.newest().await.unwrap(), 2, "{kind:?}");
        let asked = pair.faulty.asked("eth_getTransactionReceipt");
        assert_eq!(asked, single, "{kind:?}");
    }
    // A block without transactions needs none.
    let pair = pair().await;
    pair.tree.mine(&Contents::empty(9));
    pair.faulty.add(Fault::of(RECEIPTS, Kind::Null));
    assert_eq!(pair.newest().await.unwrap(), 0);
}

#[tokio::test]
async fn receipts_of_another_branch_are_missing_and_no_lie() {
    let refused = |by: By| {
        let kind = Kind::Error {
            code: -32_602,
            message: "invalid argument 0: hex number too large".to_owned(),
        };
        Fault::of(RECEIPTS, kind).by(by)
    };
    let moved = || Kind::Alter {
        at: "/blockHash".to_owned(),
        to: serde_json::json!(crate::model::B256::repeat_byte(9)),
    };
    // By number alone, when the node went to another branch in between.
    let pair = self::pair().await;
    pair.faulty.add(refused(By::Hash));
    pair.at(pair.tree.at(4)).await.unwrap();
    pair.faulty.heal();
    pair.faulty.add(Fault::of(RECEIPTS, Kind::OtherBlock(-1)));
    let error = pair.newest().await.unwrap_err();
    assert!(matches!(error, NodeError::Missing { .. }), "{error}");

    // One by one, when a transaction is in another block by now; also when it is one of several.
    for times in [1, 2] {
        let pair = self::pair().await;
        pair.faulty.add(refused(By::Hash));
        pair.faulty.add(refused(By::Number));
        pair.faulty
            .add(Fault::of("eth_getTransactionReceipt", moved()).times(times));
        let error = pair.newest().await.unwrap_err();
        assert!(matches!(error, NodeError::Missing { .. }), "{error}");
        pair.newest().await.unwrap();
    }

    // A list by hash is of that block, or a lie.
    let pair = self::pair().await;
    pair.faulty.add(Fault::of(RECEIPTS, Kind::OtherBlock(-1)));
    let error = pair.newest().await.unwrap_err();
    assert!(matches!(error, NodeError::BadAnswer { .. }), "{error}");
}
