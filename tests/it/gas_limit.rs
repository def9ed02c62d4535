//! `anvil --disable-block-gas-limit`: blocks with a gas limit of 2^64 - 1.

use chaincast_dev::{Anvil, AnvilOptions, ChainControl, Node};
use serde_json::{Value, json};

use crate::support::{Server, TempDir, WsClient, fresh_database};

#[tokio::test(flavor = "multi_thread")]
async fn returns_the_largest_gas_limit_exactly() {
    let options = AnvilOptions {
        disable_block_gas_limit: true,
        ..AnvilOptions::default()
    };
    let (anvil, database) = tokio::join!(Anvil::start(&options), fresh_database());
    let (anvil, dir) = (anvil.unwrap(), TempDir::new("gas-limit"));
    let file = dir.path().join("chaincast.toml");
    let config = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n\
         [[chains]]\nchain_id = 31337\nrpc_url = {:?}\nws_url = {:?}\n",
        anvil.http_url(),
        anvil.ws_url(),
    );
    std::fs::write(&file, config).unwrap();
    let server = Server::serve(&file).await;
    let mut ws = WsClient::connect(&server.realtime()).await;
    ws.subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    let node = Node::connect(&anvil.http_url()).unwrap();
    ChainControl::new(node).mine(2).await.unwrap();
    let largest = u64::MAX.to_string();
    let announced = ws
        .expect("block 2", |message| {
            message["event"] == "new-block" && message["data"]["number"] == 2
        })
        .await;
    assert_eq!(announced["data"]["gasLimit"], largest.as_str());

    let page = reqwest::get(format!("{}/api/v1/blocks", server.url())).await;
    let page: Value = page.unwrap().json().await.unwrap();
    let returned: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| (block["number"].clone(), block["gasLimit"].clone()))
        .collect();
    let all = [2, 1, 0].map(|number| (json!(number), json!(largest)));
    assert_eq!(returned, all);
    server.stop().await;
    anvil.stop().await.unwrap();
}
