//! Channels of single transactions and addresses, over the wire.

use alloy::primitives::{B256, U256};
use serde_json::{Value, json};

use crate::support::{Server, World, WsClient, eventually};

const SETTINGS: &str = "[chain]\nconfirmations = 3\n";

impl World {
    /// Sends a transfer that stays in the mempool.
    async fn send_transfer(&self) -> String {
        format!("{:#x}", self.sent_transfer().await)
    }

    /// Waits until it is mined, shortly after its hash is returned.
    async fn mine_transfer(&self) {
        let sent = self.sent_transfer().await;
        self.node().mined(&[sent]).await.unwrap();
    }

    async fn sent_transfer(&self) -> B256 {
        let holders = self.market.holders();
        self.market
            .transfer("LINK", holders[0], holders[1], U256::from(7))
            .await
            .unwrap()
    }
}

async fn status(ws: &mut WsClient, wanted: &str) -> Value {
    ws.expect(wanted, |message| {
        message["event"] == "transaction-update" && message["data"]["status"] == wanted
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_follow_a_transaction_through_reconnect() {
    let world = World::with(SETTINGS).await;
    world.control.set_automine(false).await.unwrap();
    let hash = world.send_transfer().await;
    let channel = format!("tx:{hash}");
    let mut first = world.ws().await;
    let mut second = world.ws().await;
    let epoch = first.event("connected").await["data"]["epoch"].clone();
    for ws in [&mut first, &mut second] {
        let answer = ws
            .subscribe(json!({ "channel": channel.to_uppercase().replace("0X", "0x") }))
            .await;
        assert_eq!(answer["channel"], channel.as_str());
        let snapshot = ws.event("transaction-update").await;
        assert_eq!(snapshot["snapshot"], true);
        // The node may have been queried already.
        if snapshot["data"]["status"] != "pending" {
            assert_eq!(snapshot["data"]["status"], "unknown");
            status(ws, "pending").await;
        }
    }
    world.control.mine(1).await.unwrap();
    let mut last = 0;
    for ws in [&mut first, &mut second] {
        let included = status(ws, "included").await;
        assert_eq!(included["data"]["confirmations"], 1);
        assert_eq!(included["data"]["hash"], hash.as_str());
        last = included["seq"].as_u64().unwrap();
    }
    drop(first);

    let world = world.restart().await;
    world.control.mine(2).await.unwrap();
    world.caught_up().await;
    let mut ws = world.ws().await;
    let answer = ws
        .subscribe(json!({ "channel": channel, "since": last, "epoch": epoch }))
        .await;
    assert_eq!(answer["recovered"], true, "{answer}");
    for (seq, wanted, confirmations) in [(last + 1, "included", 2), (last + 2, "confirmed", 3)] {
        let update = ws.event("transaction-update").await;
        assert_eq!(update["seq"], seq);
        assert_eq!(update["data"]["status"], wanted);
        assert_eq!(update["data"]["confirmations"], confirmations);
    }
    // REST has the same updates, and the same status of the transaction.
    let updates = world
        .get(&format!("/api/v1/channels/{channel}/updates"))
        .await;
    assert_eq!(updates["seq"], last + 2);
    let rest = world.get(&format!("/api/v1/transactions/{hash}")).await;
    assert_eq!(rest["confirmations"], 3);
    // A new subscriber gets the current status.
    let mut late = world.ws().await;
    late.subscribe(json!({ "channel": channel })).await;
    let snapshot = late.event("transaction-update").await;
    assert_eq!(
        (&snapshot["snapshot"], &snapshot["data"]["status"]),
        (&json!(true), &json!("confirmed"))
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_watch_is_not_resumed_as_complete() {
    let world = World::with(SETTINGS).await;
    let holder = world.market.holders()[1];
    let channel = format!("address:{holder}");
    let mut ws = world.ws().await;
    let epoch = ws.event("connected").await["data"]["epoch"].clone();
    ws.subscribe(json!({ "channel": channel })).await;
    world.mine_transfer().await;
    let moved = ws.event("address-transfer").await;
    let last = moved["seq"].as_u64().unwrap();
    drop(ws);
    // The watch has expired, which the indexer notices within seconds.
    let mut database = world.database().await;
    eventually("the watch has ended", async || {
        let mut database = world.database().await;
        sqlx::query("UPDATE watches SET until = now() - interval '1 second'")
            .execute(&mut database)
            .await
            .ok()?;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM watches")
            .fetch_one(&mut database)
            .await
            .ok()?;
        (left == 0).then_some(())
    })
    .await;
    world.mine_transfer().await;
    world.caught_up().await;
    let mut ws = world.ws().await;
    let answer = ws
        .subscribe(json!({ "channel": channel, "since": last, "epoch": epoch }))
        .await;
    assert_eq!(answer["recovered"], false, "{answer}");
    let from = answer["seq"].as_u64().unwrap();
    assert!(from > last, "{from} after {last}");
    world.mine_transfer().await;
    let moved = ws.event("address-transfer").await;
    assert_eq!(moved["seq"], from + 1);
    let stored: i64 = sqlx::query_scalar("SELECT count FROM watching")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(stored, 1);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexer_watches_channels_of_a_separate_gateway() {
    let world = World::with(SETTINGS).await;
    let gateway = Server::start(&[
        "serve",
        "--role",
        "gateway",
        "--config",
        world.config.to_str().unwrap(),
    ])
    .await;
    let holders = world.market.holders();
    let mut ws = WsClient::connect(&gateway.realtime()).await;
    let channels = json!({ "channels": [
        format!("address:{}", holders[0]), format!("address:{}", holders[1]), "new-block",
    ] });
    let answer = ws.subscribe(channels).await;
    assert_eq!(answer["success"], true, "{answer}");
    let hash = world.send_transfer().await;
    for (event, holder) in [
        ("address-transaction", holders[0]),
        ("address-transfer", holders[0]),
        ("address-transfer", holders[1]),
    ] {
        let channel = format!("address:{holder}");
        let update = ws
            .expect(&format!("{event} of {channel}"), |message| {
                message["event"] == event && message["channel"] == channel.as_str()
            })
            .await;
        let sent = match event {
            "address-transaction" => &update["data"]["hash"],
            _ => &update["data"]["transactionHash"],
        };
        assert_eq!(sent, hash.as_str());
    }
    // The update equals what REST returns, field by field.
    let response = world
        .get(&format!("/api/v1/channels/address:{}/updates", holders[0]))
        .await;
    let listed = world
        .get(&format!(
            "/api/v1/addresses/{}/transactions?limit=1",
            holders[0]
        ))
        .await;
    for (field, value) in response["data"][0]["data"].as_object().unwrap() {
        if field != "timestamp" {
            assert_eq!(&listed["data"][0][field], value, "{field}");
        }
    }
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_limited_and_reject_intervals() {
    let world = World::with("[gateway]\nwatches = 1\n").await;
    let mut ws = world.ws().await;
    let one = format!("0x{}", "11".repeat(20));
    let two = format!("0x{}", "22".repeat(20));
    ws.subscribe(json!({ "channel": format!("address:{one}") }))
        .await;
    let refused = ws
        .request("subscribe", json!({ "channel": format!("address:{two}") }))
        .await;
    assert_eq!(
        refused["data"]["code"], "TOO_MANY_SUBSCRIPTIONS",
        "{refused}"
    );
    let refused = ws
        .request(
            "subscribe",
            json!({ "channel": format!("address:{one}"), "mode": "latest" }),
        )
        .await;
    assert_eq!(refused["data"]["code"], "BAD_REQUEST", "{refused}");
    world.server.stop().await;
}
