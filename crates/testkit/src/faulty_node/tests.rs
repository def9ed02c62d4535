//! The node with faults, tested by a plain HTTP client and by the checking client.

use serde_json::{Value, json};

use super::{BlockTree, Contents, Fault, FaultyNode, Kind, Payment};
use chaincast_base::Secret;
use chaincast_evm::chain::{BlockTarget, ChainConfig, ChecksConfig, Node};
use chaincast_protocol::{Address, U256};

const CHAIN: u64 = 31_337;

async fn post(node: &FaultyNode, body: &Value) -> Result<reqwest::Response, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    client.post(node.http_url()).json(body).send().await
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

async fn call(node: &FaultyNode, method: &str, params: Value) -> Value {
    let answer = post(node, &request(1, method, params)).await.unwrap();
    answer.json::<Value>().await.unwrap()
}

async fn result(node: &FaultyNode, method: &str, params: Value) -> Value {
    call(node, method, params).await["result"].take()
}

/// Three blocks: token transfers; a legacy payment and a creation; none.
fn tree() -> BlockTree {
    let tree = BlockTree::new(CHAIN);
    tree.mine(&Contents::transfers(3, 1));
    let legacy = Payment {
        dynamic_fee: false,
        value: U256::from(9),
        ..Payment::new(1)
    };
    let creation = Payment {
        to: None,
        success: false,
        ..Payment::new(0)
    };
    tree.mine(&Contents::new(vec![legacy, creation], 2));
    tree.mine(&Contents::empty(3));
    tree
}

#[tokio::test]
async fn blocks_pass_every_check() {
    let tree = tree();
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let config = ChainConfig::of(CHAIN, Secret::new(node.http_url()));
    let client = Node::new(&config).unwrap();
    let mut parent = None;
    for number in 0..=3 {
        let block = client
            .block(BlockTarget::Number(number), &ChecksConfig::default())
            .await
            .unwrap();
        assert!(parent.is_none_or(|parent| parent == block.header.parent_hash));
        parent = Some(block.header.hash);
        let transfers = if number == 1 { 3 } else { 0 };
        assert_eq!(block.transfers.len(), transfers, "block {number}");
        if number == 2 {
            let nonces: Vec<_> = block.transactions.iter().map(|sent| sent.nonce).collect();
            assert_eq!(nonces, [0, 3]);
            assert_eq!(block.transactions[1].success, Some(false));
            assert!(block.transactions[1].contract_address.is_some());
        }
    }
    assert_eq!(parent, Some(tree.head().hash));
    assert_eq!(client.identity(&[], 0).await.unwrap().block, tree.genesis());
}

#[tokio::test]
async fn same_contents_give_same_hashes() {
    assert_eq!(tree().head(), tree().head());
    assert_ne!(
        BlockTree::salted(CHAIN, 1).genesis().hash,
        BlockTree::salted(CHAIN, 2).genesis().hash
    );
}

#[tokio::test]
async fn serves_branches_by_hash_canonical_by_number() {
    let tree = tree();
    let old = tree.head();
    let ancestor = tree.reorg(2, &[Contents::empty(7), Contents::empty(8)]);
    assert_eq!(ancestor.number, 1);
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let by_number = result(&node, "eth_getBlockByNumber", json!(["0x3", false])).await;
    assert_eq!(by_number["hash"], json!(tree.head().hash));
    let by_hash = result(&node, "eth_getBlockByHash", json!([old.hash, true])).await;
    assert_eq!(by_hash["number"], "0x3");
    node.pin(Some(old.hash));
    let latest = result(&node, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(latest["hash"], json!(old.hash));
}

#[tokio::test]
async fn filters_logs_by_range_address_and_topics() {
    let tree = tree();
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let logs = async |filter: Value| {
        let found = result(&node, "eth_getLogs", json!([filter])).await;
        found.as_array().unwrap().len()
    };
    assert_eq!(
        logs(json!({ "fromBlock": "0x0", "toBlock": "latest" })).await,
        3
    );
    assert_eq!(
        logs(json!({ "fromBlock": "0x2", "toBlock": "0x3" })).await,
        0
    );
    let token = Address::repeat_byte(0x70);
    assert_eq!(
        logs(json!({ "fromBlock": "0x1", "address": [token] })).await,
        3
    );
    assert_eq!(
        logs(json!({ "fromBlock": "0x1", "address": Address::ZERO })).await,
        0
    );
    let to = Address::with_last_byte(2).into_word();
    assert_eq!(
        logs(json!({ "fromBlock": "0x1", "topics": [null, null, [to]] })).await,
        1
    );
}

#[tokio::test]
async fn faults_match_method_height_and_count() {
    let node = FaultyNode::from_tree(&tree()).await.unwrap();
    let method = "eth_getBlockReceipts";
    node.add(Fault::new(method, Kind::Null).at(1).after(1).times(1));
    node.add(Fault::new(method, Kind::Keep(1)).at(1).times(1));
    node.add(Fault::new(method, Kind::OmitLogs).at(1).times(1));
    let receipts = async |block: &str| result(&node, method, json!([block])).await;
    assert_eq!(node.unused_faults().len(), 3);
    // The first fault skips this request, so the second one hits it.
    assert_eq!(receipts("0x1").await.as_array().unwrap().len(), 1);
    assert_eq!(receipts("0x2").await.as_array().unwrap().len(), 2);
    assert_eq!(receipts("0x1").await, Value::Null);
    let without = receipts("0x1").await;
    assert_eq!(without[0]["logs"], json!([]));
    let whole = receipts("0x1").await;
    assert_eq!(whole[2]["logs"].as_array().unwrap().len(), 1);
    assert_eq!((node.hits(0), node.requests(method)), (1, 5));
    assert!(node.unused_faults().is_empty());
}

#[tokio::test]
async fn alters_swaps_and_refuses_answers() {
    let node = FaultyNode::from_tree(&tree()).await.unwrap();
    node.add(
        Fault::new(
            "eth_chainId",
            Kind::Alter {
                at: String::new(),
                to: json!("0x1"),
            },
        )
        .times(1),
    );
    assert_eq!(result(&node, "eth_chainId", json!([])).await, "0x1");
    assert_eq!(result(&node, "eth_chainId", json!([])).await, "0x7a69");

    node.add(Fault::new("eth_getBlockByNumber", Kind::OtherBlock(1)).times(1));
    let block = result(&node, "eth_getBlockByNumber", json!(["0x1", false])).await;
    assert_eq!(block["number"], "0x2");

    let message = "query returned more than 10000 results".to_owned();
    node.add(
        Fault::new(
            "eth_getLogs",
            Kind::Error {
                code: -32_005,
                message,
            },
        )
        .times(1),
    );
    let answer = call(&node, "eth_getLogs", json!([{}])).await;
    assert_eq!(answer["error"]["code"], -32_005);

    node.clear_faults();
    node.add(Fault::new("*", Kind::Lag(2)));
    assert_eq!(result(&node, "eth_blockNumber", json!([])).await, "0x1");
    let latest = result(&node, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(latest["number"], "0x1");
    assert_eq!(
        result(&node, "eth_getBlockByNumber", json!(["0x2", true])).await,
        Value::Null
    );
    assert_eq!(
        result(&node, "eth_getBlockReceipts", json!(["0x1"]))
            .await
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn cuts_and_holds_connections() {
    let node = FaultyNode::from_tree(&tree()).await.unwrap();
    let ask = request(1, "eth_blockNumber", json!([]));
    let method = "eth_blockNumber";
    node.add(Fault::new(method, Kind::Cut).times(1));
    assert!(post(&node, &ask).await.is_err());
    node.add(Fault::new(method, Kind::CutAfter(5)).times(1));
    assert!(post(&node, &ask).await.unwrap().bytes().await.is_err());
    node.add(Fault::new(method, Kind::Malformed).times(1));
    assert!(
        post(&node, &ask)
            .await
            .unwrap()
            .json::<Value>()
            .await
            .is_err()
    );
    node.add(
        Fault::new(
            method,
            Kind::Status {
                code: 429,
                retry_after: Some(7),
            },
        )
        .times(1),
    );
    let refused = post(&node, &ask).await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "7");

    node.add(Fault::new(method, Kind::Hold).times(1));
    let held = post(&node, &ask);
    let released = async {
        while node.held() == 0 {
            tokio::task::yield_now().await;
        }
        node.release();
    };
    let (answer, ()) = tokio::join!(held, released);
    assert_eq!(
        answer.unwrap().json::<Value>().await.unwrap()["result"],
        "0x3"
    );
}

#[tokio::test]
async fn answers_batches_and_limits_their_size() {
    let node = FaultyNode::from_tree(&tree()).await.unwrap();
    let many: Vec<Value> = (0..4)
        .map(|id| {
            request(
                id,
                "eth_getBlockByNumber",
                json!([format!("{id:#x}"), false]),
            )
        })
        .collect();
    let array = json!(many);
    let answers: Value = post(&node, &array).await.unwrap().json().await.unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 4);
    assert_eq!(
        (&answers[3]["id"], &answers[3]["result"]["number"]),
        (&json!(3), &json!("0x3"))
    );

    let too_large = Kind::Error {
        code: -32_600,
        message: "batch too large".to_owned(),
    };
    node.add(Fault {
        at_least: 3,
        ..Fault::new("batch", too_large)
    });
    let answer: Value = post(&node, &array).await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"]["message"], "batch too large");
    let two: Value = post(&node, &json!(many[..2]))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(two.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn proxy_forwards_unmatched_requests() {
    let tree = tree();
    let real = FaultyNode::from_tree(&tree).await.unwrap();
    let node = FaultyNode::proxy(&real.http_url()).await.unwrap();
    node.add(Fault::new("eth_getBlockReceipts", Kind::Null).at(2));
    let at_two = tree.at(2).hash;
    let receipts = |hash: Value| result(&node, "eth_getBlockReceipts", json!([hash]));
    assert_eq!(receipts(json!(at_two)).await, Value::Null);
    assert_eq!(receipts(json!("0x1")).await.as_array().unwrap().len(), 3);
    let unknown = call(&node, "eth_nothing", json!([])).await;
    assert_eq!(unknown["error"]["code"], -32_601);
}

#[tokio::test]
async fn new_heads_can_be_dropped() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    let tree = tree();
    let node = FaultyNode::from_tree(&tree).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::connect_async(node.ws_url())
        .await
        .unwrap();
    let subscribe = request(1, "eth_subscribe", json!(["newHeads"])).to_string();
    socket.send(Message::text(subscribe)).await.unwrap();
    let next = async |socket: &mut tokio_tungstenite::WebSocketStream<_>| -> Value {
        let message = socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    };
    assert_eq!(next(&mut socket).await["result"], "0x1");
    node.add(Fault::new("newHeads", Kind::Null).at(5));
    for number in [4, 5, 6] {
        let head = tree.mine(&Contents::empty(number));
        if number == 5 {
            // Heads are conflated: wait until this one was processed.
            while node.requests("newHeads") < 2 {
                tokio::task::yield_now().await;
            }
        } else {
            let notification = next(&mut socket).await;
            assert_eq!(notification["params"]["result"]["hash"], json!(head.hash));
        }
    }
}
