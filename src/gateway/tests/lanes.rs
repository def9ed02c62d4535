use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Client, World, seq};
use crate::{
    gateway::{channel::Turn, ring::RingLimits},
    model::{Channel, Update},
};

const RING: RingLimits = RingLimits {
    updates: 8,
    bytes: usize::MAX,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_in_an_interval_is_not_sent_after_something_newer_when_the_clock_is_late() {
    let world = World::start().await;
    world.price("ETH", 1);
    let mut ws = world.ws().await;
    ws.subscribe(json!({"channel": "price:ETH", "interval": 5000, "snapshot": false}))
        .await;
    let channel: Channel = "price:ETH".parse().unwrap();
    let update = |seq| Update {
        channel: channel.clone(),
        seq,
        event: "price-update".into(),
        data: "{}".into(),
    };
    let mut turn = Turn::new(1);
    {
        let mut channels = world.gateway.context.hub().channels().lock();
        let slot = channels.find(&channel).unwrap();
        let state = &mut channels.slots[slot];
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        state.publish(slot, update(2).into(), RING, at(0), &mut turn);
        let wakes = state.publish(slot, update(3).into(), RING, at(1), &mut turn);
        assert_eq!(wakes.len(), 1, "3 waits for the interval's end");
        // The clock should have looked at 5 s.
        state.publish(slot, update(4).into(), RING, at(6), &mut turn);
        state.fire(slot, wakes[0].1, at(6), &mut turn);
        state.publish(slot, update(5).into(), RING, at(12), &mut turn);
    }
    for session in turn.dirty.into_iter().flatten() {
        session.flush();
    }
    for (seq_wanted, prev) in [(2, 1), (4, 2), (5, 4)] {
        let message = ws.next().await;
        assert_eq!(
            (seq(&message), &message["prev"]),
            (seq_wanted, &prev.into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_sends_the_first_at_once_and_then_the_newest_when_it_is_over() {
    let world = World::start().await;
    world.price("ETH", 1);
    let (mut early, mut late) = (world.ws().await, world.ws().await);
    let ask = json!({"channel": "price:ETH", "interval": 1000});
    early.subscribe(ask.clone()).await;
    assert_eq!(early.next().await["snapshot"], true);
    let begun = Instant::now();
    for price in 2..=8 {
        world.price("ETH", price);
    }
    let first = early.next().await;
    assert_eq!((seq(&first), &first["prev"]), (2, &1.into()));
    late.subscribe(ask).await;
    assert_eq!(
        seq(&late.next().await),
        8,
        "the snapshot of one who came later"
    );
    let second = early.next().await;
    assert!(begun.elapsed() >= Duration::from_millis(1_000));
    assert_eq!((seq(&second), &second["prev"]), (8, &2.into()));
    world.price("ETH", 9);
    let (third, joined) = (early.next().await, late.next().await);
    assert_eq!((seq(&third), &third["prev"]), (9, &8.into()));
    assert_eq!(
        (seq(&joined), &joined["prev"]),
        (9, &8.into()),
        "what it already had is not sent twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_of_the_past_does_not_send_before_the_interval_is_over() {
    let world = World::start().await;
    world.price("ETH", 1);
    let mut ws = world.ws().await;
    ws.subscribe(json!({"channel": "price:ETH", "interval": 5000, "snapshot": false}))
        .await;
    let channel: Channel = "price:ETH".parse().unwrap();
    let update = |seq| Update {
        channel: channel.clone(),
        seq,
        event: "price-update".into(),
        data: "{}".into(),
    };
    let mut turn = Turn::new(1);
    {
        let mut channels = world.gateway.context.hub().channels().lock();
        let slot = channels.find(&channel).unwrap();
        let state = &mut channels.slots[slot];
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        state.publish(slot, update(2).into(), RING, at(0), &mut turn);
        let first = state.publish(slot, update(3).into(), RING, at(1), &mut turn);
        // The clock should have looked at 5 s. It is late, 4 goes out at 6 s, and 5 has to wait until 11 s.
        state.publish(slot, update(4).into(), RING, at(6), &mut turn);
        let second = state.publish(slot, update(5).into(), RING, at(7), &mut turn);
        assert_eq!((first[0].0, second[0].0), (at(5), at(11)));
        state.fire(slot, first[0].1, at(8), &mut turn);
        state.publish(slot, update(6).into(), RING, at(9), &mut turn);
        state.fire(slot, second[0].1, at(11), &mut turn);
    }
    for session in turn.dirty.into_iter().flatten() {
        session.flush();
    }
    for (seq_wanted, prev) in [(2, 1), (4, 2), (6, 4)] {
        let message = ws.next().await;
        assert_eq!(
            (seq(&message), &message["prev"]),
            (seq_wanted, &prev.into())
        );
    }
}

/// Reads on until `last`, checking that each message says what was before it; returns how many there were.
async fn chained(ws: &mut Client, mut at: u64, last: u64) -> usize {
    let mut count = 0;
    while at != last {
        let next = ws.next().await;
        assert_eq!(next["prev"], at, "{next}");
        assert_eq!(next.get("snapshot"), None);
        at = seq(&next);
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resumes_in_an_interval_gets_every_missed_update_and_then_the_lane() {
    for ring in [1, 1_000] {
        let world = World::with(|config| config.ring_updates = ring).await;
        for price in 1..=20 {
            world.price("ETH", price);
        }
        let lane = json!({"channel": "price:ETH", "interval": 5000, "snapshot": false});
        // The lane has sent something, and something waits in it.
        let mut before = world.ws().await;
        before.subscribe(lane.clone()).await;
        world.price("ETH", 21);
        world.price("ETH", 22);
        assert_eq!(chained(&mut before, 20, 21).await, 1);

        let mut ws = world.ws().await;
        let mut resume = lane.clone();
        resume["since"] = 3.into();
        assert_eq!(ws.subscribe(resume).await["recovered"], true);
        assert_eq!(
            chained(&mut ws, 3, 22).await,
            19,
            "ring {ring}: each of them"
        );
        world.price("ETH", 23);
        world.price("ETH", 24);
        assert_eq!(chained(&mut ws, 22, 24).await, 1, "ring {ring}: the newest");
        assert_eq!(chained(&mut before, 21, 24).await, 1);
        assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
    }
}
