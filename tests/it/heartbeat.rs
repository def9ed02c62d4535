//! The heartbeat of a deployment whose node becomes unreachable and recovers.

use chaincast_dev::Anvil;
use serde_json::{Value, json};

use crate::support::{World, WsClient};

/// The data of the next heartbeat that matches `wanted`.
async fn heartbeat(ws: &mut WsClient, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = ws
        .expect(what, |message| {
            message["event"] == "heartbeat" && wanted(&message["data"])
        })
        .await;
    found["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_reports_dead_node_and_recovery() {
    let world = World::with_persistent_chain("[chain]\ndown_after_ms = 5000").await;
    let mut ws = world.ws().await;
    ws.subscribe(json!({ "channel": "heartbeat" })).await;
    ws.subscribe(json!({ "channel": "price:ETH" })).await;
    let (number, _) = world.control.head().await.unwrap();
    let data = heartbeat(&mut ws, "the chain is ok", |data| {
        data["chains"][0]["status"] == "ok" && data["chains"][0]["head"] == number
    })
    .await;
    let chain = &data["chains"][0];
    assert_eq!(chain["chainId"], 31_337);
    assert!(chain["nodeAgeMs"].as_u64().unwrap() < 5_000, "{chain}");
    assert!(chain["headAgeMs"].is_u64(), "{chain}");
    assert_eq!(data["head"], number);
    assert_eq!(data["staleSources"], json!([]));

    let port = world.anvil.port();
    world.anvil.stop().await.unwrap();
    let data = heartbeat(&mut ws, "the node is down", |data| {
        data["chains"][0]["status"] == "down"
    })
    .await;
    let chain = &data["chains"][0];
    assert!(chain["nodeAgeMs"].as_u64().unwrap() > 5_000, "{chain}");
    assert_eq!(chain["head"], number);
    let stale = data["staleSources"].as_array().unwrap();
    assert!(
        stale.iter().any(|source| source["token"] == "ETH"),
        "{data}"
    );
    let update = ws
        .expect("the price is stale", |message| {
            message["event"] == "price-update" && message["data"]["status"] == "stale"
        })
        .await;
    assert_eq!(update["data"]["reason"], "node_down", "{update}");
    let prices = reqwest::get(format!("{}/api/v1/prices/ETH", world.server.url()));
    let price: Value = prices.await.unwrap().json().await.unwrap();
    assert_eq!(price["status"], "stale", "{price}");
    assert_eq!(price["reason"], "node_down", "{price}");
    let status = reqwest::get(format!("{}/api/v1/status", world.server.url()));
    let status: Value = status.await.unwrap().json().await.unwrap();
    for source in status["prices"]["sources"].as_array().unwrap() {
        assert_eq!(source["health"], "stale", "{source}");
        let reason = source["reason"].as_str().unwrap();
        assert!(reason.contains("the node of chain 31337"), "{source}");
    }

    let anvil = Anvil::start(&World::persistent_anvil(&world.dir, port))
        .await
        .unwrap();
    let update = ws
        .expect("the price is fresh again", |message| {
            message["event"] == "price-update" && message["data"]["status"] == "ok"
        })
        .await;
    assert!(update["data"].get("reason").is_none(), "{update}");
    ws.backlog.clear();
    heartbeat(&mut ws, "the chain is ok again", |data| {
        data["chains"][0]["status"] == "ok" && data["staleSources"] == json!([])
    })
    .await;
    world.server.stop().await;
    anvil.stop().await.unwrap();
}
