//! The types and the schemas of the protocol describe every message that a running chaincast sends. The clients in
//! `support` check each one; here every kind is received.

use std::{collections::BTreeSet, time::Duration};

use chaincast_protocol::schema::{Schemas, Sender};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    contracts::with_contracts,
    support::{
        Connection, Query, Received, TIMEOUT, Transport, World, WsClient, mint, rejected_join,
    },
};

const TTL: Duration = Duration::from_secs(600);
/// Answers to requests.
const ANSWERS: [&str; 3] = ["ack", "error", "pong"];
/// Events that need no request besides a subscription.
const EVENTS: [&str; 20] = [
    "announcement",
    "address-reorg",
    "address-transaction",
    "address-transfer",
    "block-finalized",
    "candle-update",
    "connected",
    "contract-event",
    "contract-reorg",
    "heartbeat",
    "new-block",
    "price-alert",
    "price-update",
    "reorg",
    "room-message",
    "room-redacted",
    "room-signal",
    "token-expiring",
    "transaction-update",
    "user-message",
];
/// Events of presence, which the gateway does not send yet.
const PRESENCE: [&str; 3] = ["member-joined", "member-left", "members-changed"];
const ROOM: &str = "[[gateway.rooms]]\npattern = \"lobby\"";

/// Sessions in JSON and in MessagePack of a user whose JWT expires after `ttl`.
async fn connect(world: &World, ttl: Duration) -> [WsClient; 2] {
    let token = mint("alice", None, None, ttl);
    let url = format!("{}?token={token}", world.server.realtime());
    [
        WsClient::connect(&url).await,
        WsClient::connect_packed(&url).await,
    ]
}

async fn create_alert(world: &World) {
    let alert =
        json!({"token": "USDC", "condition": "above", "threshold": "0.000001", "note": "n"});
    let answer = reqwest::Client::new()
        .post(world.url("/api/v1/alerts"))
        .bearer_auth(mint("alice", None, None, TTL))
        .body(alert.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
}

/// Sends every kind of message.
async fn send_messages(world: &World) {
    let token = mint("root", Some("admin"), None, TTL);
    let url = format!("{}?token={token}", world.server.realtime());
    let mut admin = WsClient::connect(&url).await;
    let message = |channel: &str| json!({"channel": channel, "type": "t", "payload": {"n": 1.5}});
    for channel in ["room:lobby", "user:alice", "announcements"] {
        let ack = admin.request("publish", message(channel)).await;
        assert_eq!(ack["data"]["success"], true, "{ack}");
    }
    admin.request("signal", message("room:lobby")).await;
    let answer = reqwest::Client::new()
        .delete(world.url("/api/v1/channels/room:lobby/updates/1"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
}

/// The first message that matches. Heartbeats always arrive, so the whole wait has a deadline.
async fn expect(ws: &mut WsClient, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    match timeout(TIMEOUT, ws.expect(what, wanted)).await {
        Ok(message) => message,
        Err(_) => {
            let messages = ws.backlog.iter();
            let events: BTreeSet<_> = messages.map(|message| message["event"].as_str()).collect();
            panic!("no {what} within {TIMEOUT:?}, only {events:?}")
        }
    }
}

/// Makes every kind of request, and some that fail.
async fn make_requests(ws: &mut WsClient) {
    for (event, data, answered) in [
        ("ping", Value::Null, "pong"),
        ("subscriptions", Value::Null, "ack"),
        ("auth", json!({"token": ""}), "ack"),
        (
            "auth",
            json!({"token": mint("alice", Some("r"), Some(&["*"]), TTL)}),
            "ack",
        ),
        ("auth", json!({"token": "no"}), "error"),
        ("acknowledge", json!({"ids": [0]}), "ack"),
        ("subscribe", json!({"channel": "price:BTC"}), "ack"),
        ("subscribe", json!({"channel": "nope"}), "error"),
        (
            "publish",
            json!({"channel": "room:lobby", "type": "t", "payload": [1.5], "echo": false}),
            "ack",
        ),
        (
            "signal",
            json!({"channel": "room:lobby", "type": "t"}),
            "ack",
        ),
        (
            "publish",
            json!({"channel": "new-block", "type": "t"}),
            "error",
        ),
        ("unsubscribe", json!({"channel": "price:BTC"}), "ack"),
        (
            "unsubscribe",
            json!({"channels": ["price:BTC", "nope"]}),
            "ack",
        ),
        ("dance", Value::Null, "error"),
    ] {
        let answer = ws.request(event, data.clone()).await;
        assert_eq!(answer["event"], answered, "{event} {data}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_describe_every_live_message() {
    let world = with_contracts(World::with(ROOM).await).await;
    let quote = world.deployment.tokens.last().unwrap().symbol.clone();
    let holder = world.market.holders()[0];
    let mut clients = connect(&world, TTL).await;
    for client in &mut clients {
        let joined = client
            .subscribe(json!({ "channels": [
                "new-block", "price:ETH", "candle:ETH:1m", "contract:cash", "heartbeat", "user:alice",
                format!("address:{holder}"), "room:lobby", "announcements", "nope",
            ]}))
            .await;
        assert_eq!(joined["channels"].as_array().unwrap().len(), 10);
        make_requests(client).await;
    }

    create_alert(&world).await;
    send_messages(&world).await;
    world.set_feed("ETH", 4_321).await;
    world.transfer(&quote, 77).await;
    for client in &mut clients {
        let sent = expect(client, "transfer", |message| {
            message["data"]["args"]["value"] == "77"
        })
        .await;
        let hash = sent["data"]["transactionHash"].as_str().unwrap();
        let channel = format!("tx:{hash}");
        client.subscribe(json!({ "channel": channel })).await;
    }
    world.caught_up().await;
    world.control.reorg(1).await.unwrap();
    world.control.mine(1).await.unwrap();
    for client in &mut clients {
        expect(client, "reorged transaction", |message| {
            message["data"]["status"] == "reorged"
        })
        .await;
    }
    // The node of a world finalizes blocks two epochs, 2,000 blocks, behind its head.
    world.control.mine(2_001).await.unwrap();

    join_all(clients.iter_mut().map(|client| async move {
        for event in EVENTS {
            // The first is received above, the second below.
            if !["contract-event", "token-expiring"].contains(&event) {
                expect(client, event, |message| message["event"] == event).await;
            }
        }
    }))
    .await;
    // Sent 30 s before the end of the session.
    for mut client in connect(&world, Duration::from_secs(29)).await {
        client.event("token-expiring").await;
    }
    let schemas = Schemas::new();
    let messages = schemas.messages.iter();
    let sent_by_server = messages.filter(|message| message.sender == Sender::Server);
    let known: BTreeSet<&str> = sent_by_server.map(|message| &*message.event).collect();
    let received = EVENTS.into_iter().chain(ANSWERS).chain(PRESENCE);
    let received: BTreeSet<&str> = received.collect();
    assert_eq!(received, known, "every kind is received here");

    let closed = async {
        for client in &mut clients {
            assert_eq!(u16::from(client.closed().await.unwrap().code), 1001);
        }
    };
    tokio::join!(world.server.stop(), closed);
}

/// Requests a channel that does not exist, without an acknowledgement.
async fn refuse_channel(connection: &mut Connection) {
    let data = json!({"channels": ["nope"]});
    connection.emit("subscribe", &data).await;
    let refused = async {
        loop {
            match connection.receive().await {
                Received::Other(other) if other["data"]["channel"] == "nope" => break,
                Received::Closed(code, reason) => panic!("closed with {code} {reason}"),
                _ => {}
            }
        }
    };
    let refused = timeout(TIMEOUT, refused).await;
    refused.expect("an error that names the channel");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_describe_other_transports() {
    let world = World::start().await;
    let channels = ["new-block", "price:ETH", "heartbeat"];
    for (transport, price) in [
        (Transport::SocketIo, 4_000),
        (Transport::Polling, 5_000),
        (Transport::EventStream, 6_000),
    ] {
        let query = Query {
            channels: channels.map(str::to_owned).to_vec(),
            ..Query::default()
        };
        let opened = Connection::open(transport, world.server.url(), &query).await;
        let mut connection = opened.unwrap();
        if transport != Transport::EventStream {
            for (event, data) in [
                ("ping", Value::Null),
                ("subscribe", json!({"channel": "nope"})),
                ("subscribe", json!({"channels": ["nope", "new-block"]})),
                (
                    "subscribe",
                    json!({"channels": channels, "snapshot": false}),
                ),
                ("subscriptions", Value::Null),
            ] {
                connection.send_request(event, &data).await;
                connection.receive_response().await;
            }
            refuse_channel(&mut connection).await;
        }
        world.set_feed("ETH", price).await;
        let mut missing: BTreeSet<&str> = channels.into();
        while !missing.is_empty() {
            match timeout(TIMEOUT, connection.receive()).await {
                Ok(Received::Message(message)) => missing.remove(message.channel.as_str()),
                Ok(Received::Closed(code, reason)) => panic!("closed with {code} {reason}"),
                Ok(_) => continue,
                Err(_) => panic!("{transport:?} received nothing of {missing:?}"),
            };
        }
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_describe_rejected_joins() {
    let world = World::start().await;
    for (packet, code) in [
        ("40/other,", Value::Null),
        (r#"40/realtime,{"token":"no"}"#, "UNAUTHORIZED".into()),
    ] {
        let rejection = rejected_join(world.server.url(), packet).await;
        assert_eq!(rejection["data"]["code"], code, "{packet}: {rejection}");
    }
    world.server.stop().await;
}
