//! Reorgs made with anvil: in the database, on the wire, and in prices.

use serde_json::json;
use sqlx::Row;

use crate::support::{SseReader, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn reorg_is_one_update_and_switches_the_stored_branch() {
    let world = World::start().await;
    world.control.mine(3).await.unwrap();
    let (old_head, old_hash) = world.caught_up().await;
    let mut ws = world.ws().await;
    let at = ws
        .subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    let mut sse = SseReader::open(&world.url("/realtime/sse?channels=new-block"), None).await;
    sse.expect("the answer", |e| e.event == "ack").await;

    world.control.reorg(2).await.unwrap();
    world.control.mine(1).await.unwrap();
    let reorg = ws.event("reorg").await;
    let data = &reorg["data"];
    assert_eq!(
        reorg["seq"].as_u64().unwrap(),
        at["seq"].as_u64().unwrap() + 1
    );
    assert_eq!(data["depth"], 2);
    assert_eq!(data["commonAncestor"]["number"], old_head - 2);
    assert_eq!(
        data["dropped"][0],
        json!({ "number": old_head, "hash": old_hash })
    );
    assert_eq!(data["dropped"].as_array().unwrap().len(), 2);
    // Seqs continue without a hole; the new branch is published in order of height.
    for offset in 0..3 {
        let block = ws.event("new-block").await;
        assert_eq!(
            block["seq"].as_u64().unwrap(),
            reorg["seq"].as_u64().unwrap() + 1 + offset
        );
        assert_eq!(block["data"]["number"], old_head - 1 + offset);
    }
    sse.expect("the reorg", |e| {
        e.event == "reorg" && e.data["seq"] == reorg["seq"]
    })
    .await;

    world.caught_up().await;
    let mut database = world.database().await;
    let dropped: i64 = sqlx::query_scalar("SELECT count(*) FROM dropped_blocks")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(dropped, 2);
    assert_chain_is_linked(&world).await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn price_of_a_dropped_block_is_replaced() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    ws.subscribe(json!({ "channel": "price:ETH", "snapshot": false }))
        .await;
    world.set_feed("ETH", 3_000).await;
    let before = ws.event("price-update").await;
    world.set_feed("ETH", 9_000).await;
    let risen = ws.event("price-update").await;
    assert_ne!(risen["data"]["price"], before["data"]["price"]);
    world.control.reorg(1).await.unwrap();
    world.control.mine(1).await.unwrap();
    let corrected = ws.event("price-update").await;
    assert_eq!(corrected["data"]["price"], before["data"]["price"]);
    let mut database = world.database().await;
    let ticks: i64 = sqlx::query_scalar("SELECT count(*) FROM ticks WHERE price = 9000")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(ticks, 0);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reorg_during_downtime_is_found_at_start() {
    let mut world = World::start().await;
    world.control.mine(4).await.unwrap();
    world.caught_up().await;
    let port = world.server.port();
    world.server.stop().await;
    world.control.reorg(3).await.unwrap();
    world.control.mine(2).await.unwrap();
    let (config, port) = (world.config.to_str().unwrap(), port.to_string());
    world.server =
        crate::support::Server::start(&["serve", "--config", config, "--port", &port]).await;
    world.caught_up().await;
    assert_chain_is_linked(&world).await;
    let updates = world
        .get("/api/v1/channels/new-block/updates?limit=1000")
        .await;
    let reorgs: Vec<_> = updates["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|u| u["event"] == "reorg")
        .collect();
    assert_eq!(reorgs.len(), 1);
    assert_eq!(reorgs[0]["data"]["depth"], 3);
    world.server.stop().await;
}

/// Every stored block's parent is the block before it, from the first to the head, and each equals the node's.
async fn assert_chain_is_linked(world: &World) {
    let mut database = world.database().await;
    let rows = sqlx::query("SELECT number, hash, parent_hash FROM blocks ORDER BY number")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(rows[0].get::<i64, _>("number"), 0);
    for pair in rows.windows(2) {
        assert_eq!(
            pair[1].get::<i64, _>("number"),
            pair[0].get::<i64, _>("number") + 1
        );
        assert_eq!(
            pair[1].get::<Vec<u8>, _>("parent_hash"),
            pair[0].get::<Vec<u8>, _>("hash")
        );
    }
    let (number, hash) = eventually("the node's head", || async {
        world.control.head().await.ok()
    })
    .await;
    let last = rows.last().unwrap();
    assert_eq!(last.get::<i64, _>("number") as u64, number);
    assert_eq!(last.get::<Vec<u8>, _>("hash"), hash.to_vec());
}
