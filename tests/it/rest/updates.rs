//! The updates of a channel, read from the store.

use axum::http::Method;

use super::Api;

#[tokio::test]
async fn updates_equal_live_messages_exactly() {
    let api = Api::start().await;
    api.tokens().await;
    let data = [
        r#"{"token":"ETH","price":3456.120000000000000001,"odd" : "spacing kept"}"#,
        r#"{"token":"ETH","price":1}"#,
        r#"{"token":"ETH","price":2}"#,
    ];
    api.updates("price:ETH", "price-update", &data).await;
    let answer = api
        .send(
            Method::GET,
            "/api/v1/channels/PRICE:eth/updates?since=0&limit=2",
        )
        .await;
    let first = format!(
        r#"{{"event":"price-update","channel":"price:ETH","seq":1,"data":{}}}"#,
        data[0]
    );
    assert!(answer.text.contains(&first), "{}", answer.text);
    let page = answer.json();
    assert_eq!(page["epoch"], api.store.epoch());
    assert_eq!(page["seq"], 3);
    let cursor = page["next"].as_str().unwrap();
    let page = api
        .get(&format!(
            "/api/v1/channels/price%3AETH/updates?limit=2&cursor={cursor}"
        ))
        .await;
    assert_eq!(page["data"][0]["seq"], 3);
    assert!(page["next"].is_null());
    let end = api.get("/api/v1/channels/price:ETH/updates?since=3").await;
    assert_eq!(end["data"], serde_json::json!([]));
    assert_eq!(end["seq"], 3);
}

#[tokio::test]
async fn pruned_updates_are_reported_not_skipped() {
    let api = Api::start().await;
    api.chain(1, 0).await;
    api.updates("new-block", "new-block", &["{}", "{}", "{}", "{}"])
        .await;
    api.sql("DELETE FROM updates WHERE seq <= 2").await;
    let problem = api
        .expect_problem("/api/v1/channels/new-block/updates?since=1", 410, "GONE")
        .await;
    assert_eq!(problem["oldest"], 3);
    assert_eq!(problem["newest"], 4);
    for path in ["updates?since=2", "updates"] {
        let page = api.get(&format!("/api/v1/channels/new-block/{path}")).await;
        assert_eq!(page["data"][0]["seq"], 3, "{path}");
    }
    api.expect_problem("/api/v1/channels/new-block/updates?since=5", 410, "GONE")
        .await;
    let problem = api
        .expect_problem(
            "/api/v1/channels/new-block/updates?since=3&epoch=other",
            410,
            "GONE",
        )
        .await;
    assert_eq!(problem["parameter"], "epoch");
    let same = format!(
        "/api/v1/channels/new-block/updates?since=3&epoch={}",
        api.store.epoch()
    );
    assert_eq!(api.get(&same).await["data"][0]["seq"], 4);
    api.sql("DELETE FROM updates").await;
    api.expect_problem("/api/v1/channels/new-block/updates?since=3", 410, "GONE")
        .await;
    assert_eq!(
        api.get("/api/v1/channels/new-block/updates").await["data"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn chain_channel_aliases_share_one_history() {
    let api = Api::start().await;
    api.updates("new-block", "new-block", &["{}"]).await;
    api.updates("new-block:10", "new-block", &["{}", "{}"])
        .await;
    for (path, name, seq) in [
        ("new-block/updates", "new-block", 1),
        ("NEW-BLOCK:31337/updates", "new-block", 1),
        ("new-block:10/updates", "new-block:10", 2),
        ("new-block/updates?chain=10", "new-block:10", 2),
    ] {
        let page = api.get(&format!("/api/v1/channels/{path}")).await;
        assert_eq!(page["seq"], seq, "{path}");
        assert_eq!(page["data"][0]["channel"], name, "{path}");
    }
}

#[tokio::test]
async fn channels_without_stored_updates_have_a_reason() {
    let api = Api::start().await;
    api.tokens().await;
    for name in [
        "nope",
        "price:NOPE",
        "heartbeat",
        "new-block:5",
        "contract:vault",
    ] {
        api.expect_problem(
            &format!("/api/v1/channels/{name}/updates"),
            404,
            "UNKNOWN_CHANNEL",
        )
        .await;
    }
    let live = "/api/v1/channels/heartbeat/updates";
    let problem = api.expect_problem(live, 404, "UNKNOWN_CHANNEL").await;
    assert_eq!(
        problem["detail"],
        "channel \"heartbeat\" has no stored updates: its messages are sent live only"
    );
    api.expect_problem("/api/v1/channels/user:alice/updates", 403, "FORBIDDEN")
        .await;
    assert_eq!(
        api.get("/api/v1/channels/price:BTC/updates").await["seq"],
        0,
        "known, and nothing published yet"
    );
}

#[tokio::test]
async fn candle_updates_continue_at_seq_of_candle_page() {
    let api = Api::start().await;
    api.tokens().await;
    let candles = "/api/v1/prices/eth/candles?interval=5m";
    let channel = "/api/v1/channels/Candle:eth:5M/updates";
    let page = api.get(candles).await;
    assert_eq!(page["channel"], "candle:ETH:5m");
    assert_eq!(page["seq"], 0);
    assert_eq!(page["epoch"], api.store.epoch());
    assert_eq!(api.get(channel).await["data"], serde_json::json!([]));

    let data = [r#"{"close":1.000000000000000001}"#, r#"{"close":2}"#];
    api.updates("candle:ETH:5m", "candle-update", &data).await;
    assert_eq!(api.get(candles).await["seq"], 2);
    let answer = api.send(Method::GET, &format!("{channel}?since=0")).await;
    let first = format!(
        r#"{{"event":"candle-update","channel":"candle:ETH:5m","seq":1,"data":{}}}"#,
        data[0]
    );
    assert!(answer.text.contains(&first), "{}", answer.text);
    for unknown in ["candle:NOPE:5m", "candle:ETH:7m", "candle:ETH"] {
        let path = format!("/api/v1/channels/{unknown}/updates");
        api.expect_problem(&path, 404, "UNKNOWN_CHANNEL").await;
    }
}
