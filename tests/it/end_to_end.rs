//! From a mined block and a feed's answer to every kind of client.

use serde_json::{Value, json};

use crate::support::{Script, SseReader, World, mint};

#[tokio::test(flavor = "multi_thread")]
async fn feed_update_is_the_same_on_websocket_sse_and_rest() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    let connected = ws.event("connected").await;
    assert_eq!(connected["data"]["pingInterval"], 10_000);
    assert_eq!(connected["data"]["user"], Value::Null);
    let mut sse = SseReader::open(
        &world.url("/realtime/sse?channels=price:ETH,new-block"),
        None,
    )
    .await;
    assert_eq!(sse.next("connected").await.event, "connected");

    let answer = ws.subscribe(json!({ "channel": "price:eth" })).await;
    assert_eq!(answer["success"], true);
    assert_eq!(answer["channel"], "price:ETH");
    assert_eq!(answer["recovered"], false);
    let snapshot = ws.event("price-update").await;
    assert_eq!(snapshot["snapshot"], true);
    assert_eq!(snapshot["seq"], answer["seq"]);

    world.set_feed("ETH", 4_321).await;
    let update = ws
        .expect("the new price", |m| {
            m["event"] == "price-update" && m["snapshot"] != json!(true)
        })
        .await;
    assert_eq!(update["channel"], "price:ETH");
    assert_eq!(
        update["seq"].as_u64().unwrap(),
        answer["seq"].as_u64().unwrap() + 1
    );
    assert_eq!(update["prev"], answer["seq"]);
    let data = &update["data"];
    assert_eq!(data["token"], "ETH");
    assert_eq!(data["quote"], "USD");
    assert_eq!(data["status"], "ok");
    assert_eq!(data["sources"], json!(["chainlink", "uniswap-v2"]));
    for key in ["price", "timestamp", "confidence", "ageMs"] {
        assert!(data[key].is_number(), "{key} in {data}");
    }

    let event = sse
        .expect("the new price", |e| {
            e.event == "price-update" && e.data["seq"] == update["seq"]
        })
        .await;
    assert_eq!(event.data["price"], data["price"]);
    assert_eq!(event.data["channel"], "price:ETH");
    assert!(
        event
            .id
            .unwrap()
            .contains(&format!("price:ETH@{}", update["seq"]))
    );

    let since = update["seq"].as_u64().unwrap() - 1;
    let page = world
        .get(&format!("/api/v1/channels/price:ETH/updates?since={since}"))
        .await;
    let stored = &page["data"][0];
    for key in ["event", "channel", "seq", "data"] {
        assert_eq!(stored[key], update[key], "{key}");
    }
    let price = world.get("/api/v1/prices/ETH").await;
    assert_eq!(price["price"], data["price"]);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mined_block_is_published_and_equals_the_nodes() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    ws.subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    world.transfer("LINK", 7).await;
    let block = ws.event("new-block").await;
    let (number, hash) = world.caught_up().await;
    let data = &block["data"];
    assert_eq!(data["number"], number);
    assert_eq!(data["hash"], hash.as_str());
    assert_eq!(data["transactions"], 1);
    assert_eq!(data["chainId"], 31_337);
    assert!(
        data["gasUsed"].is_string() && data["baseFeePerGas"].is_string(),
        "{data}"
    );
    assert!(data["timestamp"].as_i64().unwrap() > data["blockTimestamp"].as_i64().unwrap() * 900);

    let stored = world.get(&format!("/api/v1/blocks/{number}")).await;
    assert_eq!(stored["hash"], hash.as_str());
    let transactions = world
        .get(&format!("/api/v1/blocks/{hash}/transactions"))
        .await;
    let transaction = transactions["data"][0]["hash"].as_str().unwrap().to_owned();
    let transaction = world
        .get(&format!("/api/v1/transactions/{transaction}"))
        .await;
    assert_eq!(
        transaction["logs"].as_array().unwrap().len(),
        1,
        "{transaction}"
    );
    let from = transaction["from"].as_str().unwrap();
    let transfers = world
        .get(&format!("/api/v1/addresses/{from}/transfers"))
        .await;
    assert_eq!(transfers["data"][0]["amount"], "7", "{transfers}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_client_works_unmodified() {
    let world = World::start().await;
    let token = mint("alice", None, None, std::time::Duration::from_secs(600));
    let mut client = Script::node(
        "tests/clients/socketio.mjs",
        &[world.server.url(), "basic", "--token", &token],
    );
    client
        .json("it is subscribed", |line| line["step"] == "subscribed")
        .await;
    world.set_feed("ETH", 4_444).await;
    // The block with the answer is published before the price that follows from it.
    let is_live =
        |line: &Value, step: &str| line["step"] == step && line["data"]["snapshot"].is_null();
    let block = client
        .json("a block it never subscribed to", |line| {
            is_live(line, "new-block")
        })
        .await;
    for key in ["number", "hash", "timestamp"] {
        assert!(!block["data"][key].is_null(), "{key} in {block}");
    }
    let price = client
        .json("a live price", |line| is_live(line, "price-update"))
        .await;
    assert_eq!(price["data"]["token"], "ETH");
    assert!(
        price["data"]["price"].is_number() && price["data"]["timestamp"].is_number(),
        "{price}"
    );
    client.finish().await;
    world.server.stop().await;
}
