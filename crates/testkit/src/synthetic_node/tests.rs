//! Checks the synthetic chain with the checks for real chains.

use std::sync::Arc;

use alloy::{
    providers::{Provider, ProviderBuilder},
    rpc::types::Filter,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{SyntheticChain, SyntheticNode, SyntheticNodeOptions, SyntheticOptions, Traffic};
use chaincast_base::Secret;
use chaincast_evm::chain::{BlockTarget, ChainConfig, ChecksConfig, Node, NodeError, Senders};
use chaincast_model::TokenStandard;
use chaincast_protocol::B256;

const OPTIONS: SyntheticOptions = SyntheticOptions {
    chain_id: 1_337,
    seed: 7,
    blocks: 12,
    transactions: 20,
    traffic: Traffic::Varied,
};

async fn serve(options: SyntheticOptions, how: SyntheticNodeOptions) -> (SyntheticNode, Node) {
    let chain = Arc::new(SyntheticChain::generate(&options));
    let served = SyntheticNode::start(chain, how).await.unwrap();
    let node = Node::new(&ChainConfig::of(
        options.chain_id,
        Secret::new(served.http_url()),
    ));
    (served, node.unwrap())
}

/// The answers to one request, which may be a batch.
async fn post(node: &SyntheticNode, request: Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = client.post(node.http_url()).body(request.to_string());
    let text = sent.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

fn call(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

#[tokio::test]
async fn every_block_passes_every_check() {
    for traffic in [Traffic::Transfers, Traffic::Varied] {
        let options = SyntheticOptions { traffic, ..OPTIONS };
        let (served, node) = serve(options, SyntheticNodeOptions::default()).await;
        assert_eq!(served.head().number, 12);
        let mut parent = B256::ZERO;
        let mut types = std::collections::BTreeSet::new();
        for number in 0..=12 {
            let checks = ChecksConfig {
                senders: Senders::Always,
                ..ChecksConfig::default()
            };
            let target = BlockTarget::Number(number);
            let block = node.block(target, &checks).await.unwrap();
            assert_eq!(block.header.parent_hash, parent);
            parent = block.block_ref().hash;
            assert_eq!(block.transactions.len(), if number == 0 { 0 } else { 20 });
            for sent in &block.transactions {
                types.insert(sent.transaction_type);
            }
        }
        assert_eq!(parent, served.head().hash);
        let expected: &[u8] = match traffic {
            Traffic::Transfers => &[2],
            Traffic::Varied => &[0, 1, 2, 3, 4],
        };
        assert!(types.iter().eq(expected), "{types:?}");
    }
}

#[tokio::test]
async fn token_call_is_one_transfer() {
    let options = SyntheticOptions {
        traffic: Traffic::Transfers,
        ..OPTIONS
    };
    let (_served, node) = serve(options, SyntheticNodeOptions::default()).await;
    let checks = ChecksConfig::default();
    let block = node.block(BlockTarget::Number(5), &checks).await.unwrap();
    assert_eq!((block.logs.len(), block.transfers.len()), (20, 20));
    for (transfer, sent) in block.transfers.iter().zip(&block.transactions) {
        assert_eq!(transfer.standard, TokenStandard::Erc20);
        assert_eq!((transfer.from, transfer.token), (sent.from, sent.to));
        assert_eq!(sent.input[36..], transfer.amount.to_be_bytes::<32>());
    }
}

#[test]
fn chain_depends_only_on_seed() {
    let last = |options: &SyntheticOptions| SyntheticChain::generate(options).last();
    let first = last(&OPTIONS);
    assert_eq!(first, last(&OPTIONS));
    let other = SyntheticOptions { seed: 8, ..OPTIONS };
    assert_ne!(first.hash, last(&other).hash);
    // A longer chain extends a shorter one.
    let longer = SyntheticOptions {
        blocks: 300,
        transactions: 1,
        ..OPTIONS
    };
    let shorter = SyntheticOptions {
        blocks: 100,
        ..longer
    };
    let longer = SyntheticChain::generate(&longer);
    assert_eq!(longer.hash_at(100), Some(last(&shorter).hash));
}

#[tokio::test]
async fn single_answers_are_parts_of_block() {
    let (served, _) = serve(OPTIONS, SyntheticNodeOptions::default()).await;
    let batch = json!([
        call("eth_getBlockByNumber", json!(["0x3", true])),
        call("eth_getBlockByNumber", json!(["0x3", false])),
        call("eth_getBlockReceipts", json!(["0x3"])),
    ]);
    let answers = post(&served, batch).await;
    let (block, hashes_only, receipts) = (
        &answers[0]["result"],
        &answers[1]["result"],
        &answers[2]["result"],
    );
    let transactions = block["transactions"].as_array().unwrap();
    let hashes: Vec<&Value> = transactions.iter().map(|sent| &sent["hash"]).collect();
    assert_eq!(json!(hashes), hashes_only["transactions"]);
    let calls: Vec<Value> = hashes
        .iter()
        .flat_map(|hash| {
            [
                call("eth_getTransactionByHash", json!([hash])),
                call("eth_getTransactionReceipt", json!([hash])),
            ]
        })
        .chain([
            call("eth_getBlockByHash", json!([block["hash"], true])),
            call(
                "eth_getLogs",
                json!([{ "fromBlock": "0x3", "toBlock": "0x3" }]),
            ),
            call("eth_getBlockReceipts", json!([block["hash"]])),
        ])
        .collect();
    let answers = post(&served, Value::Array(calls)).await;
    let mut answers = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| &answer["result"]);
    for (sent, receipt) in transactions.iter().zip(receipts.as_array().unwrap()) {
        assert_eq!(answers.next(), Some(sent));
        assert_eq!(answers.next(), Some(receipt));
    }
    assert_eq!(answers.next(), Some(block));
    let logs = receipts
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|receipt| receipt["logs"].as_array().unwrap());
    let logs: Vec<&Value> = logs.collect();
    assert!(logs.len() > 15, "there are logs: {}", logs.len());
    assert_eq!(answers.next(), Some(&json!(logs)));
    assert_eq!(answers.next(), Some(receipts));
}

#[tokio::test]
async fn filters_logs_and_limits_their_number() {
    let how = SyntheticNodeOptions {
        max_logs: Some(100),
        ..Default::default()
    };
    let (served, _) = serve(OPTIONS, how).await;
    let client = ProviderBuilder::new().connect_http(served.http_url().parse().unwrap());
    let few = Filter::new().from_block(1).to_block(4);
    let all = client.get_logs(&few).await.unwrap();
    let one = &all[3];
    let filter = few.clone().address(one.address());
    let of_address = client.get_logs(&filter).await.unwrap();
    let expected: Vec<_> = all
        .iter()
        .filter(|log| log.address() == one.address())
        .cloned()
        .collect();
    assert!(expected.len() < all.len());
    assert_eq!(of_address, expected);
    let transfers = few.clone().event("Transfer(address,address,uint256)");
    let found = client
        .get_logs(&transfers.clone().topic1(one.topics()[1]))
        .await
        .unwrap();
    let expected: Vec<_> = all
        .iter()
        .filter(|log| log.topics().starts_with(&one.topics()[..2]))
        .cloned()
        .collect();
    assert!(!expected.is_empty() && expected.len() < all.len());
    assert_eq!(found, expected);

    let error = client
        .get_logs(&Filter::new().from_block(0))
        .await
        .unwrap_err();
    let error = error.as_error_resp().unwrap();
    assert_eq!(error.code, -32005);
    assert_eq!(error.message, "query returned more than 100 results");
}

#[tokio::test]
async fn blocks_above_head_are_missing() {
    let how = SyntheticNodeOptions {
        head: Some(4),
        ..Default::default()
    };
    let (served, node) = serve(OPTIONS, how).await;
    let checks = ChecksConfig::default();
    let missing = node.block(BlockTarget::Number(5), &checks).await;
    assert!(matches!(missing, Err(NodeError::Missing { .. })));
    let (mut socket, _) = tokio_tungstenite::connect_async(served.ws_url())
        .await
        .unwrap();
    let subscribe = call("eth_subscribe", json!(["newHeads"]));
    socket
        .send(Message::text(subscribe.to_string()))
        .await
        .unwrap();
    let mut next = async || -> Value {
        let message = socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    };
    assert_eq!(next().await["result"], json!("0x1"));
    served.set_head(6);
    for number in ["0x5", "0x6"] {
        let head = next().await;
        assert_eq!(head["params"]["result"]["number"], json!(number));
    }
    let block = node.block(BlockTarget::Number(6), &checks).await.unwrap();
    assert_eq!(block.block_ref(), served.head());
}

#[tokio::test]
async fn rejects_invalid_calls_with_their_code() {
    let how = SyntheticNodeOptions {
        max_batch: 2,
        ..Default::default()
    };
    let (served, _) = serve(OPTIONS, how).await;
    for (request, code) in [
        (json!(7), -32700),
        (json!([]), -32600),
        (
            json!([
                call("a", json!([])),
                call("b", json!([])),
                call("c", json!([]))
            ]),
            -32600,
        ),
        (call("eth_sendRawTransaction", json!([])), -32601),
        (call("eth_getBlockByNumber", json!(["ten", true])), -32602),
        (
            call(
                "eth_getBlockByHash",
                json!([format!("0x{}", "zz".repeat(32))]),
            ),
            -32602,
        ),
    ] {
        let answer = post(&served, request.clone()).await;
        assert_eq!(answer["error"]["code"], json!(code), "{request}");
    }
    let unknown = post(
        &served,
        call("eth_getBlockByHash", json!([B256::ZERO, true])),
    )
    .await;
    assert_eq!(unknown["result"], Value::Null);
}
