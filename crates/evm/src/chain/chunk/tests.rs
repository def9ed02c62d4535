//! Chunks of history from nodes with faults.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::chain::ChainConfig;
use chaincast_base::Secret;
use chaincast_protocol::B256;
use chaincast_testkit::faulty_node::{BlockSelector, BlockTree, Contents, Fault, FaultyNode, Kind};

const CHAIN: u64 = 31_337;
const BLOCKS: &str = "eth_getBlockByNumber";
const RECEIPTS: &str = "eth_getBlockReceipts";

fn node(url: String, response_bytes: usize) -> Arc<Node> {
    let config = ChainConfig {
        request_timeout_ms: 30_000,
        response_bytes,
        ..ChainConfig::of(CHAIN, Secret::new(url))
    };
    Arc::new(Node::new(&config).unwrap())
}

async fn chunk(node: &Arc<Node>, from: u64, to: u64) -> Result<Vec<u64>, NodeError> {
    let checks = ChecksConfig::default();
    let chunk = node.clone().chunk(from, to, checks, Workers::new(), 0);
    let limit = Duration::from_secs(90);
    let chunk = tokio::time::timeout(limit, chunk).await;
    let numbers = |chunk: Chunk| chunk.blocks.iter().map(|b| b.header.number).collect();
    chunk.expect("the chunk ends in time").map(numbers)
}

async fn faulty() -> (FaultyNode, Arc<Node>) {
    let tree = BlockTree::new(CHAIN);
    for salt in 0..20 {
        tree.mine(&Contents::transfers(1, salt));
    }
    let faulty = FaultyNode::from_tree(&tree).await.unwrap();
    let node = node(faulty.http_url(), 32 << 20);
    (faulty, node)
}

#[tokio::test]
async fn chunk_keeps_blocks_before_failure() {
    let (faulty, node) = faulty().await;
    faulty.add(Fault::new(BLOCKS, Kind::Null).at(2));
    faulty.add(Fault::new(BLOCKS, Kind::OtherBlock(1)).at(5));
    faulty.add(Fault::new(RECEIPTS, Kind::Null).at(8));
    faulty.add(Fault::new("eth_getTransactionReceipt", Kind::Null).at(8));
    faulty.add(Fault::new(RECEIPTS, Kind::OmitLogs).at(11));
    for (from, kept) in [
        (0, vec![0, 1]),
        (3, vec![3, 4]),
        (6, vec![6, 7]),
        (9, vec![9, 10]),
    ] {
        assert_eq!(chunk(&node, from, from + 3).await.unwrap(), kept);
    }
    for (at, kind) in [
        (2, "missing"),
        (5, "bad_answer"),
        (8, "missing"),
        (11, "check"),
    ] {
        assert_eq!(chunk(&node, at, at + 3).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn http_413_halves_batch_once() {
    let (faulty, node) = faulty().await;
    let mut fault = Fault::new(
        "batch",
        Kind::Status {
            code: 413,
            retry_after: None,
        },
    );
    fault.at_least = 3;
    let fault = faulty.add(fault);
    // The first request is for four.
    assert_eq!(chunk(&node, 0, 19).await.unwrap(), [0, 1]);
    assert!(faulty.hits(fault) > 0);
    assert_eq!(node.gate.current(), (2, 2));
}

const RECEIPT: &str = "eth_getTransactionReceipt";

#[tokio::test]
async fn too_large_list_does_not_disable_lists() {
    let (faulty, node) = faulty().await;
    let kind = Kind::Error {
        code: -32_008,
        message: "Response is too big".to_owned(),
    };
    faulty.add(Fault::new(RECEIPTS, kind).at(3));
    let mut numbers = Vec::new();
    while numbers.len() < 8 {
        let next = numbers.len() as u64;
        numbers.extend(chunk(&node, next, 7).await.unwrap());
    }
    assert_eq!(numbers, Vec::from_iter(0..8));
    assert_eq!(faulty.requests(RECEIPT), 1);
}

#[tokio::test]
async fn failing_lists_are_disabled() {
    for by in [None, Some(BlockSelector::Number)] {
        let (faulty, node) = faulty().await;
        let kind = Kind::Error {
            code: -32_603,
            message: "Internal error".to_owned(),
        };
        let fault = Fault::new(RECEIPTS, kind);
        faulty.add(match by {
            Some(by) => fault.by(by),
            None => fault,
        });
        for _ in 0..12 {
            // The limit shrinks after a failure.
            let _ = chunk(&node, 0, 19).await;
        }
        let (lists, single) = (faulty.requests(RECEIPTS), faulty.requests(RECEIPT));
        let kept = chunk(&node, 0, 19).await.unwrap();
        assert!(kept.len() > 3, "{kept:?}");
        match by {
            // One by one.
            None => assert_eq!(faulty.requests(RECEIPTS), lists),
            // By hash.
            Some(_) => assert_eq!(faulty.requests(RECEIPT), single),
        }
    }
}

#[tokio::test]
async fn list_above_response_bytes_is_fetched_singly() {
    let tree = BlockTree::new(CHAIN);
    tree.mine(&Contents::transfers(20, 1));
    let faulty = FaultyNode::from_tree(&tree).await.unwrap();
    let block = tree.block(tree.head().hash).unwrap();
    let bytes = |value: serde_json::Value| value.to_string().len();
    let block_bytes = bytes(serde_json::json!(block.block));
    let list_bytes = bytes(serde_json::json!(block.receipts));
    let most = block_bytes + 100;
    assert!(most < list_bytes, "{most} {list_bytes}");
    let node = node(faulty.http_url(), most);
    assert_eq!(chunk(&node, 1, 1).await.unwrap(), [1]);
    assert!(faulty.requests(RECEIPT) >= 20);
}

#[tokio::test]
async fn receipt_of_other_block_is_missing() {
    for (kind, expected) in [("number", vec![0, 1]), ("single", vec![0, 1])] {
        let (faulty, node) = faulty().await;
        if kind == "number" {
            faulty.add(Fault::new(RECEIPTS, Kind::OtherBlock(1)).at(2));
        } else {
            faulty.add(Fault::new(RECEIPTS, Kind::Null));
            let at = "/blockHash".to_owned();
            let to = serde_json::json!(B256::repeat_byte(9));
            faulty.add(Fault::new(RECEIPT, Kind::Alter { at, to }).at(2));
        }
        assert_eq!(chunk(&node, 0, 3).await.unwrap(), expected, "{kind}");
        let error = chunk(&node, 2, 3).await.unwrap_err();
        assert_eq!(error.kind(), "missing", "{kind}: {error}");
        faulty.clear_faults();
        assert!(!chunk(&node, 2, 3).await.unwrap().is_empty());
    }
}

/// A server that answers any request with a head and then an endless body.
struct Flood {
    url: String,
    sent: watch::Receiver<usize>,
    _serving: AbortOnDropHandle<()>,
}

impl Flood {
    async fn of(status: &'static str, begin: &'static str, again: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (count, sent) = watch::channel(0);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    flood(stream, status, begin, again, &count).await.ok();
                });
            }
        });
        Self {
            url,
            sent,
            _serving: AbortOnDropHandle::new(serving),
        }
    }
}

/// Sends until the client hangs up.
async fn flood(
    mut stream: TcpStream,
    status: &str,
    begin: &str,
    again: &str,
    count: &watch::Sender<usize>,
) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await?;
    let head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut part = begin.to_owned();
    loop {
        let framed = format!("{:x}\r\n{part}\r\n", part.len());
        stream.write_all(framed.as_bytes()).await?;
        count.send_modify(|sent| *sent += part.len());
        part = again.repeat(16_384 / again.len());
    }
}

/// Allowance for the socket buffers of both ends.
const BUFFERS: usize = 32 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn endless_answer_stops_at_response_bytes() {
    let most = 1 << 20;
    let flood = Flood::of("200 OK", "{\"result\":\"", "x").await;
    let error = chunk(&node(flood.url.clone(), most), 7, 7)
        .await
        .unwrap_err();
    assert!(matches!(error, NodeError::TooLarge { .. }), "{error}");
    assert!(
        error.to_string().contains("response_bytes = 1048576"),
        "{error}"
    );
    let sent = *flood.sent.borrow();
    assert!(sent < most + BUFFERS, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_error_stops_at_bound() {
    let flood = Flood::of("500 Broken", "out of order ", "and so on ").await;
    let error = chunk(&node(flood.url.clone(), usize::MAX), 7, 7)
        .await
        .unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("out of order") && text.len() < 1_000,
        "{text}"
    );
    let sent = *flood.sent.borrow();
    assert!(sent < BUFFERS, "{sent}");
}

#[test]
fn rejects_more_answers_than_calls() {
    let node = node("http://127.0.0.1:1".to_owned(), 32 << 20);
    let flood = format!("[{}{{}}]", "{},".repeat(1_000_000));
    let read = node.answers::<RawHeader>(BLOCKS, 4, flood.as_bytes());
    let text = read.unwrap_err().to_string();
    assert!(text.contains("expected at most 4 answers"), "{text}");
    // Empty answers are invalid in any number.
    let few = node.answers::<RawHeader>(BLOCKS, 2, b"[{},{}]");
    assert_eq!(few.unwrap_err().kind(), "bad_answer");
    let one = node.answers::<RawHeader>(BLOCKS, 1, b"{}");
    assert_eq!(one.unwrap_err().kind(), "bad_answer");
}
