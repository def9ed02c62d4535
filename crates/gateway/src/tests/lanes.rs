use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Client, World, seq};
use crate::hub::{Fanout, RingLimits};
use chaincast_protocol::{Channel, Update};

const RING: RingLimits = RingLimits {
    updates: 8,
    bytes: usize::MAX,
};

#[tokio::test(flavor = "multi_thread")]
async fn late_timer_does_not_send_stale_update() {
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
    let mut turn = Fanout::new(1);
    {
        let mut channels = world.gateway.hub.channels();
        let slot = channels.find(&channel).unwrap();
        let state = &mut channels.slots[slot];
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        state.publish(slot, update(2).into(), RING, at(0), &mut turn);
        let wakes = state.publish(slot, update(3).into(), RING, at(1), &mut turn);
        assert_eq!(wakes.len(), 1, "3 is held back until the interval ends");
        // The timer was due at 5 s, and is late.
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
async fn interval_sends_first_then_newest_at_end() {
    let world = World::start().await;
    world.price("ETH", 1);
    let (mut early, mut late) = (world.ws().await, world.ws().await);
    let options = json!({"channel": "price:ETH", "interval": 1000});
    early.subscribe(options.clone()).await;
    assert_eq!(early.next().await["snapshot"], true);
    let begun = Instant::now();
    for price in 2..=8 {
        world.price("ETH", price);
    }
    let first = early.next().await;
    assert_eq!((seq(&first), &first["prev"]), (2, &1.into()));
    late.subscribe(options).await;
    assert_eq!(
        seq(&late.next().await),
        8,
        "the snapshot of a later subscriber"
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
        "the snapshot is not sent twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outdated_timer_does_not_send_early() {
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
    let mut turn = Fanout::new(1);
    {
        let mut channels = world.gateway.hub.channels();
        let slot = channels.find(&channel).unwrap();
        let state = &mut channels.slots[slot];
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        state.publish(slot, update(2).into(), RING, at(0), &mut turn);
        let first = state.publish(slot, update(3).into(), RING, at(1), &mut turn);
        // The timer was due at 5 s, and is late: 4 is sent at 6 s, and 5 is held back until 11 s.
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

/// Reads until `last` and checks the `prev` of each message; returns the number of messages.
async fn read_chain(ws: &mut Client, mut at: u64, last: u64) -> usize {
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
async fn resume_with_interval_replays_then_conflates() {
    for ring in [1, 1_000] {
        let world = World::with(|config| config.ring_updates = ring).await;
        for price in 1..=20 {
            world.price("ETH", price);
        }
        let lane = json!({"channel": "price:ETH", "interval": 5000, "snapshot": false});
        // The lane has sent an update and holds one back.
        let mut before = world.ws().await;
        before.subscribe(lane.clone()).await;
        world.price("ETH", 21);
        world.price("ETH", 22);
        assert_eq!(read_chain(&mut before, 20, 21).await, 1);

        let mut ws = world.ws().await;
        let mut resume = lane.clone();
        resume["since"] = 3.into();
        assert_eq!(ws.subscribe(resume).await["recovered"], true);
        assert_eq!(
            read_chain(&mut ws, 3, 22).await,
            19,
            "ring {ring}: each of them"
        );
        world.price("ETH", 23);
        world.price("ETH", 24);
        assert_eq!(
            read_chain(&mut ws, 22, 24).await,
            1,
            "ring {ring}: the newest"
        );
        assert_eq!(read_chain(&mut before, 21, 24).await, 1);
        assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
    }
}
