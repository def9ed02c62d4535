//! Invalid input: it is answered with an error, loses nothing, and never affects other clients.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{TIMEOUT, World, WsClient};

async fn send_invalid(ws: &mut WsClient, text: &str) -> Value {
    ws.send_text(text).await;
    ws.event("error").await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_keep_the_session_open() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    for (text, code) in [
        ("not json", "BAD_REQUEST"),
        ("[]", "BAD_REQUEST"),
        ("{}", "BAD_REQUEST"),
        (r#"{"id":7,"event":"subscribe"}"#, "BAD_REQUEST"),
        (
            r#"{"id":7,"event":"subscribe","data":{"channel":7}}"#,
            "BAD_REQUEST",
        ),
        (
            r#"{"id":7,"event":"subscribe","data":{"channels":[]}}"#,
            "BAD_REQUEST",
        ),
        (
            r#"{"id":7,"event":"subscribe","data":{"channel":"price:ETH","interval":3}}"#,
            "BAD_REQUEST",
        ),
        (
            r#"{"id":7,"event":"subscribe","data":{"channel":"price:ETH","since":-1}}"#,
            "BAD_REQUEST",
        ),
        (
            r#"{"id":7,"event":"subscribe","data":{"channel":"new-block","interval":1000}}"#,
            "BAD_REQUEST",
        ),
        (r#"{"id":7,"event":"dance"}"#, "UNKNOWN_EVENT"),
        (
            r#"{"id":7,"event":"subscribe","data":{"channel":"nope"}}"#,
            "UNKNOWN_CHANNEL",
        ),
        (
            r#"{"id":7,"event":"subscribe","data":{"channel":"price:NOPE"}}"#,
            "UNKNOWN_CHANNEL",
        ),
        (
            r#"{"id":7,"event":"subscribe","data":{"channel":"user:bob"}}"#,
            "UNAUTHORIZED",
        ),
        (
            r#"{"id":7,"event":"auth","data":{"token":"garbage"}}"#,
            "UNAUTHORIZED",
        ),
    ] {
        let error = send_invalid(&mut ws, text).await;
        assert_eq!(error["data"]["code"], code, "{text} got {error}");
        assert!(
            error["data"]["message"].as_str().unwrap().len() > 5,
            "{error}"
        );
        if text.contains("\"id\"") {
            assert_eq!(error["id"], 7, "{text} got {error}");
        }
    }
    assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_stream_with_invalid_query_gets_a_problem() {
    let world = World::start().await;
    for query in [
        "",
        "?channels=nope",
        "?channels=price:ETH&mode=foo",
        "?channels=a&channels=b",
    ] {
        let response = reqwest::get(world.url(&format!("/realtime/sse{query}")))
            .await
            .unwrap();
        assert!(response.status().is_client_error(), "{query}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{query}"
        );
        let problem: Value = response.json().await.unwrap();
        assert!(problem["code"].is_string(), "{problem}");
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_subscribe_reports_each_channel() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    let answer = ws
        .subscribe(json!({ "channels": ["price:ETH", "nope", "new-block"] }))
        .await;
    assert_eq!(answer["success"], false);
    let channels = answer["channels"].as_array().unwrap();
    assert_eq!(channels[0]["success"], true);
    assert_eq!(channels[1]["error"]["code"], "UNKNOWN_CHANNEL");
    assert_eq!(channels[2]["channel"], "new-block");
    let listed = ws.request("subscriptions", Value::Null).await;
    assert_eq!(
        listed["data"]["channels"].as_array().unwrap().len(),
        2,
        "{listed}"
    );
    ws.request("unsubscribe", json!({ "channel": "price:eth" }))
        .await;
    let listed = ws.request("subscriptions", Value::Null).await;
    assert_eq!(
        listed["data"]["channels"].as_array().unwrap().len(),
        1,
        "{listed}"
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_message_closes_with_1009() {
    let world = World::with("[gateway.limits]\nmessage_bytes = 1024").await;
    let mut other = world.ws().await;
    let mut ws = world.ws().await;
    ws.send_text("x".repeat(4_096)).await;
    assert_eq!(u16::from(ws.closed().await.unwrap().code), 1009);
    assert_eq!(other.request("ping", Value::Null).await["event"], "pong");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_frames_close_with_protocol_codes() {
    let world = World::start().await;
    // Raw frames, masked with zeros: a reserved opcode, an unmasked text, text that is not UTF-8.
    let frames: [(&[u8], u16); 3] = [
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x01, b'x'], 1002),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
    ];
    for (frame, code) in frames {
        let mut stream = raw_websocket(&world).await;
        stream.write_all(frame).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .ok();
        let wanted = code.to_be_bytes();
        let close = answer.windows(4).any(|w| w[0] == 0x88 && w[2..] == wanted);
        assert!(close, "{frame:x?} was not closed with {code}: {answer:x?}");
    }
    let mut ws = world.ws().await;
    ws.send_frame(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(ws.event("error").await["data"]["code"], "BAD_REQUEST");
    world.server.stop().await;
}

async fn raw_websocket(world: &World) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(world.server.address())
        .await
        .unwrap();
    let request = "GET /realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_is_rate_limited_then_closed_with_4029() {
    let world = World::with("[gateway.limits]\nrequests = 10\nabuse_requests = 5").await;
    let mut ws = world.ws().await;
    for _ in 0..10 {
        assert_eq!(ws.request("ping", Value::Null).await["event"], "pong");
    }
    let refused = ws.request("ping", Value::Null).await;
    assert_eq!(refused["data"]["code"], "RATE_LIMITED");
    let after = refused["data"]["retryAfterMs"].as_u64().unwrap();
    assert!((1..=60_000).contains(&after), "{after}");
    for _ in 0..10 {
        if ws
            .send_frame(Message::text(r#"{"event":"ping"}"#))
            .await
            .is_err()
        {
            break;
        }
    }
    assert_eq!(u16::from(ws.closed().await.unwrap().code), 4029);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_connections_are_limited() {
    let world = World::with(
        "[gateway.limits]\nsubscriptions = 2\nchannels_per_request = 3\nconnections_per_address = 2",
    )
    .await;
    let mut ws = world.ws().await;
    let answer = ws
        .subscribe(json!({ "channels": ["price:ETH", "price:BTC", "price:LINK"] }))
        .await;
    assert_eq!(
        answer["channels"][2]["error"]["code"], "TOO_MANY_SUBSCRIPTIONS",
        "{answer}"
    );
    let many = ws
        .request(
            "subscribe",
            json!({ "channels": ["price:ETH", "price:BTC", "price:LINK", "new-block"] }),
        )
        .await;
    assert_eq!(many["data"]["code"], "BAD_REQUEST");
    let second = world.ws().await;
    let url = world.server.realtime();
    let third = WsClient::try_connect(&url, &[]).await;
    match third {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        Err(error) => panic!("{error}"),
        Ok(mut third) => assert_eq!(u16::from(third.closed().await.unwrap().code), 4030),
    }
    drop(second);
    // The slot is free once the server has noticed the end of the second connection; until then a new one is rejected.
    crate::support::eventually("a connection slot is free again", || async {
        let mut next = WsClient::try_connect(&url, &[]).await.ok()?;
        next.is_accepted().await.then_some(())
    })
    .await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_client_is_closed_with_4000() {
    let world = World::with("[gateway]\nping_interval_ms = 500\nping_timeout_ms = 5500").await;
    // A client that answers stays connected: its library sends pongs while it reads.
    let mut lively = world.ws().await;
    lively.subscribe(json!({ "channel": "heartbeat" })).await;
    // A raw socket answers no pings.
    let mut stream = raw_websocket(&world).await;
    let mut all = Vec::new();
    {
        let silent = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut all));
        tokio::pin!(silent);
        loop {
            tokio::select! {
                ended = &mut silent => {
                    ended.unwrap().ok();
                    break;
                }
                _ = lively.event("heartbeat") => {}
            }
        }
    }
    assert!(
        all.windows(2).any(|w| w == [0x89, 0x00]),
        "it received a ping"
    );
    assert!(
        all.windows(4)
            .any(|w| w[0] == 0x88 && w[2..] == 4000u16.to_be_bytes()),
        "{all:x?}"
    );
    assert_eq!(lively.request("ping", Value::Null).await["event"], "pong");
    world.server.stop().await;
}
