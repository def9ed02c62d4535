//! Unacknowledged alert deliveries on a user's channel.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Client, World, seq};
use crate::{
    AuthConfig, GatewayConfig,
    auth::{TokenRequest, mint},
};
use chaincast_base::Secret;

pub(super) fn secret(config: &mut GatewayConfig) {
    config.auth.secret = Secret::new("0123456789abcdef0123456789abcdef");
}

/// A JWT of alice.
pub(super) fn alice() -> String {
    token("alice")
}

/// A JWT of this subject.
pub(super) fn token(subject: &str) -> String {
    let mut config = GatewayConfig::default();
    secret(&mut config);
    let auth: AuthConfig = config.auth;
    let request = TokenRequest {
        sub: subject.to_owned(),
        ttl: Duration::from_secs(600),
        ..TokenRequest::default()
    };
    mint(&auth, &request).unwrap()
}

/// An authenticated session of alice.
async fn device(world: &World) -> Client {
    let mut client = world.ws().await;
    let answer = client.request("auth", json!({"token": alice()})).await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    client
}

impl World {
    /// Commits and publishes a delivery to alice.
    fn deliver(&self, id: i64) {
        let update = self.log.deliver(id, "alice");
        let hub = &self.gateway.hub;
        hub.publish(&[update], std::time::Instant::now());
    }
}

/// Id and seq of a message, and whether it is part of the snapshot.
fn delivery(message: &Value) -> (i64, u64, bool) {
    assert_eq!(message["event"], "price-alert", "{message}");
    let snapshot = message.get("snapshot").is_some();
    (
        message["data"]["id"].as_i64().unwrap(),
        seq(message),
        snapshot,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_has_unacknowledged_then_live() {
    let world = World::with(secret).await;
    for id in 1..=3 {
        world.deliver(id);
    }
    let mut first = device(&world).await;
    let answer = first.subscribe(json!({"channel": "user:alice"})).await;
    assert_eq!(
        (&answer["seq"], &answer["recovered"]),
        (&json!(3), &json!(false))
    );
    for id in 1..=3 {
        assert_eq!(delivery(&first.next().await), (id, 3, true));
    }
    world.deliver(4);
    assert_eq!(delivery(&first.next().await), (4, 4, false));
    let answer = first
        .request("acknowledge", json!({"ids": [1, 2, 3, 99]}))
        .await;
    assert_eq!(answer["data"], json!({"success": true, "acknowledged": 3}));

    let mut second = device(&world).await;
    second.subscribe(json!({"channel": "user:alice"})).await;
    assert_eq!(delivery(&second.next().await), (4, 4, true));
    // A resuming client has them already, and `snapshot: false` sends none.
    let mut third = device(&world).await;
    let since = json!({"channel": "user:alice", "since": 3, "epoch": "epoch1"});
    assert_eq!(third.subscribe(since).await["recovered"], true);
    assert_eq!(delivery(&third.next().await), (4, 4, false));
    let mut fourth = device(&world).await;
    let quiet = json!({"channel": "user:alice", "snapshot": false});
    assert_eq!(fourth.subscribe(quiet).await["seq"], 4);
    assert_eq!(fourth.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_during_snapshot_read_is_sent_once() {
    let world = World::with(secret).await;
    world.deliver(1);
    // Makes the channel known, so the next read is that of the unacknowledged deliveries.
    let mut before = device(&world).await;
    before.subscribe(json!({"channel": "user:alice"})).await;
    assert_eq!(delivery(&before.next().await), (1, 1, true));

    let mut late = device(&world).await;
    let (log, hub) = (world.log.clone(), world.gateway.hub.clone());
    world.log.after_next_read(move || {
        let update = log.deliver(2, "alice");
        hub.publish(&[update], std::time::Instant::now());
    });
    let answer = late.subscribe(json!({"channel": "user:alice"})).await;
    assert_eq!(answer["seq"], 1, "the seq of the snapshot");
    assert_eq!(delivery(&late.next().await), (1, 1, true));
    assert_eq!(delivery(&late.next().await), (2, 2, false));
    world.deliver(3);
    assert_eq!(delivery(&late.next().await), (3, 3, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_snapshot_is_limited_by_count_and_backlog() {
    let world = World::with(|config| {
        secret(config);
        config.alert_snapshot = 2;
    })
    .await;
    for id in 1..=5 {
        world.deliver(id);
    }
    let mut client = device(&world).await;
    client.subscribe(json!({"channel": "user:alice"})).await;
    for id in 4..=5 {
        assert_eq!(delivery(&client.next().await), (id, 5, true));
    }
    assert_eq!(client.request("ping", Value::Null).await["event"], "pong");

    let narrow = World::with(|config| {
        secret(config);
        config.alert_snapshot = 1_000;
        config.limits.backlog_bytes = 16_384;
    })
    .await;
    for id in 1..=1_000 {
        narrow.deliver(id);
    }
    let mut client = device(&narrow).await;
    client.subscribe(json!({"channel": "user:alice"})).await;
    let (first, ..) = delivery(&client.next().await);
    assert!((2..1_000).contains(&first), "{first}");
    for id in first + 1..=1_000 {
        assert_eq!(delivery(&client.next().await), (id, 1_000, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledge_requires_subject_and_is_limited() {
    let world = World::with(|config| {
        secret(config);
        config.limits.acknowledged_ids = 2;
    })
    .await;
    let mut nameless = world.ws().await;
    let refused = nameless.request("acknowledge", json!({"ids": [1]})).await;
    assert_eq!(refused["data"]["code"], "UNAUTHORIZED");
    let mut client = device(&world).await;
    let refused = client
        .request("acknowledge", json!({"ids": [1, 2, 3]}))
        .await;
    assert_eq!(refused["data"]["code"], "BAD_REQUEST");
    world.log.set_down(true);
    let refused = client.request("acknowledge", json!({"ids": [1]})).await;
    assert_eq!(refused["data"]["code"], "INTERNAL");
}
