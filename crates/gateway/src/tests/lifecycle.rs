use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{TIMEOUT, World, seq};
use crate::session::{Opener, PollOutcome};
use chaincast_protocol::{CloseReason, encode::Wire};

#[tokio::test(flavor = "multi_thread")]
async fn subscribe_sends_ack_snapshot_then_live() {
    let world = World::start().await;
    world.price("ETH", 1);
    world.price("ETH", 2);
    let mut ws = world.ws().await;
    let answer = ws.subscribe(json!({"channel": "PRICE:eth"})).await;
    assert_eq!(
        answer,
        json!({"success": true, "channel": "price:ETH", "seq": 2, "recovered": false})
    );
    let snapshot = ws.next().await;
    assert_eq!(
        snapshot,
        json!({"event": "price-update", "channel": "price:ETH", "seq": 2, "prev": 0, "snapshot": true,
               "data": {"token": "ETH", "price": 2}})
    );
    world.price("ETH", 3);
    let live = ws.next().await;
    assert_eq!((&live["seq"], &live["prev"]), (&3.into(), &2.into()));
    assert_eq!(live.get("snapshot"), None);
    ws.request("unsubscribe", json!({"channel": "price:ETH"}))
        .await;
    world.price("ETH", 4);
    assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_during_first_read_is_not_lost() {
    let world = World::start().await;
    world
        .log
        .append("price:ETH", "price-update", &json!({"price": 1}));
    let log = world.log.clone();
    let (sender, committed) = std::sync::mpsc::channel();
    world.log.after_next_read(move || {
        let update = log.append("price:ETH", "price-update", &json!({"price": 2}));
        sender.send(update).unwrap();
    });
    let mut ws = world.ws().await;
    let answer = ws.subscribe(json!({"channel": "price:ETH"})).await;
    assert_eq!(answer["seq"], 2);
    let snapshot = ws.next().await;
    assert_eq!((seq(&snapshot), &snapshot["data"]["price"]), (2, &2.into()));
    let late = committed.try_recv().unwrap();
    world
        .gateway
        .hub
        .publish(&[late], std::time::Instant::now());
    world.price("ETH", 3);
    let live = ws.next().await;
    assert_eq!((seq(&live), &live["prev"]), (3, &2.into()), "no duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn resubscribe_replaces_options() {
    let world = World::start().await;
    world.price("ETH", 1);
    let mut ws = world.ws().await;
    ws.subscribe(json!({"channel": "price:ETH", "snapshot": false}))
        .await;
    ws.subscribe(json!({"channel": "price:ETH", "snapshot": false, "mode": "all"}))
        .await;
    let listed = ws.request("subscriptions", Value::Null).await;
    assert_eq!(
        listed["data"]["channels"],
        json!([{"channel": "price:ETH", "mode": "all", "interval": 0, "seq": 1}])
    );
    world.price("ETH", 2);
    let live = ws.next().await;
    assert_eq!((seq(&live), live.get("prev")), (2, None));
    assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_hub_sends_retry_delays() {
    let world = World::with(|config| config.reconnect_window_ms = 700).await;
    world.block(1);
    let mut ws = world.ws().await;
    ws.subscribe(json!({"channel": "new-block"})).await;
    let mut sse = world.sse("/realtime/sse?channels=new-block", "").await;
    sse.until("\"snapshot\":true").await;
    let gateway = world.gateway.clone();
    let closing = tokio::spawn(async move { gateway.close(TIMEOUT).await });
    let (code, reason) = ws.closed().await;
    assert_eq!(code, 1001);
    let reason: Value = serde_json::from_str(&reason).unwrap();
    assert!(reason["retryAfterMs"].as_u64().unwrap() <= 700, "{reason}");
    sse.until("\"code\":1001").await;
    drop((ws, sse));
    tokio::time::timeout(TIMEOUT, closing)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.gateway.hub.session_counts(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_session_is_pinged_then_closed() {
    let world = World::with(|config| {
        config.ping_interval_ms = 500;
        config.ping_timeout_ms = 5_500;
    })
    .await;
    let mut lively = world.ws().await;
    let mut socket = world.socket().await;
    let request = "GET /realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let opened = Instant::now();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let ended = {
        let reading = tokio::time::timeout(TIMEOUT, socket.read_to_end(&mut read));
        tokio::pin!(reading);
        loop {
            tokio::select! {
                ended = &mut reading => break ended,
                // The client library answers pings while reading.
                frame = lively.stream.next() => assert!(frame.is_some_and(|frame| frame.is_ok())),
            }
        }
    };
    ended.unwrap().unwrap();
    // The hub's timers have a resolution of 1 ms.
    assert!(opened.elapsed() >= Duration::from_millis(5_990));
    let still = lively.request("ping", Value::Null).await;
    assert!(read.windows(2).any(|frame| frame == b"\x89\x00"), "a ping");
    assert!(
        read.ends_with(b"\x88\x12\x0f\xa0heartbeat missed"),
        "code 4000"
    );
    assert_eq!(still["event"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_closes_after_close_packet_is_queued() {
    let world = World::start().await;
    let hub = &world.gateway.hub;
    let session = hub.open(Wire::SocketIo, Opener::default()).unwrap();
    // `end` blocks on this lock.
    let held = hub.channels();
    let ending = {
        let session = session.clone();
        std::thread::spawn(move || session.end(CloseReason::Slow))
    };
    let begun = Instant::now();
    while session.ended().is_none() {
        assert!(begun.elapsed() < TIMEOUT);
        std::thread::yield_now();
    }
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(session.poll_take(&mut cx, 100).is_pending());
    assert_eq!(session.closed(), None);
    drop(held);
    ending.join().unwrap();
    assert_eq!(session.closed(), Some(&CloseReason::Slow));
    assert!(matches!(session.take(100).await, PollOutcome::Payloads(_)));
    assert_eq!(session.take(100).await, PollOutcome::Ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_counted_until_they_end() {
    let world = World::with(|config| config.limits.connections_per_address = 2).await;
    let (context, begun) = (world.gateway.context.clone(), Instant::now());
    let url = format!(
        "http://127.0.0.1:{}/socket.io/?EIO=4&transport=polling",
        world.port
    );
    let polled = reqwest::get(&url).await.unwrap();
    assert_eq!(polled.status(), 200);
    assert_eq!(
        (
            context.connections().open(),
            context.connections().sockets()
        ),
        (1, 0)
    );
    let ws = world.ws().await;
    assert_eq!(
        (
            context.connections().open(),
            context.connections().sockets()
        ),
        (2, 1)
    );
    // A rejected client counts as a socket, not as a connection, until it has read the close frame.
    loop {
        let refused = world.ws_on(world.socket().await).await;
        if context.connections().sockets() > 1 {
            assert_eq!(context.connections().open(), 2);
            break drop(refused);
        }
        assert!(begun.elapsed() < TIMEOUT, "never counted");
    }
    drop(ws);
    while context.connections().sockets() > 0 {
        assert!(begun.elapsed() < TIMEOUT, "still counted");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn close_is_echoed_and_frees_the_connection_slot() {
    let world = World::with(|config| config.limits.connections_per_address = 1).await;
    let mut ws = world.ws().await;
    let mut second = world.ws_on(world.socket().await).await;
    assert_eq!(second.closed().await.0, 4030);
    ws.stream.close(None).await.unwrap();
    assert_eq!(ws.message().await, Err(None));
    let begun = Instant::now();
    loop {
        let mut again = world.ws_on(world.socket().await).await;
        if again.message().await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < TIMEOUT, "the slot was never freed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_errors_are_http_errors() {
    let world = World::start().await;
    for (target, status) in [
        ("/realtime/sse", "400"),
        ("/realtime/sse?channels=nope", "404"),
        ("/realtime/sse?channels=new-block,price:NOPE", "404"),
        ("/realtime/sse?channels=new-block&since=x", "400"),
        ("/realtime/sse?channels=new-block&interval=100", "400"),
        ("/realtime/sse?channels=user:bob", "401"),
        ("/realtime", "426"),
    ] {
        let sse = world.sse(target, "").await;
        assert!(
            sse.head.starts_with(&format!("HTTP/1.1 {status}")),
            "{target}: {}",
            sse.head
        );
        assert!(
            sse.head.contains("application/problem+json"),
            "{}",
            sse.head
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_outage_is_an_error_answer() {
    let world = World::start().await;
    world.log.set_down(true);
    let mut ws = world.ws().await;
    let answer = ws
        .request("subscribe", json!({"channel": "price:ETH"}))
        .await;
    assert_eq!(answer["data"]["code"], "INTERNAL");
    world.log.set_down(false);
    assert_eq!(
        ws.subscribe(json!({"channel": "price:ETH"})).await["seq"],
        0
    );
    world.price("ETH", 1);
    assert_eq!(seq(&ws.next().await), 1);
}

#[test]
fn idle_session_is_small() {
    // The goal is 4 KB in total, including kernel registration and task header.
    let session = std::mem::size_of::<crate::session::Session>();
    assert!(session <= 768, "{session} bytes");
}
