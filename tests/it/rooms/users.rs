//! Messages to a user: repeated on each subscription until a device acknowledges them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ROOMS, Rights, RoomClient, client::send};
use crate::support::{BareGateway, Server};

async fn notify(server: &Server, text: &str) {
    let token = Rights::of_role("publisher").token("shop");
    let body = json!({"channel": "user:bob", "type": "note", "payload": text});
    let response = send(server, Method::POST, "/publish", &token, Some(body)).await;
    assert_eq!(response.status(), 200);
}

/// The messages that a new device gets first, by their payloads and ids.
async fn missed(device: &mut RoomClient, count: usize) -> Vec<(String, i64)> {
    let mut missed = Vec::new();
    for _ in 0..count {
        let message = device.0.event("user-message").await;
        assert_eq!(message["snapshot"], true, "{message}");
        let data = &message["data"];
        let text = data["payload"].as_str().unwrap().to_owned();
        missed.push((text, data["id"].as_i64().unwrap()));
    }
    missed
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_repeated_until_a_device_acknowledges_it() {
    let gateway = BareGateway::start(ROOMS).await;
    let server = &gateway.server;
    for text in ["a", "b", "c"] {
        notify(server, text).await;
    }
    let mut first = RoomClient::join(server, "bob", "user:bob").await;
    let offline = missed(&mut first, 3).await;
    let texts: Vec<_> = offline.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    notify(server, "d").await;
    let live = first.0.event("user-message").await;
    assert_eq!(
        (&live["seq"], &live["data"]["payload"]),
        (&json!(4), &json!("d"))
    );
    let ids: Vec<_> = offline[..2].iter().map(|(_, id)| *id).collect();
    let ack = first.0.request("acknowledge", json!({"ids": ids})).await;
    assert_eq!(ack["data"]["acknowledged"], 2, "{ack}");
    // Also at a gateway that started later.
    let another = gateway.start_another().await;
    let mut second = RoomClient::join(&another, "bob", "user:bob").await;
    let again = missed(&mut second, 2).await;
    assert_eq!(again[0], offline[2]);
    assert_eq!(again[1].0, "d");
    // Nobody else can acknowledge or read them.
    let mut alice = RoomClient::connect(server, "alice").await;
    let ack = alice
        .0
        .request("acknowledge", json!({"ids": [again[0].1]}))
        .await;
    assert_eq!(ack["data"]["acknowledged"], 0, "{ack}");
    let refused = alice
        .0
        .request("subscribe", json!({"channel": "user:bob"}))
        .await;
    assert_eq!(refused["data"]["code"], "FORBIDDEN");
    another.stop().await;
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permitted_user_sends_to_all_devices_of_another() {
    let gateway = BareGateway::start(ROOMS).await;
    let server = &gateway.server;
    let mut devices = [
        RoomClient::join(server, "bob", "user:bob").await,
        RoomClient::join(server, "bob", "user:bob").await,
    ];
    let permitted = Rights {
        publish: Some(&["user:*"]),
        ..Rights::default()
    };
    let mut alice = RoomClient::with(server, "alice", permitted).await;
    let ack = alice.publish("user:bob", "psst").await;
    assert_eq!(
        ack,
        json!({"channel": "user:bob", "success": true, "seq": 1})
    );
    for device in &mut devices {
        let message = device.0.event("user-message").await;
        assert_eq!(message["data"]["from"], "alice");
    }
    assert_eq!(alice.0.backlog, [] as [Value; 0]);
    gateway.server.stop().await;
}
