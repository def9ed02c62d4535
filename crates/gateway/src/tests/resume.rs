use std::time::Duration;

use serde_json::json;

use super::support::{World, seq};

#[tokio::test(flavor = "multi_thread")]
async fn resume_replays_in_order_then_live() {
    for ring in [1, 8, 1_000] {
        let world = World::with(|config| {
            config.ring_updates = ring;
            config.limits.backlog_bytes = 16_384;
        })
        .await;
        for number in 1..=400 {
            world.block(number);
        }
        let mut ws = world.ws().await;
        let read = std::cell::Cell::new(0);
        let publishing = async {
            for number in 401..=1_200 {
                world.block(number);
                tokio::time::sleep(Duration::from_micros(200)).await;
                // Never further ahead of the reader than the backlog limit, on slow machines too.
                while number > read.get().max(400) + 100 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let reading = async {
            let answer = ws
                .subscribe(json!({"channel": "new-block", "since": 3, "epoch": "epoch1"}))
                .await;
            assert_eq!(answer["recovered"], true, "ring {ring}: {answer}");
            for expected in 4..=1_200 {
                let block = ws.next().await;
                assert_eq!(seq(&block), expected, "ring {ring}: {block}");
                assert_eq!(block["data"]["number"], expected);
                assert_eq!(block.get("snapshot"), None);
                read.set(expected);
            }
        };
        tokio::join!(publishing, reading);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_join_without_gap_or_duplicate() {
    let world = World::start().await;
    for price in 1..=10 {
        world.price("ETH", price);
    }
    let readers = futures_util::future::join_all((0..20).map(|reader| {
        let world = &world;
        async move {
            let mut ws = world.ws().await;
            tokio::time::sleep(Duration::from_millis(reader)).await;
            let answer = ws.subscribe(json!({"channel": "price:ETH"})).await;
            let mut last = answer["seq"].as_u64().unwrap();
            assert_eq!(seq(&ws.next().await), last, "the snapshot");
            while last < 500 {
                let next = ws.next().await;
                assert_eq!((seq(&next), &next["prev"]), (last + 1, &last.into()));
                last += 1;
            }
        }
    }));
    let publishing = async {
        for price in 11..=500 {
            world.price("ETH", price);
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    };
    tokio::join!(readers, publishing);
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable_history_falls_back_to_snapshot() {
    let world = World::with(|config| {
        config.ring_updates = 4;
        config.replay_updates = 20;
    })
    .await;
    for number in 1..=50 {
        world.block(number);
    }
    world.log.prune(34);
    let mut ws = world.ws().await;
    for (since, epoch, recovered) in [
        (50, "epoch1", true),
        (48, "epoch1", true),
        (34, "epoch1", true),
        (33, "epoch1", false),
        (20, "epoch1", false),
        (51, "epoch1", false),
        (48, "another", false),
    ] {
        let answer = ws
            .subscribe(json!({"channel": "new-block", "since": since, "epoch": epoch}))
            .await;
        assert_eq!(answer["recovered"], recovered, "since {since} in {epoch}");
        assert_eq!(answer["seq"], 50);
        if recovered {
            for expected in since + 1..=50 {
                assert_eq!(seq(&ws.next().await), expected);
            }
        } else {
            let snapshot = ws.next().await;
            assert_eq!((seq(&snapshot), &snapshot["snapshot"]), (50, &true.into()));
        }
    }
    let answer = ws
        .subscribe(json!({"channel": "new-block", "since": 1, "snapshot": false}))
        .await;
    assert_eq!(answer["recovered"], false);
    world.block(51);
    assert_eq!(seq(&ws.next().await), 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_ahead_of_the_hub_gets_the_next_update() {
    let world = World::start().await;
    world.block(1);
    let mut ws = world.ws().await;
    // Committed, and read by the client from the store, but not yet delivered to this hub.
    let ahead: Vec<_> = (2..=4)
        .map(|number| {
            world
                .log
                .append("new-block", "new-block", &json!({"number": number}))
        })
        .collect();
    let answer = ws
        .subscribe(json!({"channel": "new-block", "since": 3}))
        .await;
    assert_eq!(
        (&answer["recovered"], &answer["seq"]),
        (&true.into(), &3.into())
    );
    world.gateway.hub.publish(&ahead, std::time::Instant::now());
    assert_eq!(seq(&ws.next().await), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_hub_starts_at_store_position() {
    let world = World::start().await;
    let stored: Vec<_> = (1..=5)
        .map(|price| {
            world
                .log
                .append("price:ETH", "price-update", &json!({"price": price}))
        })
        .collect();
    let mut ws = world.ws().await;
    let answer = ws.subscribe(json!({"channel": "price:ETH"})).await;
    assert_eq!(answer["seq"], 5);
    assert_eq!(seq(&ws.next().await), 5);
    // The commit stream lags behind the read: its older updates are known already.
    world
        .gateway
        .hub
        .publish(&stored[3..], std::time::Instant::now());
    world.price("ETH", 6);
    assert_eq!(seq(&ws.next().await), 6);
    let mut later = world.ws().await;
    let answer = later
        .subscribe(json!({"channel": "price:ETH", "since": 1}))
        .await;
    assert_eq!(answer["recovered"], true);
    for expected in 2..=6 {
        let update = later.next().await;
        assert_eq!(
            (seq(&update), &update["prev"]),
            (expected, &(expected - 1).into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_stream_resumes_all_channels() {
    let world = World::start().await;
    world.block(1);
    world.price("ETH", 1);
    let mut sse = world
        .sse("/realtime/sse?channels=new-block,price:eth", "")
        .await;
    assert!(
        sse.head.contains("content-type: text/event-stream"),
        "{}",
        sse.head
    );
    sse.until("event: connected").await;
    let text = sse.until("id: new-block@1,price:ETH@1\n").await;
    assert!(
        text.contains("event: ack") && text.contains("\"price\":1"),
        "{text}"
    );
    world.block(2);
    sse.until("id: new-block@2,price:ETH@1\n").await;
    drop(sse);
    world.price("ETH", 2);
    world.block(3);
    for (query, header) in [
        ("", "Last-Event-ID: new-block@2,price:ETH@1\r\n"),
        ("&since=new-block@2,price:ETH@1&epoch=epoch1", ""),
        (
            "&since=new-block@9,price:ETH@9",
            "Last-Event-ID: new-block@2,price:ETH@1\r\n",
        ),
    ] {
        let target = format!("/realtime/sse?channels=new-block,price:eth{query}");
        let mut sse = world.sse(&target, header).await;
        let text = sse.until("id: new-block@3,price:ETH@2\n").await;
        assert!(
            text.contains("\"number\":3") && text.contains("\"price\":2"),
            "{text}"
        );
        assert!(
            !text.contains("snapshot") && !text.contains("\"number\":2"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_too_many_since_positions() {
    let world = World::with(|config| config.limits.channels_per_request = 2).await;
    let mut ws = world.ws().await;
    let since = json!({"price:ETH": 0, "price:BTC": 0, "new-block": 0});
    let answer = ws
        .request(
            "subscribe",
            json!({"channels": ["price:ETH"], "since": since}),
        )
        .await;
    assert_eq!(answer["data"]["code"], "BAD_REQUEST", "{answer}");
    let since = "price:ETH@0,price:BTC@0,new-block@0";
    let target = "/realtime/sse?channels=price:ETH";
    let sse = world.sse(&format!("{target}&since={since}"), "").await;
    assert!(sse.head.starts_with("HTTP/1.1 400"), "{}", sse.head);
    // `Last-Event-ID` is not the client's choice.
    let header = format!("Last-Event-ID: {since}\r\n");
    let sse = world.sse(target, &header).await;
    assert!(sse.head.starts_with("HTTP/1.1 200"), "{}", sse.head);
}
