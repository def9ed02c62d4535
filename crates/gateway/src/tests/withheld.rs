//! Updates that a session gets an answer for instead, as with `echo: false`.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};

use super::support::{Client, TIMEOUT, World, seq};
use crate::{
    hub::{PendingAnswer, WithheldUpdate},
    session::Session,
};
use chaincast_protocol::{Channel, Refusal, encode, request::Answer};

const BLOCKS: Channel = Channel::NewBlock(None);

/// A client and its session.
async fn client(world: &World) -> (Client, Arc<Session>) {
    let before = world.gateway.hub.sessions();
    let client = world.ws().await;
    let known = |session: &Arc<Session>| before.iter().any(|one| Arc::ptr_eq(one, session));
    let mut sessions = world.gateway.hub.sessions().into_iter();
    let session = sessions.find(|session| !known(session)).unwrap();
    (client, session)
}

/// The answer of a request of this session, with the seq as its id.
fn answer(session: &Session, seq: u64) -> Arc<PendingAnswer> {
    let wire = session.wire();
    Arc::new(PendingAnswer::new(Box::new(move |answer| {
        vec![encode::answer(wire, answer, Some(&seq.into()))]
    })))
}

impl World {
    /// Withholds an update of `new-block` that is not committed yet.
    fn withhold(&self, session: &Arc<Session>, seq: u64) -> bool {
        let update = WithheldUpdate {
            seq,
            session: session.clone(),
            answer: answer(session, seq),
        };
        self.gateway.hub.withhold(&BLOCKS, update)
    }
}

fn assert_ack(message: &Value, seq: u64) {
    let data = json!({"channel": "new-block", "success": true, "seq": seq});
    let ack = json!({"event": "ack", "id": seq, "data": data});
    assert_eq!(*message, ack);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_takes_the_place_of_the_update() {
    let world = World::start().await;
    let (mut sender, session) = client(&world).await;
    let mut other = world.ws().await;
    for client in [&mut sender, &mut other] {
        client.subscribe(json!({"channel": "new-block"})).await;
    }
    world.block(1);
    assert!(world.withhold(&session, 2));
    world.block(2);
    world.block(3);
    assert_eq!(seq(&sender.next().await), 1);
    assert_ack(&sender.next().await, 2);
    assert_eq!(seq(&sender.next().await), 3);
    for number in 1..=3 {
        assert_eq!(seq(&other.next().await), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn withholds_only_what_a_session_would_receive() {
    let world = World::start().await;
    let (mut ws, session) = client(&world).await;
    assert!(!world.withhold(&session, 1), "not subscribed");
    ws.subscribe(json!({"channel": "price:ETH"})).await;
    assert!(!world.withhold(&session, 1), "subscribed to another one");
    ws.subscribe(json!({"channel": "new-block"})).await;
    world.block(1);
    assert!(!world.withhold(&session, 1), "sent already");
    assert!(world.withhold(&session, 2));
    assert_eq!(seq(&ws.next().await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn uncommitted_update_is_no_longer_withheld() {
    let world = World::start().await;
    let (mut ws, session) = client(&world).await;
    ws.subscribe(json!({"channel": "new-block"})).await;
    assert!(world.withhold(&session, 1));
    world.gateway.hub.release_withheld(&BLOCKS, &session, 1);
    // Another message got its seq.
    world.block(1);
    assert_eq!(seq(&ws.next().await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribing_gives_the_pending_answer_first() {
    let world = World::start().await;
    let (mut ws, session) = client(&world).await;
    ws.subscribe(json!({"channel": "new-block"})).await;
    assert!(world.withhold(&session, 1));
    ws.send("unsubscribe", json!({"channel": "new-block"}))
        .await;
    assert_ack(&ws.next().await, 1);
    assert_eq!(ws.next().await["data"]["channel"], "new-block");
    world.block(1);
    assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_is_given_once() {
    let world = World::start().await;
    let (_ws, session) = client(&world).await;
    let pending = answer(&session, 1);
    let refused = Answer::Refused(Refusal::bad_request("no"));
    assert_eq!(pending.give(&refused).len(), 1);
    assert_eq!(pending.give(&refused).len(), 0);
}

/// The client begins far behind: its history comes from the store and the ring while updates are published and withheld.
#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_their_place_while_history_is_replayed() {
    for ring in [1, 8, 1_000] {
        let world = World::with(|config| {
            config.ring_updates = ring;
            config.limits.backlog_bytes = 16_384;
        })
        .await;
        for number in 1..=300 {
            world.block(number);
        }
        let (mut ws, session) = client(&world).await;
        let answered = ws
            .subscribe(json!({"channel": "new-block", "since": 0, "epoch": "epoch1"}))
            .await;
        assert_eq!(answered["recovered"], true);
        let mut withheld = Vec::new();
        let mut published = 300;
        for expected in 1..=900 {
            // A few at a time, so that the client is sometimes behind and sometimes not.
            while published < 900 && published < expected.max(300) + 60 {
                published += 1;
                if rand::random_ratio(1, 3) && world.withhold(&session, published) {
                    withheld.push(published);
                }
                assert_eq!(world.block(published), published);
            }
            let message = ws.next().await;
            match withheld.contains(&expected) {
                true => assert_ack(&message, expected),
                false => assert_eq!(seq(&message), expected, "ring {ring}: {message}"),
            }
        }
        assert!(withheld.len() > 100, "{}", withheld.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_session_leaves_nothing_withheld() {
    let world = World::start().await;
    let (mut ws, session) = client(&world).await;
    ws.subscribe(json!({"channel": "new-block"})).await;
    assert!(world.withhold(&session, 1));
    drop(ws);
    let deadline = Instant::now() + TIMEOUT;
    while session.ended().is_none() {
        assert!(Instant::now() < deadline, "the session did not end");
        tokio::task::yield_now().await;
    }
    // Its end removes it from the hub right after.
    let is_withheld = || {
        let channels = world.gateway.hub.channels();
        let slot = channels.find(&BLOCKS).unwrap();
        channels.slots[slot].has_withheld()
    };
    while is_withheld() {
        assert!(Instant::now() < deadline, "the update is still withheld");
        tokio::task::yield_now().await;
    }
}
