//! Redis is not believed: whoever may publish there cannot send anything to a client, and cannot keep an update from
//! one. Nor is it needed to start.

use std::time::Duration;

use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::{
    processes::{blocks_arrive, gateway_beside, listen},
    support::{Pipe, Redis, Server, Temporary, World, WsClient, eventually},
};

const KEY: &str = "a key for the bus of these tests, long enough";

/// Messages of whoever may publish: `next` is the seq that the next block gets.
fn hostile(next: u64) -> Vec<String> {
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
    // Behind, now, next, ahead, and as far as a number goes.
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
    // Signed by nobody who has the key.
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
    topics.into_iter().next().unwrap()
}

/// The next `count` blocks as they are announced, each as it is stored.
async fn true_blocks(world: &World, ws: &mut WsClient, since: u64, count: u64) {
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
    let shown = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = shown
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

async fn rejected(server: &Server, reason: &str) -> f64 {
    let name = format!("chaincast_bus_redis_rejected_total{{reason=\"{reason}\"}}");
    metric(server, &name).await
}

/// Publishes every hostile message, then has blocks mined: a client at the gateway receives these and nothing else.
async fn survives(key: &str, counted: &[&str]) {
    let redis = Redis::start().await;
    // What arrives at once did not come by the poll.
    let bus = format!(
        "kind = \"redis\"\nredis_url = {:?}\nredis_key = {key:?}\npoll_interval_ms = 60000",
        redis.url()
    );
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    listen(&redis, None, 2).await;
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
        for message in hostile(at + 3 * round + 1) {
            for topic in [topic.as_str(), "chaincast:another-epoch"] {
                hostile_one
                    .publish::<_, _, ()>(topic, message.as_str())
                    .await
                    .unwrap();
            }
        }
        world.control.mine(3).await.unwrap();
        let begun = tokio::time::Instant::now();
        for (ws, _) in &mut clients {
            true_blocks(&world, ws, at + 3 * round, 3).await;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(50),
            "the blocks came by polling"
        );
    }
    // A true price reaches both, and no other came before it.
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
        let lines = server.said().matches("rejected a message").count();
        assert!((1..=2).contains(&lines), "{lines}");
    }
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_change_nothing_without_a_key() {
    survives("", &["too_large", "malformed", "unfounded"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_change_nothing_with_a_key() {
    survives(KEY, &["too_large", "malformed", "unsigned", "forged"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_without_redis_and_joins_it_later() {
    let dir = Temporary::new("late-redis");
    let socket = dir.path().join("redis.sock");
    let bus = format!(
        "kind = \"redis\"\nredis_url = \"unix://{}\"\npoll_interval_ms = 100",
        socket.display()
    );
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    blocks_arrive(&world, &gateway).await;
    let redis = Redis::start_at(dir).await;
    listen(&redis, None, 2).await;
    blocks_arrive(&world, &gateway).await;
    for server in [&world.server, &gateway] {
        eventually("the metric says so", async || {
            let connected = metric(server, "chaincast_bus_redis_connected").await;
            (connected == 1.0).then_some(())
        })
        .await;
        let said = server.said();
        assert_eq!(said.matches("until Redis answers").count(), 1, "{said}");
        assert_eq!(said.matches("Redis answers: ").count(), 1, "{said}");
    }
    gateway.stop().await;
    world.server.stop().await;
}

/// A bus through Redis; what arrives within [`BEFORE_THE_POLL`] did not come by the poll.
fn unpolled(url: &str) -> String {
    format!("kind = \"redis\"\nredis_url = {url:?}\npoll_interval_ms = 60000")
}

const BEFORE_THE_POLL: Duration = Duration::from_secs(50);

/// Blocks are mined until one arrives, with those before it: the publisher leaves out what is committed right after a
/// connection failed.
async fn blocks_arrive_unpolled(world: &World, gateway: &Server) {
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
async fn silent_redis_connections_are_replaced() {
    let redis = Redis::start().await;
    let pipe = Pipe::to(&redis.socket(), |address| format!("redis://{address}")).await;
    let bus = unpolled(pipe.url());
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    listen(&redis, None, 2).await;
    blocks_arrive_unpolled(&world, &gateway).await;

    pipe.fall_silent();
    for server in [&world.server, &gateway] {
        eventually("it notices", async || {
            let connected = metric(server, "chaincast_bus_redis_connected").await;
            (connected == 0.0 && server.said().contains("until Redis answers")).then_some(())
        })
        .await;
    }
    // Neither end of the connections that there were learns anything.
    pipe.lose_connections();
    pipe.heal();
    for server in [&world.server, &gateway] {
        eventually("it joins again", async || {
            let connected = metric(server, "chaincast_bus_redis_connected").await;
            (connected == 1.0 && server.said().contains("Redis answers: ")).then_some(())
        })
        .await;
    }
    blocks_arrive_unpolled(&world, &gateway).await;
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publisher_joins_once_redis_takes_its_password() {
    let mut redis = Redis::start().await;
    // A Redis without a password refuses one.
    let bus = unpolled(&format!("{}?pass=secret", redis.url()));
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    world.control.mine(1).await.unwrap();
    eventually("the publisher is refused", async || {
        let skipped = metric(&world.server, "chaincast_bus_redis_skipped_total").await;
        (skipped > 0.0).then_some(())
    })
    .await;
    redis.require_password("secret").await;
    listen(&redis, None, 2).await;
    blocks_arrive_unpolled(&world, &gateway).await;
    gateway.stop().await;
    world.server.stop().await;
}
