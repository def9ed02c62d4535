//! The total backlog of all sessions is bounded, without loss for clients that read.

use std::time::Instant;

use serde_json::json;

use super::support::{TIMEOUT, World, narrow, seq};
use crate::{hub::Hub, session::BacklogTotal};
use chaincast_protocol::Update;

const LIMIT: usize = 1_000_000;

async fn world() -> World {
    World::with(|config| {
        config.backlog_total_bytes = LIMIT;
        config.limits.backlog_bytes = 400_000;
        config.send_buffer_bytes = 4_096;
        // A client that does not read does not answer pings either.
        config.ping_timeout_ms = 600_000;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn fullest_sessions_are_closed_first() {
    let world = world().await;
    let hub = world.gateway.hub.clone();
    let backlog_total = world.gateway.parts.backlog_total.clone();
    let mut reader = world.ws().await;
    reader.subscribe(json!({"channel": "new-block"})).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut client = narrow(&world).await;
        client.subscribe(json!({"channel": "new-block"})).await;
        slow.push(client);
    }
    let (started, padding) = (Instant::now(), "x".repeat(4_000));
    let mut last = 0;
    // The limit per session alone would permit 400 KB each.
    while hub.session_counts()[0] > 4 {
        last = world.publish("new-block", "new-block", &json!({"padding": padding}));
        assert_eq!(seq(&reader.next().await), last, "others lose nothing");
        let backlog = backlog_total.bytes();
        assert!(
            backlog <= LIMIT / 8 * 9 + 8 * 8_192,
            "backlog of {backlog} bytes"
        );
        assert!(started.elapsed() < TIMEOUT);
    }
    assert!(last > 0);
    // Which of them had the largest backlogs depends on what the kernel accepted.
    let closed = slow.iter_mut().map(|client| Box::pin(client.closed()));
    let ((code, _), ..) = futures_util::future::select_all(closed).await;
    assert_eq!(code, 4008);
    // Ended sessions release their backlog.
    drop((slow, reader));
    while backlog_total.bytes() > 0 || hub.session_counts()[0] > 0 {
        world.publish("new-block", "new-block", &json!({"padding": padding}));
        assert!(started.elapsed() < TIMEOUT);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_closes_no_reading_session() {
    let world = World::with(|config| {
        config.backlog_total_bytes = LIMIT;
        // The kernel accepts the whole burst.
        config.send_buffer_bytes = 1 << 20;
    })
    .await;
    let mut readers = Vec::new();
    for _ in 0..16 {
        let mut client = world.ws().await;
        client.subscribe(json!({"channel": "new-block"})).await;
        readers.push(client);
    }
    let data = json!({"padding": "x".repeat(4_000)});
    let commit: Vec<Update> = (0..30)
        .map(|_| world.log.append("new-block", "new-block", &data))
        .collect();
    let bytes: usize = commit.iter().map(|update| update.data.len()).sum();
    assert!(bytes * readers.len() > LIMIT / 8 * 9);
    let hub = &world.gateway.hub;
    let backlog_total = world.gateway.parts.backlog_total.clone();
    hub.publish(&commit, Instant::now());
    for reader in &mut readers {
        for update in &commit {
            assert_eq!(seq(&reader.next().await), update.seq);
        }
    }
    assert_eq!(hub.session_counts()[0], readers.len());
    assert_eq!(backlog_total.bytes(), 0);
}

/// Whether some session has packets that no write has tried to send.
fn has_unwritten(hub: &Hub) -> bool {
    hub.sessions()
        .iter()
        .any(|session| session.unread_bytes() != BacklogTotal::counted(session.backlog_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn conflating_sessions_share_the_bound() {
    let world = world().await;
    let hub = world.gateway.hub.clone();
    let backlog_total = world.gateway.parts.backlog_total.clone();
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut client = narrow(&world).await;
        client
            .subscribe(json!({"channel": "price:ETH", "snapshot": false}))
            .await;
        slow.push(client);
    }
    let (started, padding) = (Instant::now(), "x".repeat(4_000));
    let mut newest = 0;
    // Far more than the limit; close to it only once each session has its share.
    while newest < 500 {
        let backlog = backlog_total.bytes();
        assert!(backlog <= LIMIT, "backlog of {backlog} bytes");
        let has_share = backlog_total.bound(LIMIT, LIMIT) < LIMIT;
        if backlog <= LIMIT / 4 * 3 || has_share {
            newest = world.publish("price:ETH", "price-update", &json!({"padding": padding}));
        }
        // What was queued since the last write does not count: a burst would exceed the limit before it is noticed.
        while has_unwritten(&hub) {
            assert!(started.elapsed() < TIMEOUT);
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.session_counts()[0], 8, "none was closed");
    // Concurrently: a client with a closed window for long is disconnected.
    let reading = slow.iter_mut().map(|client| async move {
        let mut last = 0;
        while last != newest {
            let next = client.next().await;
            assert_eq!(next["prev"], last);
            last = seq(&next);
        }
    });
    futures_util::future::join_all(reading).await;
}
