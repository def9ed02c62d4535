//! Statistics of the hub, collected without blocking it.

use std::time::Instant;

use super::support::World;
use crate::{
    session::{Opener, PollOutcome, Session},
    stats::{Filter, top_channels},
};
use chaincast_protocol::encode::{Packet, Wire};

#[tokio::test]
async fn top_channels_finds_the_busiest() {
    let world = World::start().await;
    let hub = &world.gateway.hub;
    {
        let mut channels = hub.channels();
        for number in 0..3_000 {
            let channel = format!("user:{number}").parse().unwrap();
            let slot = channels.slot(&channel, Instant::now());
            channels.slots[slot].subscription_count = number;
        }
    }
    let top = top_channels(hub, &Filter::new(None), 3);
    assert_eq!(top.subscriptions, (0..3_000).sum::<usize>());
    // The one without a subscriber is excluded.
    assert_eq!(top.matching, 2_999);
    let found: Vec<_> = top.channels.iter().map(|one| &*one.name.plain).collect();
    assert_eq!(found, ["user:2999", "user:2998", "user:2997"]);
    let some = top_channels(hub, &Filter::new(Some("user:17*")), 1_000);
    assert_eq!(some.matching, 111);
    assert_eq!(some.channels.last().unwrap().subscribers, 17);
}

#[tokio::test]
async fn backlog_is_measured_until_sent() {
    let world = World::start().await;
    let hub = &world.gateway.hub;
    let sessions: Vec<_> = (0..3)
        .map(|_| hub.open(Wire::Sse, Opener::default()).unwrap())
        .collect();
    let monitor = &world.gateway.parts.backlog;
    sessions[0].queue(Packet::raw("x".repeat(1_000)));
    sessions[1].queue(Packet::raw("x".repeat(3_000)));
    monitor.measure();
    let backlog = monitor.last();
    assert_eq!(
        (backlog.bytes, backlog.largest, backlog.sessions),
        (4_000, 3_000, 2)
    );
    for session in &sessions[..2] {
        assert!(matches!(
            session.take(usize::MAX).await,
            PollOutcome::Payloads(_)
        ));
    }
    assert_eq!(traffic(&sessions[1]), (1, 3_000, 3_000), "in flight");
    for session in &sessions[..2] {
        session.response_finished();
    }
    assert_eq!(traffic(&sessions[1]), (1, 3_000, 0));
    monitor.measure();
    assert_eq!(monitor.last(), Default::default());
}

/// Messages and bytes sent, and bytes queued.
fn traffic(session: &Session) -> (u64, u64, usize) {
    let traffic = session.end_fields().traffic;
    (traffic.messages, traffic.bytes, traffic.backlog_bytes)
}
