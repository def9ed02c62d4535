//! A room on one gateway: order, history, bad input, and a writer that waits.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{ROOMS, RoomClient};
use crate::support::{BareGateway, World};

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_stored_and_resumed_like_updates() {
    let gateway = BareGateway::start(ROOMS).await;
    let mut alice = RoomClient::join(&gateway.server, "alice", "room:Lobby-1").await;
    for seq in 1..=3 {
        let ack = alice.publish("room:lobby-1", "hi").await;
        assert_eq!(
            ack,
            json!({"channel": "room:lobby-1", "success": true, "seq": seq})
        );
        let message = alice.message().await;
        assert_eq!(
            (&message["seq"], &message["data"]["from"]),
            (&json!(seq), &json!("alice"))
        );
    }
    let mut bob = RoomClient::connect(&gateway.server, "bob").await;
    let since = json!({"channel": "room:lobby-1", "since": 1});
    assert_eq!(bob.0.subscribe(since).await["recovered"], true);
    for seq in 2..=3 {
        assert_eq!(bob.message().await["seq"], seq);
    }
    // A gateway that starts later has the same history.
    let another = gateway.start_another().await;
    let mut carol = RoomClient::connect(&another, "carol").await;
    let since = json!({"channel": "room:lobby-1", "since": 0});
    assert_eq!(carol.0.subscribe(since).await["recovered"], true);
    for seq in 1..=3 {
        assert_eq!(carol.message().await["seq"], seq);
    }
    another.stop().await;
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_arrive_unchanged() {
    let gateway = BareGateway::start(ROOMS).await;
    let mut alice = RoomClient::join(&gateway.server, "alice", "room:lobby-1").await;
    for payload in [
        "null",
        r#""\u00e9 \ud83e\udd80 🦀""#,
        r#"{"b":1.0,"a":12345678901234567890123.450,"e":1.50e+300}"#,
        "[[],{},\"\\\"\",-0]",
    ] {
        alice
            .0
            .send_text(format!(
                r#"{{"id":"p","event":"publish","data":{{"channel":"room:lobby-1","type":"t","payload": {payload} }}}}"#
            ))
            .await;
        let text = alice.0.expect_text("room-message").await;
        assert!(text.contains(&format!(r#""payload":{payload},"#)), "{text}");
    }
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_refused_and_disturb_nobody() {
    let gateway = BareGateway::start(ROOMS).await;
    let mut alice = RoomClient::join(&gateway.server, "alice", "room:lobby-1").await;
    let deep = (0..65).fold(json!(1), |inner, _| json!([inner]));
    for (data, code) in [
        (json!({"channel": "room:lobby-1"}), "BAD_REQUEST"),
        (
            json!({"channel": "room:lobby-1", "type": ""}),
            "BAD_REQUEST",
        ),
        (
            json!({"channel": "room:lobby-1", "type": "a\nb"}),
            "BAD_REQUEST",
        ),
        (
            json!({"channel": "room:lobby-1", "type": "t", "key": "k".repeat(129)}),
            "BAD_REQUEST",
        ),
        (
            json!({"channel": "room:lobby-1", "type": "t", "key": 7}),
            "BAD_REQUEST",
        ),
        (
            json!({"channel": "room:lobby-1", "type": "t", "payload": deep}),
            "BAD_REQUEST",
        ),
        (
            json!({"channel": "room:lobby-1", "type": "t", "payload": "x".repeat(20_000)}),
            "PAYLOAD_TOO_LARGE",
        ),
        (
            json!({"channel": "room:löbby", "type": "t"}),
            "UNKNOWN_CHANNEL",
        ),
        (
            json!({"channel": "room:\u{202e}1-ybbol", "type": "t"}),
            "UNKNOWN_CHANNEL",
        ),
        (json!({"channel": "room:*", "type": "t"}), "UNKNOWN_CHANNEL"),
        (
            json!({"channel": "room:other", "type": "t"}),
            "UNKNOWN_CHANNEL",
        ),
        (
            json!({"channel": format!("room:{}", "a".repeat(65)), "type": "t"}),
            "UNKNOWN_CHANNEL",
        ),
        (json!({"channel": "user:bob", "type": "t"}), "FORBIDDEN"),
        (json!({"channel": "new-block", "type": "t"}), "FORBIDDEN"),
    ] {
        for event in ["publish", "signal"] {
            // A signal has no key.
            if event == "signal" && data.get("key").is_some() {
                continue;
            }
            let refused = alice.0.request(event, data.clone()).await;
            assert_eq!(refused["data"]["code"], code, "{event} {data}: {refused}");
        }
    }
    let unicode = json!({"channel": "room:lobby-1", "type": "größe", "key": "🦀", "payload": {"ключ": "значение"}});
    let ack = alice.0.request("publish", unicode).await;
    assert_eq!(ack["data"]["seq"], 1, "{ack}");
    let message = alice.message().await;
    assert_eq!(
        (&message["data"]["type"], &message["data"]["key"]),
        (&json!("größe"), &json!("🦀"))
    );
    gateway.server.stop().await;
}

/// The writer of messages waits for a lock, and everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_room_delays_no_block() {
    let world = World::with(ROOMS).await;
    let mut alice = RoomClient::join(&world.server, "alice", "room:lobby-1").await;
    assert_eq!(alice.publish("room:lobby-1", "before").await["seq"], 1);
    let mut blocks = world.ws().await;
    blocks
        .subscribe(json!({"channel": "new-block", "snapshot": false}))
        .await;
    let mut database = PgConnection::connect(&world.database).await.unwrap();
    let mut lock = database.begin().await.unwrap();
    sqlx::query("SELECT FROM channels WHERE name = 'room:lobby-1' FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let mut bob = RoomClient::connect(&world.server, "bob").await;
    let waiting = json!({"id": 1, "event": "publish", "data":
        {"channel": "room:lobby-1", "type": "t", "key": "k1"}});
    bob.0.send_text(waiting.to_string()).await;
    world.control.mine(3).await.unwrap();
    for _ in 0..3 {
        blocks.event("new-block").await;
    }
    assert_eq!(bob.0.backlog, [] as [Value; 0], "the message waits");
    assert_eq!(blocks.request("ping", Value::Null).await["event"], "pong");
    lock.rollback().await.unwrap();
    let ack = bob.0.expect("the ack", |message| message["id"] == 1).await;
    assert_eq!(ack["data"]["seq"], 2, "{ack}");
    world.server.stop().await;
}
