//! Messages with a key are stored once, whatever happens to the connections that they are sent over.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use super::{
    ROOMS, Rights, RoomClient,
    client::{answer, send},
};
use crate::support::BareGateway;

const ROOM: &str = "room:lobby-1";
const MESSAGES: usize = 60;

/// Sends each message until there is an answer. Most connections are cut before it can arrive.
async fn send_over_cut_connections(gateway: &BareGateway, subject: &str) {
    for number in 0..MESSAGES {
        let key = format!("k{number}");
        let data = json!({"channel": ROOM, "type": "t", "payload": number, "key": key});
        let mut cuts = rand::random_range(0..4);
        loop {
            let mut client = RoomClient::connect(&gateway.server, subject).await;
            if cuts == 0 {
                let ack = client.0.request("publish", data.clone()).await;
                assert_eq!(ack["data"]["success"], true, "{ack}");
                break;
            }
            cuts -= 1;
            let request = json!({"id": 1, "event": "publish", "data": data});
            client.0.send_text(request.to_string()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_store_each_key_once() {
    let gateway = BareGateway::start(ROOMS).await;
    let subjects = ["alice", "bob"];
    let sending = subjects.map(|subject| send_over_cut_connections(&gateway, subject));
    futures_util::future::join_all(sending).await;
    let token = Rights::default().token("carol");
    let path = format!("/channels/{ROOM}/updates?limit=1000");
    let (_, page) = answer(send(&gateway.server, Method::GET, &path, &token, None).await).await;
    let messages = page["data"].as_array().unwrap();
    let mut keys = BTreeSet::new();
    for message in messages {
        let data = &message["data"];
        let from = data["from"].as_str().unwrap().to_owned();
        let key = data["key"].as_str().unwrap().to_owned();
        assert_eq!(key, format!("k{}", data["payload"]));
        assert!(keys.insert((from, key)), "{message} is stored twice");
    }
    assert_eq!(keys.len(), subjects.len() * MESSAGES);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_belong_to_their_sender_and_channel() {
    let gateway = BareGateway::start(ROOMS).await;
    let mut clients = [
        RoomClient::connect(&gateway.server, "alice").await,
        RoomClient::connect(&gateway.server, "bob").await,
    ];
    let [alice, bob] = [0, 1];
    let message = |channel: &str| json!({"channel": channel, "type": "t", "key": "k1"});
    for (client, channel, seq) in [
        (alice, ROOM, 1),
        // A key that somebody else uses neither finds nor blocks the other message.
        (bob, ROOM, 2),
        (alice, ROOM, 1),
        (bob, ROOM, 2),
        (alice, "room:lobby-2", 1),
    ] {
        let ack = clients[client].0.request("publish", message(channel));
        let ack = ack.await;
        assert_eq!(ack["data"]["seq"], seq, "{ack}");
    }
    gateway.server.stop().await;
}
