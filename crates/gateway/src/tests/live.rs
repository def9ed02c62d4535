//! Messages that are never stored, and sessions that a moderator ends.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};

use super::{
    alerts::{secret, token},
    support::{World, seq},
};
use chaincast_bus::Signal;

impl World {
    /// Publishes a live message of `new-block`.
    fn signal(&self, sender: Option<&str>, text: &str) {
        self.gateway.hub.publish_live(&Signal {
            channel: "new-block".parse().unwrap(),
            event: "room-signal".into(),
            data: json!({"text": text}).to_string().into(),
            sender: sender.map(Into::into),
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_message_reaches_all_but_its_sender() {
    let world = World::start().await;
    let mut sender = world.ws().await;
    let id = world.gateway.hub.sessions()[0].id().to_owned();
    let mut other = world.ws().await;
    let mut outside = world.ws().await;
    world.signal(None, "nobody is there");
    for client in [&mut sender, &mut other] {
        client.subscribe(json!({"channel": "new-block"})).await;
    }
    let mut sse = world.sse("/realtime/sse?channels=new-block", "").await;
    sse.until("event: ack").await;
    world.block(1);
    world.signal(Some(&id), "first");
    world.block(2);
    assert_eq!(seq(&other.next().await), 1);
    let signal = json!({"event": "room-signal", "channel": "new-block", "data": {"text": "first"}});
    assert_eq!(other.next().await, signal);
    assert_eq!(seq(&other.next().await), 2);
    for number in 1..=2 {
        assert_eq!(seq(&sender.next().await), number);
    }
    assert_eq!(outside.request("ping", Value::Null).await["event"], "pong");
    let text = sse.until("id: new-block@2\n").await;
    assert!(
        text.contains("data: {\"text\":\"first\",\"channel\":\"new-block\"}\n\n"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_ends_older_sessions_of_the_subject() {
    let world = World::with(secret).await;
    let mut nameless = world.ws().await;
    let mut old = world.ws().await;
    old.request("auth", json!({"token": token("alice")})).await;
    let hub = &world.gateway.hub;
    let after = |age| HashMap::from([("alice".to_owned(), age)]);
    hub.disconnect(&after(Duration::from_secs(3_600))).await;
    hub.disconnect(&HashMap::from([("bob".to_owned(), Duration::ZERO)]))
        .await;
    assert_eq!(old.request("ping", Value::Null).await["event"], "pong");
    hub.disconnect(&after(Duration::ZERO)).await;
    let closed = (4403, "disconnected by a moderator".to_owned());
    assert_eq!(old.closed().await, closed);
    assert_eq!(nameless.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_request_ends_sessions_of_every_gateway() {
    let world = World::with(secret).await;
    let connect = async |subject| {
        let mut ws = world.ws().await;
        ws.request("auth", json!({"token": token(subject)})).await;
        ws
    };
    let (mut alice, mut bob) = (connect("alice").await, connect("bob").await);
    world.log.disconnect("alice");
    assert_eq!(alice.closed().await.0, 4403);
    // The request is read again and again, but spares the sessions that came after it.
    let mut alice = connect("alice").await;
    world.log.disconnect("bob");
    assert_eq!(bob.closed().await.0, 4403);
    assert_eq!(alice.request("ping", Value::Null).await["event"], "pong");
}
