use std::time::Instant;

use serde_json::{Value, json};

use super::support::{Client, PATIENCE, World, seq};

/// A client whose kernel holds little for it.
async fn narrow(world: &World) -> Client {
    let socket = world.socket().await;
    socket2::SockRef::from(&socket)
        .set_recv_buffer_size(4_096)
        .unwrap();
    let mut client = world.ws_on(socket).await;
    assert_eq!(client.next().await["event"], "connected");
    client
}

async fn narrow_world() -> World {
    World::with(|config| {
        config.limits.backlog_bytes = 16_384;
        config.send_buffer_bytes = 4_096;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_gets_the_newest_price_and_is_told_what_it_skipped() {
    let world = narrow_world().await;
    let (mut slow, mut fast) = (narrow(&world).await, world.ws().await);
    slow.subscribe(json!({"channels": ["price:ETH", "price:BTC"], "snapshot": false}))
        .await;
    fast.subscribe(json!({"channel": "price:ETH", "snapshot": false}))
        .await;
    let padding = "x".repeat(1_000);
    for price in 1..=2_000 {
        let data = json!({"price": price, "padding": padding});
        world.publish("price:ETH", "price-update", &data);
        if price % 100 == 0 {
            world.publish("price:BTC", "price-update", &data);
        }
        let next = fast.next().await;
        assert_eq!(
            (seq(&next), &next["prev"]),
            (price, &(price - 1).into()),
            "others lose nothing"
        );
    }
    let (mut eth, mut btc, mut count) = (0, 0, 0);
    while (eth, btc) != (2_000, 20) {
        let next = slow.next().await;
        let last = if next["channel"] == "price:ETH" {
            &mut eth
        } else {
            &mut btc
        };
        assert_eq!(next["prev"], *last, "{}", next["channel"]);
        *last = seq(&next);
        count += 1;
    }
    assert!(count < 1_000, "{count} messages is not conflated");
    world.publish("price:ETH", "price-update", &json!({"price": 1}));
    let next = slow.next().await;
    assert_eq!((seq(&next), &next["prev"]), (2_001, &2_000.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_of_blocks_is_closed_and_resumes_with_since() {
    let world = narrow_world().await;
    let mut slow = narrow(&world).await;
    slow.subscribe(json!({"channel": "new-block"})).await;
    let begun = Instant::now();
    let padding = "x".repeat(1_000);
    let mut newest = 0;
    while world.gateway.context.hub().session_counts()[0] > 0 {
        newest = world.publish("new-block", "new-block", &json!({"padding": padding}));
        assert!(begun.elapsed() < PATIENCE, "never closed");
        tokio::task::yield_now().await;
    }
    let mut last = 0;
    let close = loop {
        match slow.message().await {
            Ok(block) => {
                assert_eq!(seq(&block), last + 1);
                last += 1;
            }
            Err(close) => break close.unwrap(),
        }
    };
    assert_eq!(u16::from(close.code), 4008);
    assert!(last < newest);
    let mut again = world.ws().await;
    let answer = again
        .subscribe(json!({"channel": "new-block", "since": last}))
        .await;
    assert_eq!(answer["recovered"], true);
    for expected in last + 1..=newest {
        assert_eq!(seq(&again.next().await), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_refused_and_then_closed() {
    let world = World::with(|config| {
        config.limits.requests = 5;
        config.limits.abuse_requests = 3;
    })
    .await;
    let mut ws = world.ws().await;
    for _ in 0..5 {
        assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
    }
    for _ in 0..3 {
        let refused = ws.request("ping", Value::Null).await;
        assert_eq!(refused["data"]["code"], "RATE_LIMITED");
        assert!(
            refused["data"]["retryAfterMs"].as_u64().unwrap() > 50_000,
            "{refused}"
        );
    }
    ws.send("ping", Value::Null).await;
    assert_eq!(ws.closed().await.0, 4029);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_client_stopped_reading_is_broken_off() {
    let world = narrow_world().await;
    let socket = world.socket().await;
    socket2::SockRef::from(&socket)
        .set_recv_buffer_size(4_096)
        .unwrap();
    let mut sse = world
        .sse_on(socket, "/realtime/sse?channels=new-block", "")
        .await;
    sse.until("event: ack").await;
    let hub = world.gateway.context.hub();
    let begun = Instant::now();
    // More than the connection and the kernel hold, so that the body is not asked for again.
    let padding = "x".repeat(10_000);
    while hub.session_counts()[2] > 0 {
        world.publish("new-block", "new-block", &json!({"padding": padding}));
        assert!(begun.elapsed() < PATIENCE, "never closed");
        tokio::task::yield_now().await;
    }
    assert!(hub.close(PATIENCE).await, "the session is held for ever");
    assert!(world.tasks.drain(PATIENCE).await);
}
