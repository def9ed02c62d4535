//! A stock hardhat node: its block 0 has a wrong root, and it lacks `eth_getBlockReceipts`.

use alloy::primitives::{Address, B256, U256};
use chaincast_dev::{Market, Node, Transaction, deploy_or_load};
use serde_json::{Value, json};

use crate::support::{Hardhat, Server, TempDir, eventually, fresh_database, run_to_end};

async fn get(server: &Server, path: &str) -> Option<Value> {
    let response = reqwest::get(format!("{}{path}", server.url())).await.ok()?;
    response.error_for_status().ok()?.json().await.ok()
}

/// Waits until the index has the node's newest block, and returns its number.
async fn caught_up(server: &Server, node: &Node) -> u64 {
    eventually("the index reaches hardhat's head", || async {
        let number = node.block_number().await.ok()?;
        let hash = node.block_hash(number).await.ok()?;
        let block = get(server, "/api/v1/blocks/latest").await?;
        (block["hash"] == format!("{hash:#x}")).then_some(number)
    })
    .await
}

async fn send_ether(node: &Node, value: u64) -> B256 {
    let accounts = node.accounts(2).await.unwrap();
    let payment = Transaction::payment(accounts[0], accounts[1], U256::from(value));
    let sent = node.send(payment).await.unwrap();
    node.mined(&[sent]).await.unwrap();
    sent
}

/// Every block of the node is stored, with each of its transactions and the fields of its receipt.
async fn assert_equals_node(server: &Server, node: &Node, head: u64) {
    for number in 0..=head {
        let tag = format!("{number:#x}");
        let theirs: Value = node
            .request("eth_getBlockByNumber", (&tag, false))
            .await
            .unwrap();
        let block = get(server, &format!("/api/v1/blocks/{number}")).await;
        assert_eq!(block.unwrap()["hash"], theirs["hash"], "block {number}");
        for hash in theirs["transactions"].as_array().unwrap() {
            let receipt: Value = node
                .request("eth_getTransactionReceipt", (hash,))
                .await
                .unwrap();
            let path = format!("/api/v1/transactions/{}", hash.as_str().unwrap());
            let stored = get(server, &path).await.unwrap();
            let gas: U256 = serde_json::from_value(receipt["gasUsed"].clone()).unwrap();
            assert_eq!(stored["gasUsed"], gas.to_string(), "{stored}");
            assert_eq!(stored["status"], "success", "{stored}");
            assert_eq!(stored["blockHash"], receipt["blockHash"], "{stored}");
            let topics = |logs: &Value| -> Vec<Value> {
                let logs = logs.as_array().unwrap().iter();
                logs.map(|log| log["topics"].clone()).collect()
            };
            assert_eq!(topics(&stored["logs"]), topics(&receipt["logs"]));
        }
    }
}

/// The amounts of the newest transfers of an address.
async fn amounts(server: &Server, address: Address) -> Vec<Value> {
    let path = format!("/api/v1/addresses/{address:#x}/transfers");
    let page = get(server, &path).await.unwrap();
    let transfers = page["data"].as_array().unwrap().iter();
    transfers.map(|one| one["amount"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_indexes_hardhat_from_block_0() {
    let (node, database) = tokio::join!(Hardhat::start(), fresh_database());
    let dir = TempDir::new("hardhat-serve");
    // Blocks with transactions and logs exist before chaincast starts.
    let deployment = deploy_or_load(node.http_url(), dir.path()).await.unwrap();
    let market = Market::new(node.http_url(), &deployment, Some(1))
        .await
        .unwrap();
    let file = dir.path().join("chaincast.toml");
    let config = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n\
         [[chains]]\nchain_id = 31337\nrpc_url = {:?}\nws_url = {:?}\n",
        node.http_url(),
        node.ws_url(),
    );
    std::fs::write(&file, config).unwrap();
    let server = Server::serve(&file).await;
    let head = caught_up(&server, market.node()).await;
    assert!(head > 0);
    let warned = "block 0 has a transactionsRoot that is not the empty root";
    assert!(server.output().contains(warned), "{}", server.output());
    assert_equals_node(&server, market.node(), head).await;

    // New blocks are indexed.
    send_ether(market.node(), 5).await;
    let (from, to) = (market.holders()[0], market.holders()[1]);
    let token = &deployment.tokens[0].symbol;
    for amount in [123_u64, 456] {
        let sent = market.transfer(token, from, to, U256::from(amount));
        let sent = sent.await.unwrap();
        market.node().mined(&[sent]).await.unwrap();
    }
    let followed = caught_up(&server, market.node()).await;
    assert_eq!(followed, head + 3);
    assert_equals_node(&server, market.node(), followed).await;
    assert_eq!(
        amounts(&server, to).await[..2],
        [json!("456"), json!("123")]
    );
    server.stop().await;

    let (code, output, error) = run_to_end(&["check", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{output}{error}");
    assert!(output.contains("ok   chain 31337"), "{output}");
    assert!(!output.contains("FAIL"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_indexes_hardhat() {
    let hardhat = Hardhat::start().await;
    let dir = TempDir::new("hardhat-dev");
    let data = dir.path().join("data");
    let arguments = [
        "dev",
        "--port",
        "0",
        "--rpc-url",
        hardhat.http_url(),
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let server = Server::start(&arguments).await;
    let node = Node::connect(hardhat.http_url()).unwrap();
    assert_eq!(caught_up(&server, &node).await, 0);
    let sent = send_ether(&node, 7).await;
    // The demo market is for anvil only: block 0 is the only block.
    assert_eq!(caught_up(&server, &node).await, 1);
    let path = format!("/api/v1/transactions/{sent:#x}");
    let stored = get(&server, &path).await.unwrap();
    assert_eq!(stored["value"], "7", "{stored}");
    server.stop().await;
}
