//! Rooms on several gateways: messages always arrive, signals through Redis and only with its key.

use serde_json::{Value, json};

use super::{ROOMS, RoomClient};
use crate::{
    processes::wait_for_subscribers,
    support::{BareGateway, Redis},
};

const KEY: &str = "a key for the bus of these tests, long enough";

/// A gateway with Redis, and another one beside it.
async fn gateways(redis: &Redis, key: &str) -> (BareGateway, crate::support::Server) {
    let bus = format!(
        "{ROOMS}\n[bus]\nkind = \"redis\"\nredis_url = {:?}\nredis_key = {key:?}",
        redis.url()
    );
    let gateway = BareGateway::start(&bus).await;
    let another = gateway.start_another().await;
    wait_for_subscribers(redis, None, 2).await;
    (gateway, another)
}

fn typing() -> Value {
    json!({"channel": "room:lobby-1", "type": "typing", "payload": {"isTyping": true}})
}

#[tokio::test(flavor = "multi_thread")]
async fn signal_reaches_rooms_of_other_gateways_through_redis() {
    let redis = Redis::start().await;
    let (gateway, another) = gateways(&redis, KEY).await;
    let mut alice = RoomClient::join(&gateway.server, "alice", "room:lobby-1").await;
    let mut near = RoomClient::join(&gateway.server, "bob", "room:lobby-1").await;
    let mut far = RoomClient::join(&another, "bob", "room:lobby-1").await;
    // Live messages are subscribed on a connection of their own: a signal before that is lost.
    let signal = loop {
        alice.0.request("signal", typing()).await;
        assert_eq!(near.0.event("room-signal").await["data"]["from"], "alice");
        far.0.request("ping", Value::Null).await;
        if let Some(signal) = far.0.backlog.pop() {
            break signal;
        }
    };
    assert_eq!(signal["event"], "room-signal", "{signal}");
    assert_eq!(signal["data"]["payload"], json!({"isTyping": true}));
    assert!(alice.0.backlog.is_empty(), "{:?}", alice.0.backlog);
    another.stop().await;
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signal_stays_in_its_process_without_a_key() {
    let redis = Redis::start().await;
    let (gateway, another) = gateways(&redis, "").await;
    let mut alice = RoomClient::join(&gateway.server, "alice", "room:lobby-1").await;
    let mut near = RoomClient::join(&gateway.server, "bob", "room:lobby-1").await;
    let mut far = RoomClient::join(&another, "carol", "room:lobby-1").await;
    alice.0.request("signal", typing()).await;
    near.0.event("room-signal").await;
    // A message sent afterwards arrives everywhere.
    alice.publish("room:lobby-1", "hi").await;
    assert_eq!(far.message().await["seq"], 1);
    assert!(far.0.backlog.is_empty(), "{:?}", far.0.backlog);
    another.stop().await;
    gateway.server.stop().await;
}
