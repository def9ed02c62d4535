//! What an operator sees of the gateway: metrics that rise and return to zero, statistics by channel, and log lines
//! that name a session by the id its client knows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Server, SseReader, TIMEOUT, World, WsClient, eventually, mint};

const HOUR: Duration = Duration::from_secs(3_600);

/// The value of a metric, by its name with labels as exposed.
pub async fn metric(server: &Server, name: &str) -> Option<f64> {
    let url = format!("{}/metrics", server.url());
    let exposition = reqwest::get(url).await.unwrap().text().await.unwrap();
    let value = exposition
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

pub async fn metric_becomes(server: &Server, name: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    let wanted = &wanted;
    eventually(name, || async move {
        metric(server, name).await.filter(|value| wanted(*value))
    })
    .await
}

/// The JSON log lines that match `wanted`.
fn lines(server: &Server, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let output = server.output();
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(wanted).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_abusive_session_under_its_public_id() {
    let world = World::with(
        "[telemetry]\nlog = \"info,chaincast=debug\"\nlog_format = \"json\"\n\
         [gateway.limits]\nrequests = 3\nabuse_requests = 2",
    )
    .await;
    let token = mint("alice", None, None, HOUR);
    let url = format!("{}?token={token}", world.server.realtime());
    let mut ws = WsClient::connect(&url).await;
    let id = ws.event("connected").await["data"]["clientId"].clone();
    for _ in 0..8 {
        // The last request may find the connection closed.
        if ws.send_frame(r#"{"event":"ping"}"#.into()).await.is_err() {
            break;
        }
    }
    assert_eq!(u16::from(ws.closed().await.unwrap().code), 4029);
    let ended = eventually("the log line of its end", || async {
        let mine = |line: &Value| line["session"] == id && line["message"] == "session ended";
        lines(&world.server, mine).pop()
    })
    .await;
    assert_eq!(ended["level"], "WARN", "{ended}");
    for (field, value) in [
        ("transport", json!("websocket")),
        ("peer", json!("127.0.0.1")),
        ("user", json!("alice")),
        ("code", json!(4029)),
        ("reason", json!("abuse")),
        ("detail", json!("kept exceeding the rate limit")),
    ] {
        assert_eq!(ended[field], value, "{field} of {ended}");
    }
    assert!(ended["duration_ms"].is_u64(), "{ended}");
    // The greeting and three responses were sent before the first rejection.
    assert!(ended["messages_out"].as_u64().unwrap() >= 4, "{ended}");
    assert!(ended["bytes_out"].as_u64().unwrap() > 100, "{ended}");
    let mine = lines(&world.server, |line| line["session"] == id);
    let count_logged = |message: &str, level: &str| {
        mine.iter()
            .filter(|line| line["message"] == message && line["level"] == level)
            .count()
    };
    assert_eq!(count_logged("session opened", "DEBUG"), 1, "{mine:#?}");
    assert!(count_logged("request refused", "DEBUG") >= 2, "{mine:#?}");
    let output = world.server.output();
    assert!(!output.contains(&token), "the JWT is in the log");
    let limited = metric(&world.server, "chaincast_gateway_rate_limited_total").await;
    assert!(limited.unwrap() >= 3.0, "{limited:?}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_all_and_logs_some_rejected_handshakes() {
    let world = World::with(
        "[telemetry]\nlog_format = \"json\"\n[gateway]\nallowed_origins = [\"https://app.example\"]\n\
         ping_interval_ms = 600000\n[gateway.limits]\nlog_lines = 2\nconnections_per_address = 2\n\
         handshake_timeout_ms = 600000",
    )
    .await;
    let url = world.server.realtime();
    for _ in 0..5 {
        let refused = WsClient::try_connect(&format!("{url}?token=a.stolen.token"), &[]).await;
        assert!(refused.is_err());
    }
    let stream = world.url("/realtime/sse?channels=heartbeat&token=a.stolen.token");
    assert_eq!(reqwest::get(stream).await.unwrap().status(), 401);
    let polling = world.url("/socket.io/?EIO=4&transport=polling");
    let foreign = reqwest::Client::new()
        .get(polling)
        .header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    // A client whose connection is accepted and kept, but that cannot join the namespace.
    let http = reqwest::Client::new();
    let polling = world.url("/socket.io/?EIO=4&transport=polling");
    let open = http.get(&polling).send().await.unwrap();
    let open = open.text().await.unwrap();
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let polling = format!("{polling}&sid={}", open["sid"].as_str().unwrap());
    let join = r#"40/realtime,{"token":"a.stolen.token"}"#;
    let joined = http.post(&polling).body(join).send().await.unwrap();
    assert_eq!(joined.status(), 200);
    let _first = world.ws().await;
    let mut second = world.ws().await;
    assert_eq!(u16::from(second.closed().await.unwrap().code), 4030);
    for (transport, reason, count) in [
        ("websocket", "unauthenticated", 5.0),
        ("sse", "unauthenticated", 1.0),
        ("socketio", "forbidden", 1.0),
        ("socketio", "unauthenticated", 1.0),
        ("websocket", "too_many", 1.0),
        ("websocket", "bad_request", 0.0),
    ] {
        let name = format!(
            "chaincast_gateway_handshakes_refused_total{{transport=\"{transport}\",reason=\"{reason}\"}}"
        );
        metric_becomes(&world.server, &name, |exposition| exposition == count).await;
    }
    let refused = |reason: &'static str| {
        lines(&world.server, |line| {
            line["message"] == "handshake refused" && line["reason"] == reason
        })
    };
    // Lines are written in order: once the last is there, so are those before it.
    eventually("the last line", || async { refused("too_many").pop() }).await;
    assert_eq!(refused("unauthenticated").len(), 2);
    let forbidden = &refused("forbidden")[0];
    assert_eq!(
        (
            &forbidden["transport"],
            &forbidden["peer"],
            &forbidden["status"]
        ),
        (&json!("socketio"), &json!("127.0.0.1"), &json!(403))
    );
    let bytes_in = "chaincast_gateway_bytes_in_total{transport=\"socketio\"}";
    let sent = metric(&world.server, bytes_in).await;
    assert_eq!(sent, Some(join.len() as f64));
    assert!(!world.server.output().contains("a.stolen.token"));
    // The polling client would not fetch a close packet.
    http.post(&polling).body("1").send().await.unwrap();
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_metrics_return_to_zero() {
    let world = World::start().await;
    let server = &world.server;
    let mut ws = world.ws().await;
    let epoch = ws.event("connected").await["data"]["epoch"].clone();
    let at = ws.subscribe(json!({ "channel": "price:ETH" })).await["seq"].clone();
    ws.subscribe(json!({ "channel": "new-block" })).await;
    for (epoch, recovered) in [(epoch, true), (json!("another"), false)] {
        let since = json!({ "channel": "price:ETH", "since": at, "epoch": epoch });
        assert_eq!(ws.subscribe(since).await["recovered"], recovered);
    }
    let refused = ws.request("subscribe", json!({ "channel": "nope" })).await;
    assert_eq!(refused["event"], "error");
    let stream = world.url("/realtime/sse?channels=price:BTC,heartbeat");
    let mut stream = SseReader::open(&stream, None).await;
    stream
        .expect("a heartbeat", |event| event.event == "heartbeat")
        .await;
    for (name, value) in [
        ("sessions{transport=\"websocket\"}", 1.0),
        ("sessions{transport=\"sse\"}", 1.0),
        ("sessions{transport=\"socketio\"}", 0.0),
        ("subscriptions{kind=\"price\"}", 2.0),
        ("subscriptions{kind=\"new-block\"}", 1.0),
        ("subscriptions{kind=\"heartbeat\"}", 1.0),
        ("messages_in_total{event=\"subscribe\"}", 6.0),
        ("resumes_total{from=\"memory\"}", 1.0),
        ("resumes_total{from=\"refused\"}", 1.0),
        ("requests_refused_total{code=\"UNKNOWN_CHANNEL\"}", 1.0),
    ] {
        let name = format!("chaincast_gateway_{name}");
        metric_becomes(server, &name, |exposition| exposition == value).await;
    }
    for name in [
        "bytes_in_total{transport=\"websocket\"}",
        "bytes_out_total{transport=\"websocket\"}",
        "bytes_out_total{transport=\"sse\"}",
        "messages_out_total{transport=\"sse\"}",
    ] {
        let name = format!("chaincast_gateway_{name}");
        assert!(metric(server, &name).await.unwrap() > 0.0, "{name}");
    }
    drop((ws, stream));
    for name in [
        "sessions{transport=\"websocket\"}",
        "sessions{transport=\"sse\"}",
        "subscriptions{kind=\"price\"}",
        "subscriptions{kind=\"new-block\"}",
        "subscriptions{kind=\"heartbeat\"}",
        "backlog_bytes",
        "backlog_sessions",
    ] {
        metric_becomes(server, &format!("chaincast_gateway_{name}"), |value| {
            value == 0.0
        })
        .await;
    }
    let lost = "chaincast_gateway_closed_total{code=\"1006\"}";
    metric_becomes(server, lost, |count| count == 2.0).await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fanout_latency_histogram_excludes_heartbeats() {
    let world = World::start().await;
    let name = "chaincast_gateway_fanout_seconds";
    let mut ws = world.ws().await;
    ws.subscribe(json!({ "channel": "heartbeat" })).await;
    for _ in 0..2 {
        ws.event("heartbeat").await;
    }
    let count = format!("{name}_count");
    let before = metric(&world.server, &count).await.unwrap_or(0.0);
    assert_eq!(before, 0.0, "no committed update was sent");
    ws.subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    world.control.mine(1).await.unwrap();
    ws.event("new-block").await;
    metric_becomes(&world.server, &count, |count| count >= 1.0).await;
    let sum = metric(&world.server, &format!("{name}_sum")).await.unwrap();
    assert!(sum > 0.0 && sum < TIMEOUT.as_secs_f64(), "{sum}");
    for bound in ["0.0001", "0.001", "1", "10", "+Inf"] {
        let bucket = format!("{name}_bucket{{le=\"{bound}\"}}");
        assert!(metric(&world.server, &bucket).await.is_some(), "{bucket}");
    }
    world.server.stop().await;
}

/// A separate gateway process on the world's database.
async fn gateway_beside(world: &World, bus: &str) -> Server {
    let text = std::fs::read_to_string(&world.config).unwrap();
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    let bus: toml::Table = toml::from_str(bus).unwrap();
    table.insert("bus".into(), bus.into());
    let file = world.dir.path().join("gateway.toml");
    std::fs::write(&file, table.to_string()).unwrap();
    let config = file.to_str().unwrap();
    Server::start(&["serve", "--role", "gateway", "--config", config]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fanout_latency_is_measured_without_a_bus() {
    let world = World::start().await;
    let gateway = gateway_beside(&world, "kind = \"memory\"\npoll_interval_ms = 50").await;
    let mut ws = WsClient::connect(&gateway.realtime()).await;
    ws.subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    world.control.mine(1).await.unwrap();
    ws.event("new-block").await;
    let name = "chaincast_gateway_fanout_seconds";
    metric_becomes(&gateway, &format!("{name}_count"), |count| count >= 1.0).await;
    let sum = metric(&gateway, &format!("{name}_sum")).await.unwrap();
    assert!(sum > 0.0 && sum < 2.0 * TIMEOUT.as_secs_f64(), "{sum}");
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_list_busiest_channels_up_to_the_limit() {
    let world = World::with("[gateway]\npublic_stats = true").await;
    let mut sessions = Vec::new();
    for options in [
        json!({ "channel": "price:ETH", "mode": "all" }),
        json!({ "channel": "price:ETH" }),
        json!({ "channel": "price:ETH", "interval": 5000 }),
    ] {
        let mut ws = world.ws().await;
        ws.subscribe(options).await;
        sessions.push(ws);
    }
    sessions[0]
        .subscribe(json!({ "channel": "new-block" }))
        .await;
    world.set_feed("ETH", 4_321).await;
    let update = sessions[0]
        .expect("the new price", |message| {
            message["event"] == "price-update" && message["snapshot"].is_null()
        })
        .await;
    let stats = world.get("/api/v1/stats").await;
    assert_eq!(stats["sessions"]["total"], 3, "{stats}");
    assert_eq!(stats["sessions"]["websocket"], 3, "{stats}");
    assert_eq!(stats["subscriptions"], 4, "{stats}");
    assert_eq!(stats["channelsTotal"], 2, "{stats}");
    assert!(stats["uptimeMs"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["backlog"]["bytes"].is_u64(), "{stats}");
    let eth = &stats["channels"][0];
    assert_eq!(eth["channel"], "price:ETH");
    assert_eq!(eth["subscribers"], 3);
    assert_eq!(
        eth["modes"],
        json!({ "all": 1, "latest": 1, "interval": 1, "replaying": 0 })
    );
    assert!(eth["seq"].as_u64() >= update["seq"].as_u64(), "{eth}");
    assert!(eth["updates"].as_u64().unwrap() >= 1, "{eth}");
    // The lane of every mode received the first update.
    assert!(eth["messages"].as_u64().unwrap() >= 3, "{eth}");
    assert_eq!(stats["channels"][1]["channel"], "new-block");
    let one = world.get("/api/v1/stats?limit=1").await;
    assert_eq!(one["channels"].as_array().unwrap().len(), 1, "{one}");
    assert_eq!(one["channelsTotal"], 2, "{one}");
    let blocks = world.get("/api/v1/stats?channel=New-*").await;
    assert_eq!(blocks["channels"].as_array().unwrap().len(), 1, "{blocks}");
    assert_eq!(blocks["channels"][0]["channel"], "new-block", "{blocks}");
    for bad in ["limit=0", "limit=1001", "limit=many", "limt=5"] {
        let url = world.url(&format!("/api/v1/stats?{bad}"));
        let refused = reqwest::get(url).await.unwrap();
        assert_eq!(refused.status(), 400, "{bad}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "BAD_REQUEST", "{problem}");
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_node_raises_its_silence_metric() {
    let World {
        server,
        anvil,
        dir: _dir,
        ..
    } = World::start().await;
    let name = "chaincast_chain_node_silent_seconds{chain_id=\"31337\"}";
    let before = metric(&server, name).await.unwrap();
    anvil.stop().await.unwrap();
    metric_becomes(&server, name, |silent| silent > before + 4.0).await;
    server.stop().await;
}
