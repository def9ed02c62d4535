//! Engine.IO 4: the cases of its protocol document, over both transports.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, http::StatusCode},
};

use super::client::{Poller, Socket, http, url};
use crate::tests::support::World;

const QUIET: &str = r#"{"autoSubscribe":false}"#;

/// The content of an open packet; checks that it has exactly the specified keys.
fn opened(packet: &str) -> Value {
    let open: Value = serde_json::from_str(packet.strip_prefix('0').unwrap()).unwrap();
    let keys: Vec<&String> = open.as_object().unwrap().keys().collect();
    let wanted = [
        "maxPayload",
        "pingInterval",
        "pingTimeout",
        "sid",
        "upgrades",
    ];
    assert_eq!(keys, wanted);
    assert!(open["sid"].as_str().is_some_and(|sid| sid.len() >= 20));
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn handshake_has_all_fields() {
    let world = World::with(|config| {
        config.ping_interval_ms = 25_000;
        config.ping_timeout_ms = 20_000;
        config.limits.message_bytes = 50_000;
    })
    .await;
    let target = url(&world, "EIO=4&transport=polling&t=abc");
    let response = http().get(target).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let polling = opened(&response.text().await.unwrap());
    let websocket = opened(&Socket::open(&world, None).await.text().await);
    for open in [&polling, &websocket] {
        assert_eq!(open["pingInterval"], 25_000);
        assert_eq!(open["pingTimeout"], 20_000);
        assert_eq!(open["maxPayload"], 50_000);
    }
    assert_eq!(polling["upgrades"], json!(["websocket"]));
    assert_eq!(websocket["upgrades"], json!([]));
    assert_ne!(polling["sid"], websocket["sid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_invalid_websocket_requests() {
    let world = World::start().await;
    let served = Socket::open(&world, None).await.text().await;
    let served = opened(&served)["sid"].as_str().unwrap().to_owned();
    for (case, query) in [
        ("no version", "transport=websocket".to_owned()),
        (
            "a version that is not a number",
            "EIO=abc&transport=websocket".to_owned(),
        ),
        ("an older version", "EIO=3&transport=websocket".to_owned()),
        ("no transport", "EIO=4".to_owned()),
        ("an unknown transport", "EIO=4&transport=abc".to_owned()),
        (
            "an unknown session",
            "EIO=4&transport=websocket&sid=nope".to_owned(),
        ),
        (
            "a session that has its websocket",
            format!("EIO=4&transport=websocket&sid={served}"),
        ),
    ] {
        let target = format!("ws://127.0.0.1:{}/socket.io/?{query}", world.port);
        match client_async(target, world.socket().await).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_carries_several_packets() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    for (case, posted, polled) in [
        ("a packet without content", "2", "3"),
        ("a packet with content", "2hello", "3hello"),
        (
            "several packets",
            "2one\u{1e}2two\u{1e}2three",
            "3one\u{1e}3two\u{1e}3three",
        ),
        ("characters of several bytes", "2€\u{1e}2長", "3€\u{1e}3長"),
        ("packets without a reply", "3\u{1e}6\u{1e}5\u{1e}2", "3"),
    ] {
        assert_eq!(poller.post(posted).await, (200, "ok".to_owned()), "{case}");
        assert_eq!(poller.get().await, (200, polled.to_owned()), "{case}");
    }
    let mut socket = Socket::open(&world, None).await;
    opened(&socket.text().await);
    for text in ["", "hello", "長"] {
        socket.send(&format!("2{text}")).await;
        assert_eq!(socket.text().await, format!("3{text}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_packet_ends_session() {
    let world = World::start().await;
    for (case, packet) in [
        ("an empty packet", ""),
        ("an open packet, which only servers send", "0{}"),
        ("an unknown type", "7"),
        ("a word", "abc"),
        ("a type of several bytes", "長"),
        ("binary that is not base64", "b!!"),
        ("binary without a packet", "bAQIDBA=="),
        ("a valid packet and an empty one", "2\u{1e}"),
        ("the framing of the previous version", "1:2"),
    ] {
        let poller = Poller::open(&world, "").await;
        // A WebSocket message is one packet: the separator is a part of its text.
        if !packet.contains('\u{1e}') && packet != "1:2" {
            let mut socket = Socket::open(&world, None).await;
            opened(&socket.text().await);
            socket.send(packet).await;
            assert_eq!(socket.closed().await, Some(1002), "{case}");
        }
        let (status, _) = poller.post(packet).await;
        // Invalid only by content, or as a packet.
        let well_formed = packet.starts_with("bAQ") || packet == "1:2";
        assert_eq!(status, if well_formed { 200 } else { 400 }, "{case}");
        poller.removed().await;
    }
    let mut socket = Socket::open(&world, None).await;
    opened(&socket.text().await);
    socket.binary(&[4, 1, 2]).await;
    assert_eq!(socket.closed().await, Some(1002), "binary without a packet");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_posts_end_session() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let mut slow = world.socket().await;
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n2",
        poller.sid
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Until the server reads the first one, others are accepted.
    while poller.post("3").await.0 == 200 {}
    poller.removed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_pings_and_keeps_answering_clients() {
    let world = World::with(|config| {
        config.ping_interval_ms = 100;
        config.ping_timeout_ms = 60_000;
    })
    .await;
    let mut socket = Socket::join(&world, QUIET).await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    for _ in 0..3 {
        assert_eq!(socket.text().await, "2");
        socket.send("3").await;
        assert_eq!(poller.until("2").await, "");
        assert_eq!(poller.post("3").await, (200, "ok".to_owned()));
    }
    assert_eq!(world.gateway.hub.session_counts(), [0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_without_pong_is_closed() {
    let world = World::with(|config| {
        config.ping_interval_ms = 100;
        config.ping_timeout_ms = 4_000;
    })
    .await;
    let mut socket = Socket::join(&world, QUIET).await;
    assert_eq!(socket.closed().await, Some(4000));
    assert!(socket.pings > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn close_packet_ends_session() {
    let world = World::start().await;
    let mut socket = Socket::open(&world, None).await;
    opened(&socket.text().await);
    socket.send("1").await;
    socket.closed().await;
    let poller = Poller::open(&world, "").await;
    assert_eq!(poller.post("1").await, (200, "ok".to_owned()));
    poller.removed().await;
    assert_eq!(poller.post("2").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_is_upgraded_once() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let again = |case: &'static str| {
        let (world, sid) = (&world, poller.sid.clone());
        async move {
            let query = format!("EIO=4&transport=websocket&sid={sid}");
            let target = format!("ws://127.0.0.1:{}/socket.io/?{query}", world.port);
            let Err(Error::Http(response)) = client_async(target, world.socket().await).await
            else {
                panic!("{case}: accepted");
            };
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{case}");
        }
    };
    let mut socket = Socket::open(&world, Some(&poller.sid)).await;
    again("during another upgrade").await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    again("after the probe of another upgrade").await;
    socket.send("5").await;
    socket.send("2hello").await;
    // Packets queued before the upgrade arrive first.
    while socket.text().await != "3hello" {}
    again("after another upgrade").await;
    assert_eq!(poller.get().await.0, 400);
    assert_eq!(poller.post("2").await.0, 400);
    socket.send("2still").await;
    assert_eq!(socket.text().await, "3still");
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_of_sessions_are_independent() {
    let world = World::start().await;
    let pollers = join_all((0..20).map(|_| Poller::open(&world, ""))).await;
    let waiting: Vec<_> = pollers
        .iter()
        .cloned()
        .map(|poller| tokio::spawn(async move { poller.until("3").await }))
        .collect();
    for (index, poller) in pollers.iter().enumerate().rev() {
        assert_eq!(poller.post(format!("2{index}")).await.0, 200);
    }
    for (index, polled) in join_all(waiting).await.into_iter().enumerate() {
        assert_eq!(polled.unwrap(), index.to_string());
    }
}
