//! Redaction, and the end of a user's sessions.

use reqwest::Method;
use serde_json::json;
use sqlx::Row;

use super::{
    ROOMS, Rights, RoomClient,
    client::{answer, send},
};
use crate::support::{BareGateway, Script, Server};

async fn delete(server: &Server, path: &str, token: &str) -> (u16, serde_json::Value) {
    answer(send(server, Method::DELETE, path, token, None).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redacted_text_is_gone_everywhere() {
    let gateway = BareGateway::start(ROOMS).await;
    let server = &gateway.server;
    let another = gateway.start_another().await;
    let mut alice = RoomClient::join(server, "alice", "room:open-1").await;
    let mut bob = RoomClient::join(&another, "bob", "room:open-1").await;
    for text in ["first", "unspeakable", "third"] {
        alice.publish("room:open-1", text).await;
    }
    for client in [&mut alice, &mut bob] {
        for seq in 1..=3 {
            assert_eq!(client.message().await["seq"], seq);
        }
    }
    let path = "/channels/room:Open-1/updates/2";
    let moderator = Rights::of_role("moderator").token("mod");
    for (path, token, status) in [
        (path, Rights::default().token("alice"), 403),
        (path, Rights::of_role("publisher").token("shop"), 403),
        ("/channels/room:open-1/updates/9", moderator.clone(), 404),
        ("/channels/room:open-1/updates/x", moderator.clone(), 400),
        ("/channels/room:other/updates/2", moderator.clone(), 404),
        ("/channels/user:alice/updates/2", moderator.clone(), 403),
        (path, moderator.clone(), 204),
        // Again it changes nothing.
        (path, moderator.clone(), 204),
    ] {
        assert_eq!(delete(server, path, &token).await.0, status, "{path}");
    }
    for client in [&mut alice, &mut bob] {
        let notice = client.0.event("room-redacted").await;
        assert_eq!(notice["seq"], 4, "{notice}");
        assert_eq!(
            (&notice["data"]["redactedSeq"], &notice["data"]["by"]),
            (&json!(2), &json!("mod"))
        );
    }
    // Neither memory nor the database has it.
    for server in [server, &another] {
        let mut late = RoomClient::connect(server, "carol").await;
        late.0
            .subscribe(json!({"channel": "room:open-1", "since": 1}))
            .await;
        let message = late.message().await;
        assert_eq!(
            (&message["seq"], &message["data"]["redacted"]),
            (&json!(2), &json!(true))
        );
        assert_eq!(message["data"]["payload"], json!(null));
        let path = "/channels/room:open-1/updates";
        let (_, page) = answer(send(server, Method::GET, path, &moderator, None).await).await;
        assert!(!page.to_string().contains("unspeakable"), "{page}");
        assert_eq!(page["data"][1]["data"]["redacted"], true);
    }
    let rows = sqlx::query("SELECT data::text AS data FROM updates")
        .fetch_all(gateway.writer.store().pool())
        .await
        .unwrap();
    assert!(
        rows.iter()
            .all(|row| !row.get::<String, _>("data").contains("unspeakable"))
    );
    another.stop().await;
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnected_user_leaves_every_gateway() {
    // Without Redis, the second gateway finds the request in the database.
    let gateway = BareGateway::start(ROOMS).await;
    let server = &gateway.server;
    let another = gateway.start_another().await;
    let mut here = RoomClient::connect(server, "bob/ö").await;
    let mut there = RoomClient::connect(&another, "bob/ö").await;
    let mut alice = RoomClient::connect(&another, "alice").await;
    let token = Rights::default().token("bob/ö");
    let socketio = [server.url(), "disconnected", "--token", &token];
    let mut socketio = Script::node("tests/clients/socketio.mjs", &socketio);
    socketio
        .json("it is connected", |line| line["step"] == "connected")
        .await;

    let path = "/users/bob%2F%C3%B6/sessions";
    let user = Rights::default().token("alice");
    assert_eq!(delete(server, path, &user).await.0, 403);
    let moderator = Rights::of_role("moderator").token("mod");
    assert_eq!(delete(server, path, &moderator).await.0, 204);
    for client in [&mut here, &mut there] {
        let close = client.0.closed().await.unwrap();
        assert_eq!(u16::from(close.code), 4403);
    }
    let gone = socketio
        .json("it is disconnected", |line| line["step"] == "disconnected")
        .await;
    assert_eq!(gone["data"], "io server disconnect");
    socketio.finish().await;
    assert_eq!(alice.0.request("ping", json!(null)).await["event"], "pong");
    // A session that begins later is welcome.
    let mut again = RoomClient::connect(&another, "bob/ö").await;
    assert_eq!(again.0.request("ping", json!(null)).await["event"], "pong");
    another.stop().await;
    gateway.server.stop().await;
}
