use std::time::Instant;

use serde_json::{Value, json};

use super::{
    socketio::client::Poller,
    support::{TIMEOUT, World, narrow, narrow_socket, narrow_world, seq},
};

#[tokio::test(flavor = "multi_thread")]
async fn slow_client_gets_newest_price_with_prev() {
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
async fn slow_client_of_blocks_is_closed_and_resumes() {
    let world = narrow_world().await;
    let mut slow = narrow(&world).await;
    slow.subscribe(json!({"channel": "new-block"})).await;
    let begun = Instant::now();
    let padding = "x".repeat(1_000);
    let mut newest = 0;
    while world.gateway.hub.session_counts()[0] > 0 {
        newest = world.publish("new-block", "new-block", &json!({"padding": padding}));
        assert!(begun.elapsed() < TIMEOUT, "never closed");
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
async fn flood_is_rejected_then_closed() {
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
            refused["data"]["retryAfterMs"].as_u64().unwrap() > 10_000,
            "{refused}"
        );
    }
    ws.send("ping", Value::Null).await;
    assert_eq!(ws.closed().await.0, 4029);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_stream_is_closed() {
    let world = narrow_world().await;
    let socket = narrow_socket(&world).await;
    let mut sse = world
        .sse_on(socket, "/realtime/sse?channels=new-block", "")
        .await;
    sse.until("event: ack").await;
    let hub = &world.gateway.hub;
    let begun = Instant::now();
    // More than the buffers of connection and kernel.
    let padding = "x".repeat(10_000);
    let mut published = 0;
    while hub.session_counts()[2] > 0 {
        world.publish("new-block", "new-block", &json!({"padding": padding}));
        published += padding.len();
        assert!(published < 2_000_000, "the kernel hides a slow stream");
        assert!(begun.elapsed() < TIMEOUT, "never closed");
        tokio::task::yield_now().await;
    }
    assert!(hub.close(TIMEOUT).await, "the session never ends");
    assert!(world.tasks.drain(TIMEOUT).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stuck_clients_delay_no_others_and_are_bounded() {
    let world = narrow_world().await;
    let bound = world.gateway.context.config().limits.backlog_bytes;
    let latest = json!({"channel": "price:ETH", "snapshot": false});
    let mut stuck = Vec::new();
    for _ in 0..3 {
        let mut slow = narrow(&world).await;
        slow.subscribe(latest.clone()).await;
        stuck.push(slow);
    }
    let target = "/realtime/sse?channels=price:ETH&snapshot=false";
    let mut stream = world.sse_on(narrow_socket(&world).await, target, "").await;
    stream.until("event: ack").await;
    let poller = Poller::open(&world, "").await;
    poller.join(r#"{"autoSubscribe":false}"#).await;
    let subscribe = format!(r#"42/realtime,1["subscribe",{latest}]"#);
    assert_eq!(poller.post(subscribe).await.0, 200);
    let mut fast = world.ws().await;
    fast.subscribe(latest).await;

    // The fast client gets each update before the next is published: no client delays it.
    let padding = "x".repeat(1_000);
    for price in 1..=2_000 {
        let data = json!({"price": price, "padding": padding});
        world.publish("price:ETH", "price-update", &data);
        let next = fast.next().await;
        assert_eq!((seq(&next), &next["prev"]), (price, &(price - 1).into()));
        for session in world.gateway.hub.sessions() {
            let backlog = session.backlog_bytes();
            assert!(
                backlog <= bound,
                "backlog of {backlog} bytes in {session:?}"
            );
        }
    }
    // None was closed; each gets the newest update, with the right `prev`.
    for slow in &mut stuck {
        let mut last = 0;
        while last != 2_000 {
            let next = slow.next().await;
            assert_eq!(next["prev"], last);
            last = seq(&next);
        }
    }
    stream.until(r#""seq":2000"#).await;
    let mut newest = String::new();
    while !newest.contains(r#""seq":2000"#) {
        newest = poller.packets().await.pop().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_slow_connection_is_released() {
    let world = narrow_world().await;
    let hub = &world.gateway.hub;
    for until_closed in [true, false] {
        let mut slow = narrow(&world).await;
        slow.subscribe(json!({"channel": "new-block", "mode": "all"}))
            .await;
        let padding = "x".repeat(1_000);
        let begun = Instant::now();
        // Until the session ends as slow with a partial packet, or only until it has a backlog.
        while if until_closed {
            hub.session_counts()[0] > 0
        } else {
            !hub.sessions()[0].has_backlog()
        } {
            world.publish("new-block", "new-block", &json!({"padding": padding}));
            assert!(begun.elapsed() < TIMEOUT, "never full");
        }
        let socket = slow.stream.into_inner();
        socket2::SockRef::from(&socket)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(socket);
        let left = async {
            while hub.session_counts()[0] > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(TIMEOUT, left)
            .await
            .expect("the session ends");
    }
    assert!(hub.close(TIMEOUT).await, "all sessions have ended");
    assert!(world.tasks.drain(TIMEOUT).await);
}
