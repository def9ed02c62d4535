//! An indexer and gateways as separate processes, connected by Redis or by the database alone.

use std::{path::Path, time::Duration};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Redis, Server, World, WsClient, eventually, mint};

pub async fn gateway_beside(world: &World, bus: &str) -> Server {
    let text = std::fs::read_to_string(&world.config).unwrap();
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    table.insert(
        "bus".into(),
        toml::from_str::<toml::Table>(bus).unwrap().into(),
    );
    let file = world.dir.path().join("gateway.toml");
    std::fs::write(&file, table.to_string()).unwrap();
    Server::start(&[
        "serve",
        "--role",
        "gateway",
        "--config",
        file.to_str().unwrap(),
    ])
    .await
}

/// Waits until this many processes are subscribed in Redis; each subscribes on its own after its start.
pub async fn wait_for_subscribers(redis: &Redis, ca: Option<&Path>, processes: usize) {
    let client = match ca {
        None => redis::Client::open(redis.url()).unwrap(),
        Some(ca) => {
            chaincast_base::tls::install_provider();
            let certificates = redis::TlsCertificates {
                client_tls: None,
                root_cert: Some(std::fs::read(ca).unwrap()),
            };
            redis::Client::build_with_tls(redis.url(), certificates).unwrap()
        }
    };
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    eventually("every process is subscribed in Redis", async || {
        let mut connection = connection.clone();
        let topics: Vec<String> = redis::cmd("PUBSUB")
            .arg("CHANNELS")
            .arg("chaincast:*")
            .query_async(&mut connection)
            .await
            .ok()?;
        // With a key, live messages have a channel of their own.
        let commits = topics.iter().find(|topic| !topic.ends_with(":live"))?;
        let (_, subscribed_channels): (String, usize) = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg(commits)
            .query_async(&mut connection)
            .await
            .ok()?;
        (subscribed_channels >= processes).then_some(())
    })
    .await;
}

pub async fn blocks_arrive(world: &World, gateway: &Server) {
    let mut ws = WsClient::connect(&gateway.realtime()).await;
    let at = ws
        .subscribe(json!({ "channel": "new-block", "snapshot": false }))
        .await;
    world.control.mine(3).await.unwrap();
    for offset in 1..=3 {
        let block = ws.event("new-block").await;
        assert_eq!(
            block["seq"].as_u64().unwrap(),
            at["seq"].as_u64().unwrap() + offset
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn separate_gateway_needs_only_the_database() {
    let world = World::start().await;
    let gateway = gateway_beside(&world, "kind = \"memory\"\npoll_interval_ms = 100").await;
    blocks_arrive(&world, &gateway).await;
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_reaches_and_is_acknowledged_at_all_gateways() {
    let world = World::start().await;
    let gateway = gateway_beside(&world, "kind = \"memory\"\npoll_interval_ms = 100").await;
    let token = mint("alice", None, None, Duration::from_secs(3_600));
    let device = async |server: &Server| {
        let mut device = WsClient::connect(&format!("{}?token={token}", server.realtime())).await;
        let answer = device.subscribe(json!({"channel": "user:alice"})).await;
        assert_eq!(answer["success"], true, "{answer}");
        device
    };
    let (mut here, mut there) = (device(&world.server).await, device(&gateway).await);
    let made = reqwest::Client::new()
        .post(format!("{}/api/v1/alerts", gateway.url()))
        .bearer_auth(&token)
        .body(json!({"token": "USDC", "condition": "below", "threshold": "100"}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    let received = here.event("price-alert").await;
    assert_eq!(there.event("price-alert").await, received);
    let ids = json!({"ids": [received["data"]["id"]]});
    let first = there.request("acknowledge", ids.clone()).await;
    assert_eq!(first["data"]["acknowledged"], 1, "{first}");
    let second = here.request("acknowledge", ids).await;
    assert_eq!(second["data"]["acknowledged"], 0, "{second}");
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_redis_loses_no_update() {
    let redis = Redis::start().await;
    let bus = format!(
        "kind = \"redis\"\nredis_url = \"{}\"\npoll_interval_ms = 60000",
        redis.url()
    );
    let world = World::with(&format!("[bus]\n{bus}")).await;
    let gateway = gateway_beside(&world, &bus).await;
    wait_for_subscribers(&redis, None, 2).await;
    // With a poll only every 60 s, prompt updates came through Redis.
    let started = tokio::time::Instant::now();
    blocks_arrive(&world, &gateway).await;
    assert!(
        started.elapsed().as_secs() < 50,
        "the updates came by polling"
    );
    gateway.stop().await;
    let gateway = gateway_beside(&world, &bus.replace("60000", "100")).await;
    redis.stop().await;
    blocks_arrive(&world, &gateway).await;
    gateway.stop().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_get_a_retry_hint_when_the_server_stops() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    ws.event("connected").await;
    let mut server = world.server;
    server.signal(Signal::SIGTERM);
    let close = ws.closed().await.unwrap();
    assert_eq!(u16::from(close.code), 1001);
    let reason: serde_json::Value = serde_json::from_str(close.reason.as_str()).unwrap();
    assert!(
        reason["retryAfterMs"].as_u64().unwrap() <= 5_000,
        "{reason}"
    );
    assert!(server.ended().await.success());
}
