use std::time::Instant;

use serde_json::{Value, json};

use super::support::{Client, TIMEOUT, World, narrow, narrow_world, seq};
use chaincast_protocol::{ChainLimits, StaleSource};

fn chainlink(age_ms: Option<u64>) -> StaleSource {
    StaleSource {
        token: "ETH".parse().unwrap(),
        source: "chainlink".to_owned(),
        age_ms,
    }
}

/// Unsubscribes; heartbeats may arrive before the answer.
async fn unsubscribe(ws: &mut Client, channel: &str) {
    let id = ws.send("unsubscribe", json!({"channel": channel})).await;
    let answer = loop {
        let next = ws.next().await;
        if next["id"] == id {
            break next;
        }
        assert_eq!(next["event"], "heartbeat", "{next}");
    };
    assert_eq!(answer["data"]["success"], true, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_has_head_and_seqs_of_own_channels() {
    let world = World::start().await;
    world.block(77);
    world.price("ETH", 1);
    world.price("ETH", 2);
    world.price("BTC", 1);
    let mut ws = world.ws().await;
    let names = json!(["heartbeat", "price:ETH", "new-block"]);
    let answer = ws
        .subscribe(json!({"channels": names, "snapshot": false}))
        .await;
    assert_eq!(answer["channels"][0]["seq"], 0);
    let heartbeat = ws.next().await;
    assert_eq!(heartbeat["event"], "heartbeat");
    assert_eq!((heartbeat.get("seq"), heartbeat.get("prev")), (None, None));
    let mut data = heartbeat["data"].clone();
    assert!(data["timestamp"].take().is_i64());
    assert_eq!(
        data,
        json!({"timestamp": null, "head": 77, "chains": [], "seqs": {"price:ETH": 2, "new-block": 1}, "staleSources": []})
    );
    unsubscribe(&mut ws, "price:ETH").await;
    assert_eq!(ws.next().await["data"]["seqs"], json!({"new-block": 1}));
    unsubscribe(&mut ws, "heartbeat").await;
    world.block(78);
    assert_eq!(seq(&ws.next().await), 2, "no heartbeat after the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_lists_stale_sources_or_null() {
    let world = World::start().await;
    world
        .log
        .set_stale(vec![chainlink(Some(90_000)), chainlink(None)]);
    let mut ws = world.ws().await;
    ws.subscribe(json!({"channel": "heartbeat"})).await;
    assert_eq!(
        ws.next().await["data"]["staleSources"],
        json!([{"token": "ETH", "source": "chainlink", "ageMs": 90_000},
               {"token": "ETH", "source": "chainlink", "ageMs": null}])
    );
    world.log.set_stale(vec![chainlink(None); 53]);
    let data = loop {
        let data = ws.next().await["data"].take();
        if data["moreStaleSources"] == 3 {
            break data;
        }
    };
    assert_eq!(data["staleSources"].as_array().unwrap().len(), 50);
    world.log.set_down(true);
    while ws.next().await["data"]["staleSources"] != Value::Null {}
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_has_health_of_each_chain() {
    let world = World::start().await;
    let limits = |chain_id| ChainLimits {
        chain_id,
        down_after_ms: 15_000,
        lagging_blocks: 10,
        head_age_ms: 0,
    };
    world.log.set_chains(vec![
        limits(31_337).health(Some(7), Some(4_000), Some(7), Some(1_000)),
        limits(10).health(Some(3), Some(90_000), Some(3), Some(60_000)),
    ]);
    let mut ws = world.ws().await;
    ws.subscribe(json!({"channel": "heartbeat"})).await;
    let data = ws.next().await["data"].take();
    assert_eq!(
        data["chains"],
        json!([{"chainId": 31_337, "head": 7, "headAgeMs": 4_000, "nodeAgeMs": 1_000, "status": "ok"},
               {"chainId": 10, "head": 3, "headAgeMs": 90_000, "nodeAgeMs": 60_000, "status": "down"}])
    );
    assert_eq!(
        data["staleSources"],
        json!([{"token": "ETH", "source": "chain 10", "ageMs": 1}]),
        "its sources are stale"
    );
    world.log.set_down(true);
    while ws.next().await["data"]["chains"] != Value::Null {}
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_follows_the_updates_that_it_names() {
    let world = World::start().await;
    world.block(1);
    let mut ws = world.ws().await;
    let names = json!(["heartbeat", "price:ETH", "new-block"]);
    ws.subscribe(json!({"channels": names, "snapshot": false}))
        .await;
    let publishing = async {
        let mut number = 1;
        loop {
            number += 1;
            world.block(number);
            world.price("ETH", number);
            tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        }
    };
    let reading = async {
        let (mut eth, mut block, mut heartbeats) = (0, 1, 0);
        while heartbeats < 3 {
            let next = ws.next().await;
            match next["channel"].as_str().unwrap() {
                "price:ETH" => eth = seq(&next),
                "new-block" => block = seq(&next),
                _ => {
                    let seqs = &next["data"]["seqs"];
                    assert_eq!(*seqs, json!({"price:ETH": eth, "new-block": block}));
                    heartbeats += 1;
                }
            }
        }
    };
    tokio::select! {
        () = publishing => {}
        () = reading => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lagging_session_skips_heartbeats() {
    let world = narrow_world().await;
    let mut slow = narrow(&world).await;
    let names = json!(["heartbeat", "price:ETH"]);
    slow.subscribe(json!({"channels": names, "snapshot": false}))
        .await;
    let mut watch = world.ws().await;
    watch.subscribe(json!({"channel": "heartbeat"})).await;
    let padding = "x".repeat(1_000);
    let begun = Instant::now();
    let mut newest = 0;
    // Fill the kernel's buffers, and then for two more heartbeats.
    for round in 0..2 {
        for _ in 0..200 {
            newest = world.publish("price:ETH", "price-update", &json!({"padding": padding}));
        }
        assert_eq!(watch.next().await["event"], "heartbeat", "{round}");
    }
    let mut last = 0;
    while last != newest {
        assert!(begun.elapsed() < TIMEOUT);
        let next = slow.next().await;
        if next["channel"] == "price:ETH" {
            assert_eq!(next["prev"], last);
            last = seq(&next);
        } else if let Some(named) = next["data"]["seqs"]["price:ETH"].as_u64() {
            assert_eq!(
                named, last,
                "the heartbeat follows the updates that it names"
            );
        }
    }
    while slow.next().await["event"] != "heartbeat" {}
}
