//! `since` across a restart of the server, on every transport.

use serde_json::{Value, json};

use crate::support::{Script, SseReader, World};

#[tokio::test(flavor = "multi_thread")]
async fn websocket_resumes_without_gap_or_duplicate() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    let epoch = ws.event("connected").await["data"]["epoch"]
        .as_str()
        .unwrap()
        .to_owned();
    let at = ws
        .subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    world.control.mine(2).await.unwrap();
    let mut last = at["seq"].as_u64().unwrap();
    for _ in 0..2 {
        let block = ws.event("new-block").await;
        assert_eq!(block["seq"], last + 1);
        last += 1;
    }
    let world = world.restart().await;
    world.control.mine(3).await.unwrap();
    world.caught_up().await;

    let mut ws = world.ws().await;
    assert_eq!(ws.event("connected").await["data"]["epoch"], epoch.as_str());
    let answer = ws
        .subscribe(
            json!({ "channels": ["new-block"], "since": { "new-block": last }, "epoch": epoch }),
        )
        .await;
    assert_eq!(answer["channels"][0]["recovered"], true, "{answer}");
    world.control.mine(1).await.unwrap();
    for _ in 0..4 {
        let block = ws.next("the missed blocks, then the live one").await;
        assert_eq!(block["event"], "new-block");
        assert_eq!(block["seq"], last + 1);
        assert_eq!(block.get("snapshot"), None);
        last += 1;
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_epoch_or_future_seq_gets_a_snapshot() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    for data in [
        json!({ "channel": "price:ETH", "since": 1, "epoch": "elsewhere" }),
        json!({ "channel": "price:ETH", "since": 1_000_000 }),
    ] {
        let answer = ws.subscribe(data).await;
        assert_eq!(answer["recovered"], false, "{answer}");
        let snapshot = ws.event("price-update").await;
        assert_eq!(snapshot["snapshot"], true);
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_source_resumes_all_channels() {
    let world = World::start().await;
    let path = "/realtime/sse?channels=new-block,price:BTC";
    let mut sse = SseReader::open(&world.url(path), None).await;
    sse.expect("the answer", |e| e.event == "ack").await;
    world.set_feed("BTC", 61_000).await;
    let price = sse
        .expect("a live price", |e| {
            e.event == "price-update" && e.data.get("snapshot").is_none()
        })
        .await;
    let id = price.id.unwrap();
    let seen = price.data["seq"].as_u64().unwrap();
    assert!(
        id.contains(&format!("price:BTC@{seen}")) && id.contains("new-block@"),
        "{id}"
    );

    let world = world.restart().await;
    world.set_feed("BTC", 62_000).await;
    world.caught_up().await;
    let mut sse = SseReader::open(&world.url(path), Some(&id)).await;
    let answer = sse.expect("the answer", |e| e.event == "ack").await;
    for channel in answer.data["channels"].as_array().unwrap() {
        assert_eq!(channel["recovered"], true, "{channel}");
    }
    let missed = sse
        .expect("the missed price", |e| e.event == "price-update")
        .await;
    assert_eq!(missed.data["seq"], seen + 1);
    assert_eq!(missed.data.get("snapshot"), None);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_client_reconnects_and_misses_nothing() {
    let world = World::start().await;
    let mut client = Script::node(
        "tests/clients/socketio.mjs",
        &[world.server.url(), "follow"],
    );
    client
        .json("it is connected", |line| line["step"] == "subscribed")
        .await;
    world.control.mine(1).await.unwrap();
    let first = client
        .json("a block", |l| {
            l["step"] == "new-block" && l["data"]["snapshot"].is_null()
        })
        .await;
    let world = world.restart().await;
    world.control.mine(2).await.unwrap();
    let last = first["data"]["seq"].as_u64().unwrap();
    for seq in last + 1..=last + 2 {
        let block = client
            .json("the missed blocks", |line: &Value| {
                line["step"] == "new-block" && line["data"]["snapshot"].is_null()
            })
            .await;
        assert_eq!(block["data"]["seq"], seq, "{block}");
    }
    client.finish().await;
    world.server.stop().await;
}
