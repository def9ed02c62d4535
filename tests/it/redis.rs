//! Redis is not trusted: a publisher there cannot send anything to a client, and cannot suppress an update. It
//! is not needed to start either.

use std::time::Duration;

use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::{
    processes::{blocks_arrive, gateway_beside, wait_for_subscribers},
    support::{Redis, Server, TcpProxy, TempDir, World, WsClient, eventually},
};

const KEY: &str = "a key for the bus of these tests, long enough";

/// Messages that any publisher could send: `next` is the seq of the next block.
fn forged_messages(next: u64) -> Vec<String> {
    let item = |channel: &str, seq: Value, event: &str, data: &str| {
        json!({"from": 1, "at_us": u64::MAX, "updates":
            [{"channel": channel, "seq": seq, "event": event, "data": data}]})
        .to_string()
    };
    let forged = r#"{"token":"USDC","price":666,"status":"ok"}"#;
    let mut all: Vec<String> = vec![
        String::new(),
        "garbage".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "\u{0}\u{1}".to_owned(),
        r#"{"from":1,"updates":null}"#.to_owned(),
        "[".repeat(100_000),
        format!(r#"{{"from":1,"updates":[{}"#, "[".repeat(100_000)),
        "x".repeat(6 << 20),
        item("new-block:31337", json!(-1), "new-block", "{}"),
        item("new-block:31337", json!("7"), "new-block", "{}"),
        item("new-block:31337", json!(1.5), "new-block", "{}"),
        item("new-block:31337", json!(next), "new-block", "not JSON"),
        item("new-block:31337", json!(next), "no-such-event", "{}"),
        item("new-block:31337", json!(next), "reorg", r#"{"depth":99}"#),
        item("no such channel", json!(1), "new-block", "{}"),
        item("user:alice", json!(1), "price-alert", "{}"),
    ];
    // Seqs behind, now, next, ahead, and the largest number.
    for seq in [
        0,
        1,
        next - 1,
        next,
        next + 1,
        next + 1_000,
        i64::MAX as u64,
        u64::MAX,
    ] {
        all.push(item(
            "new-block:31337",
            json!(seq),
            "new-block",
            r#"{"number":666}"#,
        ));
        all.push(item("price:USDC", json!(seq), "price-update", forged));
    }
    // Signed with another key.
    all.push(format!(
        "AAAA.{}",
        item("price:USDC", json!(next), "price-update", forged)
    ));
    all
}

async fn topic(redis: &Redis) -> String {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let topics: Vec<String> = redis::cmd("PUBSUB")
        .arg("CHANNELS")
        .arg("chaincast:*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut commits = topics.into_iter().filter(|topic| !topic.ends_with(":live"));
    commits.next().unwrap()
}

/// Expects the next `count` blocks as published, each equal to the stored one.
async fn expect_stored_blocks(world: &World, ws: &mut WsClient, since: u64, count: u64) {
    for seq in since + 1..=since + count {
        let block = ws.event("new-block").await;
        assert_eq!(block["seq"], seq, "{block}");
        let path = format!(
            "/api/v1/channels/new-block/updates?since={}&limit=1",
            seq - 1
        );
        let stored = world.get(&path).await["data"][0]["data"].clone();
        assert_eq!(block["data"], stored);
    }
}

async fn metric(server: &Server, name: &str) -> f64 {
    let url = format!("{}/metrics", server.url());
    let exposition = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = exposition
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

async fn rejected(server: &Server, reason: &str) -> f64 {
    let name = format!("chaincast_bus_redis_rejected_total{{reason=\"{reason}\"}}");
    metric(server, &name).await
}

/// Publishes every forged message, then mines blocks: a client at the gateway receives these and nothing else.
async fn assert_forged_messages_change_nothing(key: &str, counted: &[&str]) {
    let redis = Redis::start().await;
    // The poll is slow, so prompt updates did not come by polling.
    let bus = format!(
        "kind = \"redis\"\nredis_url = {:?}\nredis_key = {key:?}\npoll_interval_ms = 60000",
        redis.url()
    );
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    wait_for_subscribers(&redis, None, 2).await;
    let mut clients = Vec::new();
    for server in [&world.server, &gateway] {
        let mut ws = WsClient::connect(&server.realtime()).await;
        let at = ws
            .subscribe(json!({"channel": "new-block", "snapshot": false}))
            .await;
        ws.subscribe(json!({"channel": "price:USDC", "snapshot": false, "mode": "all"}))
            .await;
        clients.push((ws, at["seq"].as_u64().unwrap()));
    }
    let at = clients[0].1;
    let topic = topic(&redis).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut hostile_one = client.get_multiplexed_async_connection().await.unwrap();
    for round in 0..2 {
        for message in forged_messages(at + 3 * round + 1) {
            for topic in [topic.as_str(), "chaincast:another-epoch"] {
                hostile_one
                    .publish::<_, _, ()>(topic, message.as_str())
                    .await
                    .unwrap();
            }
        }
        world.control.mine(3).await.unwrap();
        let started = tokio::time::Instant::now();
        for (ws, _) in &mut clients {
            expect_stored_blocks(&world, ws, at + 3 * round, 3).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(50),
            "the blocks came by polling"
        );
    }
    // A genuine price reaches both, and no other price came before it.
    world.set_feed("USDC", 2).await;
    for (ws, _) in &mut clients {
        let price = ws.event("price-update").await;
        assert_ne!(price["data"]["price"].to_string(), "666", "{price}");
        assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
    }
    for reason in counted {
        assert!(rejected(&gateway, reason).await > 0.0, "{reason}");
    }
    for server in [&world.server, &gateway] {
        let lines = server.output().matches("rejected a message").count();
        assert!((1..=2).contains(&lines), "{lines}");
    }
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_change_nothing_without_a_key() {
    assert_forged_messages_change_nothing("", &["too_large", "malformed", "unfounded"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_change_nothing_with_a_key() {
    assert_forged_messages_change_nothing(KEY, &["too_large", "malformed", "unsigned", "forged"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_without_redis_and_connects_later() {
    let dir = TempDir::new("late-redis");
    let socket = dir.path().join("redis.sock");
    let bus = format!(
        "kind = \"redis\"\nredis_url = \"unix://{}\"\npoll_interval_ms = 100",
        socket.display()
    );
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    blocks_arrive(&world, &gateway).await;
    let redis = Redis::start_at(dir).await;
    wait_for_subscribers(&redis, None, 2).await;
    blocks_arrive(&world, &gateway).await;
    for server in [&world.server, &gateway] {
        eventually("the metric reports it", async || {
            let connected = metric(server, "chaincast_bus_redis_connected").await;
            (connected == 1.0).then_some(())
        })
        .await;
        let output = server.output();
        assert_eq!(
            output.matches("Redis is unreachable; updates").count(),
            1,
            "{output}"
        );
        assert_eq!(
            output.matches("connected to Redis; updates").count(),
            1,
            "{output}"
        );
    }
    gateway.stop().await;
    world.server.stop().await;
}

/// A Redis bus with a slow poll: what arrives within [`BEFORE_THE_POLL`] did not come by polling.
fn slow_poll_bus(url: &str) -> String {
    format!("kind = \"redis\"\nredis_url = {url:?}\npoll_interval_ms = 60000")
}

const BEFORE_THE_POLL: Duration = Duration::from_secs(50);

/// Mines blocks until one arrives, together with those before it: the publisher skips updates that are committed right
/// after a lost connection.
async fn expect_blocks_over_redis(world: &World, gateway: &Server) {
    let mut ws = WsClient::connect(&gateway.realtime()).await;
    let at = ws
        .subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    let arrives = async {
        loop {
            world.control.mine(1).await.unwrap();
            let next = tokio::time::timeout(Duration::from_secs(2), ws.event("new-block"));
            if let Ok(block) = next.await {
                return block;
            }
        }
    };
    let block = tokio::time::timeout(BEFORE_THE_POLL, arrives).await;
    let block = block.expect("the blocks come through Redis");
    assert_eq!(block["seq"], at["seq"].as_u64().unwrap() + 1, "{block}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_redis_connections_are_replaced() {
    let redis = Redis::start().await;
    let proxy =
        TcpProxy::in_front_of_socket(&redis.socket(), |address| format!("redis://{address}")).await;
    let bus = slow_poll_bus(proxy.url());
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    wait_for_subscribers(&redis, None, 2).await;
    expect_blocks_over_redis(&world, &gateway).await;

    proxy.stall();
    for server in [&world.server, &gateway] {
        eventually("it notices", async || {
            let connected = metric(server, "chaincast_bus_redis_connected").await;
            (connected == 0.0 && server.output().contains("Redis is unreachable; updates"))
                .then_some(())
        })
        .await;
    }
    // Neither end of the open connections notices anything.
    proxy.stall_open_connections();
    proxy.resume();
    for server in [&world.server, &gateway] {
        eventually("it reconnects", async || {
            let connected = metric(server, "chaincast_bus_redis_connected").await;
            (connected == 1.0 && server.output().contains("connected to Redis; updates"))
                .then_some(())
        })
        .await;
    }
    expect_blocks_over_redis(&world, &gateway).await;
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publisher_connects_once_redis_accepts_its_password() {
    let mut redis = Redis::start().await;
    // A Redis without a password rejects one.
    let bus = slow_poll_bus(&format!("{}?pass=secret", redis.url()));
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    world.control.mine(1).await.unwrap();
    eventually("the publisher is rejected", async || {
        let skipped = metric(&world.server, "chaincast_bus_redis_skipped_total").await;
        (skipped > 0.0).then_some(())
    })
    .await;
    redis.require_password("secret").await;
    wait_for_subscribers(&redis, None, 2).await;
    expect_blocks_over_redis(&world, &gateway).await;
    gateway.stop().await;
    world.server.stop().await;
}
