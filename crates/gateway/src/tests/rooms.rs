//! Messages and signals of clients, over every transport.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    alerts::secret,
    support::{Client, World, seq},
};
use crate::{
    GatewayConfig,
    auth::{TokenRequest, mint},
};
use chaincast_rooms::{JoinRule, PublishError, PublishRule, RoomConfig};

/// Rooms of each rule, and generous limits unless a test is about them.
fn rooms(config: &mut GatewayConfig) {
    secret(config);
    let room = |pattern: &str, join, publish| RoomConfig {
        pattern: pattern.to_owned(),
        join,
        publish,
        messages_per_minute_per_subject: 10_000,
        ..RoomConfig::default()
    };
    config.rooms = vec![
        room("open-*", JoinRule::Anyone, PublishRule::Authenticated),
        room("listed", JoinRule::Listed, PublishRule::Listed),
        room("news", JoinRule::Anyone, PublishRule::Nobody),
        room("*", JoinRule::Authenticated, PublishRule::Authenticated),
    ];
    config.messages.messages_per_minute_per_session = 10_000;
    config.messages.messages_per_minute_per_subject = 10_000;
    config.limits.requests = 10_000;
}

struct Rights<'a> {
    subject: &'a str,
    role: Option<&'a str>,
    channels: Option<&'a [&'a str]>,
    publish: Option<&'a [&'a str]>,
}

fn rights(subject: &str) -> Rights<'_> {
    Rights {
        subject,
        role: None,
        channels: None,
        publish: None,
    }
}

fn token(rights: &Rights<'_>) -> String {
    let mut config = GatewayConfig::default();
    secret(&mut config);
    let owned = |patterns: &[&str]| patterns.iter().map(|&one| one.to_owned()).collect();
    let request = TokenRequest {
        sub: rights.subject.to_owned(),
        role: rights.role.map(str::to_owned),
        channels: rights.channels.map(owned),
        publish: rights.publish.map(owned),
        ttl: Duration::from_secs(600),
    };
    mint(&config.auth, &request).unwrap()
}

async fn connect_with(world: &World, rights: Rights<'_>) -> Client {
    let mut client = world.ws().await;
    let auth = json!({"token": token(&rights)});
    let answer = client.request("auth", auth).await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    client
}

async fn connect(world: &World, subject: &str) -> Client {
    connect_with(world, rights(subject)).await
}

fn chat(channel: &str, text: &str) -> Value {
    json!({"channel": channel, "type": "chat", "payload": {"text": text}})
}

/// The code of a refused request.
async fn refused(client: &mut Client, event: &str, data: Value) -> String {
    let answer = client.request(event, data.clone()).await;
    let code = answer["data"]["code"].as_str();
    code.unwrap_or_else(|| panic!("{data}: {answer}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn message_reaches_every_subscriber_in_order() {
    let world = World::with(rooms).await;
    let (mut alice, mut bob) = (connect(&world, "alice").await, connect(&world, "bob").await);
    for client in [&mut alice, &mut bob] {
        let answer = client.subscribe(json!({"channel": "room:Lobby"})).await;
        assert_eq!(
            (&answer["channel"], &answer["seq"]),
            (&json!("room:lobby"), &json!(0))
        );
    }
    alice.send("publish", chat("ROOM:lobby", "hi")).await;
    let expected = json!({"event": "room-message", "channel": "room:lobby", "seq": 1,
        "data": {"from": "alice", "type": "chat", "payload": {"text": "hi"}}});
    assert_eq!(bob.next().await, expected);
    assert_eq!(alice.next().await, expected);
    let ack = json!({"channel": "room:lobby", "success": true, "seq": 1});
    assert_eq!(alice.next().await["data"], ack);
    // Publishing needs no subscription, and history is resumed as on any channel.
    let mut carol = connect(&world, "carol").await;
    let answer = carol.request("publish", chat("room:lobby", "hello")).await;
    assert_eq!(answer["data"]["seq"], 2, "{answer}");
    let answer = carol
        .subscribe(json!({"channel": "room:lobby", "since": 0}))
        .await;
    assert_eq!(answer["recovered"], true);
    for expected in 1..=2 {
        assert_eq!(seq(&carol.next().await), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_echo_the_sender_gets_only_the_answer() {
    let world = World::with(rooms).await;
    let (mut alice, mut bob) = (connect(&world, "alice").await, connect(&world, "bob").await);
    let mut quiet = chat("room:lobby", "hi");
    quiet["echo"] = false.into();
    // Not subscribed.
    let answer = alice.request("publish", quiet.clone()).await;
    assert_eq!(answer["data"]["seq"], 1, "{answer}");
    for client in [&mut alice, &mut bob] {
        client.subscribe(json!({"channel": "room:lobby"})).await;
    }
    quiet["key"] = "k1".into();
    for _ in 0..2 {
        // The second time it is a repetition.
        let answer = alice.request("publish", quiet.clone()).await;
        assert_eq!(answer["data"]["seq"], 2, "{answer}");
    }
    assert_eq!(seq(&bob.next().await), 2);
    assert_eq!(bob.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_tokens_decide_who_joins_and_publishes() {
    let world = World::with(rooms).await;
    let mut nameless = world.ws().await;
    let subscribe = |channel: &str| json!({"channel": channel});
    nameless.subscribe(subscribe("room:open-1")).await;
    let code = refused(&mut nameless, "subscribe", subscribe("room:lobby")).await;
    assert_eq!(code, "UNAUTHORIZED");
    for (channel, code) in [
        ("room:open-1", "UNAUTHORIZED"),
        ("announcements", "UNAUTHORIZED"),
        ("new-block", "FORBIDDEN"),
        ("room:a:b", "UNKNOWN_CHANNEL"),
    ] {
        let refused = refused(&mut nameless, "publish", chat(channel, "hi")).await;
        assert_eq!(refused, code, "{channel}");
    }

    let mut alice = connect(&world, "alice").await;
    alice.subscribe(subscribe("room:lobby")).await;
    let code = refused(&mut alice, "subscribe", subscribe("room:listed")).await;
    assert_eq!(code, "FORBIDDEN");
    for (channel, code) in [
        ("room:listed", "FORBIDDEN"),
        ("room:news", "FORBIDDEN"),
        ("user:bob", "FORBIDDEN"),
        ("announcements", "FORBIDDEN"),
        ("price:ETH", "FORBIDDEN"),
    ] {
        for event in ["publish", "signal"] {
            let refused = refused(&mut alice, event, chat(channel, "hi")).await;
            assert_eq!(refused, code, "{event} {channel}");
        }
    }

    let named = Rights {
        channels: Some(&["room:listed"]),
        publish: Some(&["room:listed", "user:*"]),
        ..rights("alice")
    };
    let mut alice = connect_with(&world, named).await;
    alice.subscribe(subscribe("room:listed")).await;
    let code = refused(&mut alice, "subscribe", subscribe("room:lobby")).await;
    assert_eq!(code, "FORBIDDEN");
    let answer = alice.request("publish", chat("user:bob", "hi")).await;
    assert_eq!(answer["data"]["channel"], "user:bob");
    let code = refused(&mut alice, "publish", chat("room:lobby", "hi")).await;
    assert_eq!(code, "FORBIDDEN");

    let admin = Rights {
        role: Some("admin"),
        ..rights("root")
    };
    let mut admin = connect_with(&world, admin).await;
    for channel in ["room:news", "announcements", "user:bob"] {
        let answer = admin.request("publish", chat(channel, "hi")).await;
        assert_eq!(answer["data"]["success"], true, "{channel}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_that_excludes_a_room_ends_its_subscription() {
    let world = World::with(rooms).await;
    let mut alice = connect(&world, "alice").await;
    alice.subscribe(json!({"channel": "room:lobby"})).await;
    let narrowed = token(&Rights {
        channels: Some(&["room:open-*"]),
        ..rights("alice")
    });
    let answer = alice.request("auth", json!({"token": narrowed})).await;
    assert_eq!(answer["data"]["unsubscribed"], json!(["room:lobby"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_limited_by_size_and_rate() {
    let world = World::with(|config| {
        rooms(config);
        config.rooms[3].message_bytes = 20;
        config.rooms[3].messages_per_minute_per_subject = 2;
        config.rooms[3].messages_per_minute = 3;
        config.messages.messages_per_minute_per_session = 6;
        config.limits.requests = 12;
    })
    .await;
    let mut alice = connect(&world, "alice").await;
    let code = refused(&mut alice, "publish", chat("room:lobby", "much too long")).await;
    assert_eq!(code, "PAYLOAD_TOO_LARGE");
    for seq in 1..=2 {
        let answer = alice.request("publish", chat("room:lobby", "a")).await;
        assert_eq!(answer["data"]["seq"], seq, "{answer}");
    }
    let limited = alice.request("publish", chat("room:lobby", "a")).await;
    assert_eq!(limited["data"]["code"], "RATE_LIMITED");
    assert!(limited["data"]["retryAfterMs"].as_u64().unwrap() > 0);
    // Another device of the same subject, and another subject.
    let mut again = connect(&world, "alice").await;
    let code = refused(&mut again, "publish", chat("room:lobby", "a")).await;
    assert_eq!(code, "RATE_LIMITED");
    let mut bob = connect(&world, "bob").await;
    let answer = bob.request("publish", chat("room:lobby", "a")).await;
    assert_eq!(answer["data"]["seq"], 3, "{answer}");
    let code = refused(&mut bob, "publish", chat("room:lobby", "a")).await;
    assert_eq!(code, "RATE_LIMITED", "the room's limit");
    // The session's own limit does not count towards its other requests.
    for _ in 0..2 {
        alice.request("publish", chat("room:other", "a")).await;
    }
    let code = refused(&mut alice, "publish", chat("room:third", "a")).await;
    assert_eq!(code, "RATE_LIMITED");
    assert_eq!(alice.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_message_is_refused_and_withholds_nothing() {
    let world = World::with(rooms).await;
    let mut alice = connect(&world, "alice").await;
    alice.subscribe(json!({"channel": "room:lobby"})).await;
    let mut quiet = chat("room:lobby", "hi");
    quiet["echo"] = false.into();
    for (failure, code) in [
        (
            PublishError::QueueFull { retry_after_ms: 7 },
            "RATE_LIMITED",
        ),
        (PublishError::Closed, "INTERNAL"),
    ] {
        world.sink.fail(failure);
        for message in [chat("room:lobby", "hi"), quiet.clone()] {
            assert_eq!(refused(&mut alice, "publish", message).await, code);
        }
    }
    world.publish("room:lobby", "room-message", &json!({"from": "bob"}));
    assert_eq!(seq(&alice.next().await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn signal_reaches_the_room_but_its_sender() {
    let world = World::with(rooms).await;
    let (mut alice, mut bob) = (connect(&world, "alice").await, connect(&world, "bob").await);
    bob.subscribe(json!({"channel": "room:lobby"})).await;
    let typing = json!({"channel": "room:lobby", "type": "typing", "payload": {"isTyping": true}});
    // A sender need not be there.
    let ack = json!({"channel": "room:lobby", "success": true});
    assert_eq!(alice.request("signal", typing.clone()).await["data"], ack);
    let mut signal = bob.next().await;
    assert!(signal["data"]["timestamp"].take().as_i64().unwrap() > 0);
    let expected = json!({"event": "room-signal", "channel": "room:lobby", "data": {
        "from": "alice", "type": "typing", "payload": {"isTyping": true}, "timestamp": null}});
    assert_eq!(signal, expected);
    alice.subscribe(json!({"channel": "room:lobby"})).await;
    assert_eq!(alice.request("signal", typing.clone()).await["data"], ack);
    assert_eq!(bob.next().await["event"], "room-signal");
    let code = refused(&mut alice, "signal", chat("room:a:b", "x")).await;
    assert_eq!(code, "UNKNOWN_CHANNEL");
    let large = json!({"channel": "room:lobby", "type": "t", "payload": "x".repeat(20_000)});
    assert_eq!(
        refused(&mut alice, "signal", large).await,
        "PAYLOAD_TOO_LARGE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redaction_removes_the_message_from_memory() {
    let world = World::with(rooms).await;
    for text in ["a", "secret", "c"] {
        let data = json!({"from": "bob", "payload": text});
        world.publish("room:open-1", "room-message", &data);
    }
    let mut reader = world.ws().await;
    reader
        .subscribe(json!({"channel": "room:open-1", "since": 0}))
        .await;
    for expected in 1..=3 {
        assert_eq!(seq(&reader.next().await), expected);
    }
    // What the store has of it from now on.
    world.log.replace(
        "room:open-1",
        2,
        &json!({"from": "bob", "payload": null, "redacted": true}),
    );
    let notice = json!({"redactedSeq": 2, "by": "carol", "timestamp": 1});
    world.publish("room:open-1", "room-redacted", &notice);
    assert_eq!(reader.next().await["event"], "room-redacted");
    let mut later = world.ws().await;
    let answer = later
        .subscribe(json!({"channel": "room:open-1", "since": 1}))
        .await;
    assert_eq!(answer["recovered"], true);
    let message = later.next().await;
    assert_eq!(
        (seq(&message), &message["data"]["redacted"]),
        (2, &json!(true))
    );
    for expected in 3..=4 {
        assert_eq!(seq(&later.next().await), expected);
    }
}
