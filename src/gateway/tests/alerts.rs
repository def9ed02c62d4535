//! What a user has not acknowledged, on the user's own channel.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Client, World, seq};
use crate::{
    gateway::{
        AuthConfig, GatewayConfig,
        auth::{TokenRequest, mint},
    },
    model::Secret,
};

pub(super) fn secret(config: &mut GatewayConfig) {
    config.auth.secret = Secret::new("0123456789abcdef0123456789abcdef");
}

/// A token.
pub(super) fn alice() -> String {
    let mut config = GatewayConfig::default();
    secret(&mut config);
    let auth: AuthConfig = config.auth;
    let request = TokenRequest {
        sub: "alice".to_owned(),
        ttl: Duration::from_secs(600),
        ..TokenRequest::default()
    };
    mint(&auth, &request).unwrap()
}

/// A device of alice.
async fn device(world: &World) -> Client {
    let mut client = world.ws().await;
    let answer = client.request("auth", json!({"token": alice()})).await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    client
}

impl World {
    /// Commits and announces a delivery to alice.
    fn deliver(&self, id: i64) {
        let update = self.log.deliver(id, "alice");
        let hub = self.gateway.context.hub();
        hub.publish(&[update], std::time::Instant::now());
    }
}

/// Id and seq of a message, and whether it was shown as a snapshot.
fn shown(message: &Value) -> (i64, u64, bool) {
    assert_eq!(message["event"], "price-alert", "{message}");
    let snapshot = message.get("snapshot").is_some();
    (
        message["data"]["id"].as_i64().unwrap(),
        seq(message),
        snapshot,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_is_shown_oldest_first_and_live_joins_on() {
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
        assert_eq!(shown(&first.next().await), (id, 3, true));
    }
    world.deliver(4);
    assert_eq!(shown(&first.next().await), (4, 4, false));
    let answer = first
        .request("acknowledge", json!({"ids": [1, 2, 3, 99]}))
        .await;
    assert_eq!(answer["data"], json!({"success": true, "acknowledged": 3}));

    let mut second = device(&world).await;
    second.subscribe(json!({"channel": "user:alice"})).await;
    assert_eq!(shown(&second.next().await), (4, 4, true));
    // Who knows where it stands has them already, and who wants no snapshot gets none.
    let mut third = device(&world).await;
    let since = json!({"channel": "user:alice", "since": 3, "epoch": "epoch1"});
    assert_eq!(third.subscribe(since).await["recovered"], true);
    assert_eq!(shown(&third.next().await), (4, 4, false));
    let mut fourth = device(&world).await;
    let quiet = json!({"channel": "user:alice", "snapshot": false});
    assert_eq!(fourth.subscribe(quiet).await["seq"], 4);
    assert_eq!(fourth.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_between_what_is_read_and_what_is_live_comes_once() {
    let world = World::with(secret).await;
    world.deliver(1);
    // So that the channel is known, and the next read is that of what is not acknowledged.
    let mut before = device(&world).await;
    before.subscribe(json!({"channel": "user:alice"})).await;
    assert_eq!(shown(&before.next().await), (1, 1, true));

    let mut late = device(&world).await;
    let (log, hub) = (world.log.clone(), world.gateway.context.hub().clone());
    world.log.after_next_read(move || {
        let update = log.deliver(2, "alice");
        hub.publish(&[update], std::time::Instant::now());
    });
    let answer = late.subscribe(json!({"channel": "user:alice"})).await;
    assert_eq!(answer["seq"], 1, "as of what is shown");
    assert_eq!(shown(&late.next().await), (1, 1, true));
    assert_eq!(shown(&late.next().await), (2, 2, false));
    world.deliver(3);
    assert_eq!(shown(&late.next().await), (3, 3, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_shown_as_configured_and_as_fit() {
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
        assert_eq!(shown(&client.next().await), (id, 5, true));
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
    let (first, ..) = shown(&client.next().await);
    assert!((2..1_000).contains(&first), "{first}");
    for id in first + 1..=1_000 {
        assert_eq!(shown(&client.next().await), (id, 1_000, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_subject_acknowledges_and_not_too_much_at_once() {
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
