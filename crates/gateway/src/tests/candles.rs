use serde_json::json;

use super::support::{World, seq};

/// A candle that starts at `timestamp`.
fn candle(timestamp: u64, count: u64, closed: bool) -> serde_json::Value {
    json!({
        "token": "ETH", "interval": "1m", "timestamp": timestamp, "open": 1, "high": 1, "low": 1, "close": 1,
        "count": count, "closed": closed, "synthetic": false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn candle_channel_sends_snapshot_then_every_update() {
    let world = World::start().await;
    let publish =
        |count, closed| world.publish("candle:ETH:1m", "candle-update", &candle(0, count, closed));
    publish(1, false);
    publish(2, false);
    let mut ws = world.ws().await;
    let answer = ws.subscribe(json!({"channel": "Candle:eth:1M"})).await;
    assert_eq!(answer["channel"], "candle:ETH:1m");
    assert_eq!(answer["seq"], 2);
    let snapshot = ws.next().await;
    assert_eq!((seq(&snapshot), &snapshot["snapshot"]), (2, &json!(true)));
    assert_eq!(snapshot["event"], "candle-update");
    publish(2, true);
    let close = ws.next().await;
    assert_eq!((seq(&close), close.get("prev")), (3, None));
    assert_eq!(close["data"]["closed"], true);
    let mut brief = world.ws().await;
    let options = json!({"channel": "candle:ETH:1m", "mode": "latest"});
    assert_eq!(brief.subscribe(options).await["seq"], 3);
    assert_eq!(brief.next().await["prev"], 0);
    publish(3, true);
    let corrected = brief.next().await;
    assert_eq!((seq(&corrected), &corrected["prev"]), (4, &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn candles_resume_after_given_seq() {
    let world = World::start().await;
    for count in 1..=5 {
        world.publish("candle:ETH:1m", "candle-update", &candle(0, count, false));
    }
    let mut ws = world.ws().await;
    let options = json!({"channel": "candle:ETH:1m", "since": 2, "epoch": "epoch1", "mode": "all"});
    let answer = ws.subscribe(options).await;
    assert_eq!(answer["recovered"], true, "{answer}");
    for expected in 3..=5 {
        let update = ws.next().await;
        assert_eq!((seq(&update), update.get("prev")), (expected, None));
        assert_eq!(update["data"]["count"], expected);
    }
    // Since before the first candle.
    let mut ws = world.ws().await;
    let options = json!({"channel": "candle:BTC:1d", "since": 0, "epoch": "epoch1", "mode": "all"});
    assert_eq!(ws.subscribe(options).await["recovered"], true);
    world.publish("candle:BTC:1d", "candle-update", &candle(0, 1, false));
    assert_eq!(seq(&ws.next().await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_unknown_candle_channels() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    for (channel, reason) in [
        ("candle:DOGE:1m", "DOGE is not tracked here"),
        ("candle:ETH:2m", "candle:TOKEN:INTERVAL"),
    ] {
        let answer = ws.subscribe(json!({"channels": [channel]})).await;
        let error = &answer["channels"][0]["error"];
        assert_eq!(error["code"], "UNKNOWN_CHANNEL", "{answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    }
}
