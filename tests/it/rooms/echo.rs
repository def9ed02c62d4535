//! `echo: false`: in each session the messages, and the answers to its own, form one sequence without a gap.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ROOMS, RoomClient};
use crate::support::BareGateway;

const ROOM: &str = "room:lobby-1";
const MESSAGES: u64 = 150;

/// Sends messages without waiting, some of them without an echo; then reads until the room has `total` messages. Returns
/// what it got in the place of each.
async fn participate(client: &mut RoomClient, subject: &str, total: u64) -> Vec<Value> {
    let client = &mut client.0;
    let mut quiet = BTreeSet::new();
    for id in 1..=MESSAGES {
        let echo = !rand::random_ratio(2, 3);
        if !echo {
            quiet.insert(id);
        }
        let data = json!({"channel": ROOM, "type": "t", "payload": id, "echo": echo});
        let request = json!({"id": id, "event": "publish", "data": data});
        client.send_text(request.to_string()).await;
    }
    assert!(!quiet.is_empty());
    let mut sequence = Vec::new();
    while (sequence.len() as u64) < total {
        let message = client.next("a message or an answer").await;
        match message["event"].as_str().unwrap() {
            "room-message" => {
                let seq = message["seq"].as_u64().unwrap();
                assert_eq!(seq, sequence.len() as u64 + 1, "{message}");
                let data = &message["data"];
                if data["from"] == subject {
                    let id = data["payload"].as_u64().unwrap();
                    assert!(!quiet.contains(&id), "{message} was to have no echo");
                }
                sequence.push(message);
            }
            "ack" => {
                let (id, seq) = (message["id"].as_u64().unwrap(), &message["data"]["seq"]);
                if quiet.remove(&id) {
                    assert_eq!(*seq, sequence.len() as u64 + 1, "{message}");
                    sequence.push(message);
                }
            }
            _ => panic!("{message}"),
        }
    }
    assert!(quiet.is_empty(), "unanswered: {quiet:?}");
    sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_take_the_place_of_own_messages_under_load() {
    // The second gateway learns of messages by polling alone.
    let gateway = BareGateway::start(ROOMS).await;
    let another = gateway.start_another().await;
    let total = 4 * MESSAGES;
    let mut clients = Vec::new();
    for (subject, server) in [
        ("alice", &gateway.server),
        ("bob", &gateway.server),
        ("carol", &gateway.server),
        ("dave", &another),
    ] {
        clients.push((subject, RoomClient::join(server, subject, ROOM).await));
    }
    let participants = clients
        .iter_mut()
        .map(|(subject, client)| participate(client, subject, total));
    let all = futures_util::future::join_all(participants).await;
    // What one did not get, everybody else did.
    for seq in 0..total as usize {
        let answers = all
            .iter()
            .filter(|sequence| sequence[seq]["event"] == "ack");
        assert!(answers.count() <= 1, "seq {seq}");
    }
    another.stop().await;
    gateway.server.stop().await;
}
