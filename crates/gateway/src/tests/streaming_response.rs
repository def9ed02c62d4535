use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::support::{TIMEOUT, World};
use crate::{session::Opener, transport::streaming_response};
use chaincast_base::shutdown::Takeover;
use chaincast_protocol::{
    CloseReason,
    encode::{Packet, Wire},
};

#[tokio::test(flavor = "multi_thread")]
async fn stream_ends_with_its_connection() {
    let world = World::start().await;
    let target = "/realtime/sse?channels=new-block";
    let mut sse = world.sse(target, "").await;
    let head = sse.head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    for line in [
        "connection: close\r\n",
        "transfer-encoding: chunked\r\n",
        "content-type: text/event-stream\r\n",
        "cache-control: no-cache\r\n",
        "\r\ndate: ",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("content-length"));
    sse.until("event: ack").await;
    world.block(1);
    sse.until(r#""seq":1"#).await;
    let hub = &world.gateway.hub;
    assert_eq!(hub.session_counts(), [0, 0, 1]);
    drop(sse);
    let begun = Instant::now();
    while hub.session_counts() != [0, 0, 0] {
        assert!(
            begun.elapsed() < TIMEOUT,
            "the session of a disconnected client ends"
        );
        tokio::task::yield_now().await;
    }
}

/// The body of a stream until its connection ends.
async fn rest(sse: crate::tests::support::Sse) -> String {
    let mut body = Vec::new();
    let read = sse.into_reader().read_to_end(&mut body).await;
    read.unwrap();
    String::from_utf8(body).unwrap()
}

/// Decodes chunks; returns whether the last one was received.
fn unchunk(mut body: &str) -> (String, bool) {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        let (chunk, rest) = (&rest[..size], &rest[size..]);
        text.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap();
        if size == 0 {
            assert_eq!(body, "");
            return (text, true);
        }
    }
    (text, false)
}

#[tokio::test(flavor = "multi_thread")]
async fn deliberate_end_has_the_last_chunk() {
    let world = World::start().await;
    let sse = world.sse("/realtime/sse?channels=new-block", "").await;
    world.gateway.close(TIMEOUT).await;
    let (text, ended) = unchunk(&rest(sse).await);
    assert!(ended);
    assert!(text.starts_with("retry: 2000\n\n"), "{text}");
    assert!(text.contains("event: closed\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_stream_lacks_the_last_chunk() {
    let world = World::start().await;
    let mut sse = world.sse("/realtime/sse?channels=new-block", "").await;
    sse.until("event: ack").await;
    let hub = world.gateway.hub.clone();
    let sessions = hub.sessions();
    for session in sessions {
        session.end(CloseReason::Lost);
    }
    let rest = rest(sse).await;
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_10_client_gets_no_chunks() {
    let world = World::start().await;
    let mut socket = world.socket().await;
    let request = "GET /realtime/sse?channels=new-block HTTP/1.0\r\nHost: localhost\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let hub = &world.gateway.hub;
    let begun = Instant::now();
    while hub.session_counts() != [0, 0, 1] {
        assert!(begun.elapsed() < TIMEOUT);
        tokio::task::yield_now().await;
    }
    world.gateway.close(TIMEOUT).await;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        body.starts_with("retry: 2000\n\nevent: connected\n"),
        "{body}"
    );
    assert!(body.ends_with("\n\n"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_request_gets_headers_only() {
    let world = World::start().await;
    let url = format!(
        "http://127.0.0.1:{}/realtime/sse?channels=new-block",
        world.port
    );
    let response = reqwest::Client::new().head(&url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let refused = reqwest::Client::new().head(format!("{url},nope"));
    assert!(refused.send().await.unwrap().status().is_client_error());
    assert_eq!(world.gateway.hub.session_counts(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_ends_early_is_still_answered() {
    let world = World::with(|config| config.limits.backlog_bytes = 16_384).await;
    // A snapshot that exceeds the backlog limit.
    let padding = "x".repeat(20_000);
    world.publish("new-block", "new-block", &json!({"padding": padding}));
    let target = "/realtime/sse?channels=new-block";
    let mut sse = world.sse(target, "").await;
    assert!(sse.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", sse.head);
    sse.until(r#""code":4008"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steadily_read_stream_stays_open() {
    let world = World::with(|config| {
        config.ping_interval_ms = 3_000;
        config.ping_timeout_ms = 2_000;
        config.send_buffer_bytes = 4_096;
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let session = world
        .gateway
        .hub
        .open(Wire::Sse, Opener::default())
        .unwrap();
    let (takeover, mut taken) = Takeover::new();
    tokio::spawn(streaming_response::serve(
        session.clone(),
        takeover,
        Vec::new(),
        4_096,
    ));
    taken.requested().await.send(server).unwrap();

    let text = "x".repeat(16_384);
    let mut read = vec![0; 16_384];
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let opened = Instant::now();
    while opened.elapsed() < Duration::from_secs(7) {
        while session.backlog_bytes() < 500_000 && session.ended().is_none() {
            session.queue(Packet::raw(text.clone()));
        }
        assert_eq!(session.ended(), None);
        assert!(session.has_backlog());
        pace.tick().await;
        assert_ne!(client.read(&mut read).await.unwrap(), 0);
    }
    let begun = Instant::now();
    while session.ended().is_none() {
        assert!(
            begun.elapsed() < TIMEOUT,
            "a client that does not read is closed"
        );
        pace.tick().await;
    }
    assert_eq!(session.ended(), Some(&CloseReason::Slow));
}
