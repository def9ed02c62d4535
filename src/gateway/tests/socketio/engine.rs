//! Engine.IO 4, case by case: what its document lists, over both transports.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, http::StatusCode},
};

use super::client::{Poller, Socket, http, url};
use crate::gateway::tests::support::World;

const QUIET: &str = r#"{"autoSubscribe":false}"#;

/// The content of an open packet, which has to have these keys and no others.
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
async fn a_handshake_says_all_that_the_client_needs() {
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
async fn a_websocket_that_cannot_be_served_is_refused_before_it_opens() {
    let world = World::start().await;
    let served = Socket::open(&world, None).await.text().await;
    let served = opened(&served)["sid"].as_str().unwrap().to_owned();
    for (case, query) in [
        ("no version", "transport=websocket".to_owned()),
        (
            "a version that is no number",
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
async fn a_payload_carries_one_packet_or_several_both_ways() {
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
        (
            "packets that ask for nothing",
            "3\u{1e}6\u{1e}5\u{1e}2",
            "3",
        ),
    ] {
        assert_eq!(poller.post(posted).await, (200, "ok".to_owned()), "{case}");
        assert_eq!(poller.get().await, (200, polled.to_owned()), "{case}");
    }
    let mut socket = Socket::open(&world, None).await;
    opened(&socket.text().await);
    for text in ["", "hello", "長"] {
        socket.say(&format!("2{text}")).await;
        assert_eq!(socket.text().await, format!("3{text}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_no_packet_ends_the_session() {
    let world = World::start().await;
    for (case, packet) in [
        ("an empty packet", ""),
        ("an open packet, which only servers send", "0{}"),
        ("an unknown type", "7"),
        ("a word", "abc"),
        ("a type of several bytes", "長"),
        ("binary that is not base64", "b!!"),
        ("binary that belongs to nothing", "bAQIDBA=="),
        ("a good packet and an empty one", "2\u{1e}"),
        ("the framing of the version before", "1:2"),
    ] {
        let poller = Poller::open(&world, "").await;
        // What a websocket carries is one packet: the separator is a part of its text.
        if !packet.contains('\u{1e}') && packet != "1:2" {
            let mut socket = Socket::open(&world, None).await;
            opened(&socket.text().await);
            socket.say(packet).await;
            assert_eq!(socket.closed().await, Some(1002), "{case}");
        }
        let (status, _) = poller.post(packet).await;
        // Wrong only as what it stands for, or as a packet.
        let well_formed = packet.starts_with("bAQ") || packet == "1:2";
        assert_eq!(status, if well_formed { 200 } else { 400 }, "{case}");
        poller.gone().await;
    }
    let mut socket = Socket::open(&world, None).await;
    opened(&socket.text().await);
    socket.binary(&[4, 1, 2]).await;
    assert_eq!(socket.closed().await, Some(1002), "binary of nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_posts_at_once_end_the_session() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let mut slow = world.socket().await;
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n2",
        poller.sid
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Until the first one is being read, others are taken.
    while poller.post("3").await.0 == 200 {}
    poller.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_pings_and_goes_on_with_who_answers() {
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
        socket.say("3").await;
        assert_eq!(poller.until("2").await, "");
        assert_eq!(poller.post("3").await, (200, "ok".to_owned()));
    }
    assert_eq!(world.gateway.context.hub().session_counts(), [0, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_answers_no_ping_is_closed() {
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
async fn a_close_packet_ends_the_session() {
    let world = World::start().await;
    let mut socket = Socket::open(&world, None).await;
    opened(&socket.text().await);
    socket.say("1").await;
    socket.closed().await;
    let poller = Poller::open(&world, "").await;
    assert_eq!(poller.post("1").await, (200, "ok".to_owned()));
    poller.gone().await;
    assert_eq!(poller.post("2").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_upgraded_once() {
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
                panic!("{case}: let in");
            };
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{case}");
        }
    };
    let mut socket = Socket::open(&world, Some(&poller.sid)).await;
    again("while another one tries").await;
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    again("while another one was probed").await;
    socket.say("5").await;
    socket.say("2hello").await;
    // Anything that was queued before the socket took over comes first.
    while socket.text().await != "3hello" {}
    again("after another one took over").await;
    assert_eq!(poller.get().await.0, 400);
    assert_eq!(poller.post("2").await.0, 400);
    socket.say("2still").await;
    assert_eq!(socket.text().await, "3still");
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_of_many_sessions_do_not_wait_for_each_other() {
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
