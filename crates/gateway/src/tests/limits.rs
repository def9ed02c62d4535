use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{
    socketio::client::{Poller, http, url},
    support::{TIMEOUT, World},
};

const JOIN_WITHOUT_SUBSCRIPTION: &str = r#"40/realtime,{"autoSubscribe":false}"#;
const HEADER: &str = "x-forwarded-for";

/// Opens a WebSocket as a client behind a proxy. Returns the close code if it is rejected, else 0, and the stream.
async fn ws_from(world: &World, from: &'static str) -> (u16, WebSocketStream<TcpStream>) {
    let url = format!("ws://127.0.0.1:{}/realtime", world.port);
    let mut request = url.into_client_request().unwrap();
    let value = HeaderValue::from_static(from);
    request.headers_mut().insert(HEADER, value);
    let (mut stream, _) = client_async(request, world.socket().await).await.unwrap();
    let first = tokio::time::timeout(TIMEOUT, stream.next()).await;
    let code = match first.expect("a first message") {
        Some(Ok(Message::Text(text))) if text.contains("connected") => 0,
        Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
        other => panic!("{other:?}"),
    };
    (code, stream)
}

async fn stream_from(world: &World, from: &str) -> reqwest::Response {
    let url = format!(
        "http://127.0.0.1:{}/realtime/sse?channels=price:ETH",
        world.port
    );
    let request = http().get(url).header(HEADER, from);
    request.send().await.unwrap()
}

async fn poll_from(world: &World, from: &str) -> u16 {
    let request = http().get(url(world, "EIO=4&transport=polling"));
    let response = request.header(HEADER, from).send().await.unwrap();
    response.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_limit_uses_trusted_forwarded_address() {
    let world = World::with(|config| {
        config.limits.connections_per_address = 3;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    // Addresses that the client forged in front are ignored.
    let (first, _held) = ws_from(&world, "198.51.100.1, 203.0.113.5").await;
    let stream = stream_from(&world, "203.0.113.5").await;
    let third = poll_from(&world, "198.51.100.2, 203.0.113.5, 127.0.0.9").await;
    assert_eq!((first, stream.status().as_u16(), third), (0, 200, 200));
    assert_eq!(ws_from(&world, "198.51.100.3, 203.0.113.5").await.0, 4030);
    assert_eq!(stream_from(&world, "203.0.113.5").await.status(), 429);
    assert_eq!(poll_from(&world, "203.0.113.5").await, 429);
    assert_eq!(ws_from(&world, "203.0.113.5, 203.0.113.6").await.0, 0);
    assert_eq!(stream_from(&world, "203.0.113.7").await.status(), 200);
    assert_eq!(poll_from(&world, "203.0.113.8").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn untrusted_forwarded_addresses_are_ignored() {
    let world = World::with(|config| config.limits.connections_per_address = 3).await;
    let (first, _held) = ws_from(&world, "203.0.113.1").await;
    let stream = stream_from(&world, "203.0.113.2").await;
    let third = poll_from(&world, "203.0.113.3").await;
    assert_eq!((first, stream.status().as_u16(), third), (0, 200, 200));
    assert_eq!(ws_from(&world, "203.0.113.4").await.0, 4030);
    assert_eq!(stream_from(&world, "203.0.113.5").await.status(), 429);
    assert_eq!(poll_from(&world, "203.0.113.6").await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscription_limit_applies_to_all_transports() {
    let world = World::with(|config| config.limits.subscriptions = 2).await;
    let poller = Poller::open(&world, "").await;
    poller.join(r#"{"autoSubscribe":false}"#).await;
    for (id, name) in ["price:ETH", "price:BTC", "new-block"].iter().enumerate() {
        let packet = format!(
            r#"42/realtime,{id}["subscribe",{}]"#,
            json!({"channel": name})
        );
        assert_eq!(poller.post(packet).await.0, 200);
    }
    let refused = poller.until("43/realtime,2[").await;
    assert!(refused.contains("TOO_MANY_SUBSCRIPTIONS"), "{refused}");

    let target = "/realtime/sse?channels=price:ETH,price:BTC,new-block";
    let mut stream = world.sse(target, "").await;
    let answer = stream.until(r#""success":false"#).await;
    assert!(answer.contains("TOO_MANY_SUBSCRIPTIONS"), "{answer}");

    let mut ws = world.ws().await;
    let answer = ws
        .subscribe(json!({"channels": ["price:ETH", "price:BTC", "new-block"]}))
        .await;
    assert_eq!(
        answer["channels"][2]["error"]["code"],
        "TOO_MANY_SUBSCRIPTIONS"
    );
}

/// Sends packets as a Socket.IO client over WebSocket; returns the close code.
async fn socketio_close(world: &World, sent: &[String]) -> u16 {
    let port = world.port;
    let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
    let (mut stream, _) = client_async(url, world.socket().await).await.unwrap();
    stream
        .send(Message::text(JOIN_WITHOUT_SUBSCRIPTION))
        .await
        .unwrap();
    for text in sent {
        // Sending after the close may fail.
        stream.send(Message::text(text.clone())).await.ok();
    }
    let closed = async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?} instead of a close"),
            }
        }
    };
    tokio::time::timeout(TIMEOUT, closed)
        .await
        .expect("a close")
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_websocket_enforces_size_and_rate() {
    let world = World::with(|config| {
        config.limits.message_bytes = 1_000;
        config.limits.requests = 3;
        config.limits.abuse_requests = 2;
    })
    .await;
    let long = format!(r#"42/realtime,["ping","{}"]"#, "x".repeat(1_000));
    assert_eq!(socketio_close(&world, &[long]).await, 1009);
    let flood: Vec<String> = (0..10)
        .map(|id| format!(r#"42/realtime,{id}["subscriptions"]"#))
        .collect();
    assert_eq!(socketio_close(&world, &flood).await, 4029);
}

/// The answer to a request on a WebSocket from [`ws_from`].
async fn send_request(
    stream: &mut WebSocketStream<TcpStream>,
    event: &str,
    channel: &str,
) -> Value {
    let data = json!({"channel": channel});
    let text = json!({"id": "asked", "event": event, "data": data}).to_string();
    stream.send(Message::text(text)).await.unwrap();
    let answered = async {
        loop {
            let Message::Text(text) = stream.next().await.unwrap().unwrap() else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == "asked" {
                return message;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, answered)
        .await
        .expect("an answer")
}

fn address(number: u8) -> String {
    format!("address:0x{}", format!("{number:02x}").repeat(20))
}

/// Waits until no watched channel has a subscriber.
async fn watches_unsubscribed(world: &World) {
    let watches = &world.gateway.parts.watches;
    let unsubscribed = async {
        while watches.quota().has_subscribers() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, unsubscribed)
        .await
        .expect("watched channels lose their subscribers");
}

/// A world with a limit of two watches per address.
async fn two_watches_world() -> World {
    World::with(|config| {
        config.limits.watches_per_address = 2;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_limit_survives_reconnects() {
    let world = two_watches_world().await;
    for _ in 0..3 {
        let (_, mut stream) = ws_from(&world, "203.0.113.5").await;
        for number in [1, 2] {
            let answer = send_request(&mut stream, "subscribe", &address(number)).await;
            assert_eq!(answer["data"]["success"], true, "{answer}");
        }
        let answer = send_request(&mut stream, "subscribe", &address(3)).await;
        assert_eq!(answer["data"]["code"], "TOO_MANY_SUBSCRIPTIONS", "{answer}");
        drop(stream);
        watches_unsubscribed(&world).await;
    }
    let (_, mut stream) = ws_from(&world, "203.0.113.5").await;
    let answer = send_request(&mut stream, "subscribe", &address(3)).await;
    assert_eq!(answer["data"]["code"], "TOO_MANY_SUBSCRIPTIONS", "{answer}");
    let wait = answer["data"]["retryAfterMs"].as_u64().unwrap();
    assert!(wait > 3_000_000 && wait <= 3_600_000, "{answer}");
    let message = answer["data"]["message"].as_str().unwrap();
    assert!(message.contains("for this address"), "{message}");
    // Blocks and prices do not count, and another address has its own limit.
    let answer = send_request(&mut stream, "subscribe", "price:ETH").await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    let (_, mut other) = ws_from(&world, "203.0.113.6").await;
    let answer = send_request(&mut other, "subscribe", &address(3)).await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_unsubscribed_watches_are_released() {
    let world = two_watches_world().await;
    let watches = &world.gateway.parts.watches;
    let (_, mut stream) = ws_from(&world, "203.0.113.5").await;
    for number in [1, 2] {
        send_request(&mut stream, "subscribe", &address(number)).await;
    }
    send_request(&mut stream, "unsubscribe", &address(1)).await;
    let refused = send_request(&mut stream, "subscribe", &address(3)).await;
    assert_eq!(
        refused["data"]["code"], "TOO_MANY_SUBSCRIPTIONS",
        "{refused}"
    );
    drop(stream);
    watches_unsubscribed(&world).await;
    // The gateway itself releases watches once a minute, maybe already.
    watches.release(Duration::from_secs(1)).await;
    assert_eq!(
        world.log.take_released_watches(),
        [address(1).parse().unwrap()]
    );
    watches
        .quota()
        .expire(Instant::now() + Duration::from_secs(600));
    let (_, mut stream) = ws_from(&world, "203.0.113.5").await;
    let answer = send_request(&mut stream, "subscribe", &address(3)).await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    let answer = send_request(&mut stream, "subscribe", &address(4)).await;
    assert_eq!(answer["data"]["code"], "TOO_MANY_SUBSCRIPTIONS", "{answer}");
}
