use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use super::support::{PATIENCE, World};
use crate::{
    gateway::{
        CloseReason,
        encode::{Packet, Wire},
        transport::stream,
    },
    shutdown::Takeover,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_an_answer_that_ends_with_its_connection() {
    let world = World::start().await;
    let target = "/realtime/sse?channels=new-block";
    let mut sse = world.sse(target, "").await;
    let head = sse.head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    for line in [
        "connection: close\r\n",
        "content-type: text/event-stream\r\n",
        "cache-control: no-cache\r\n",
        "\r\ndate: ",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"));
    sse.until("event: ack").await;
    world.block(1);
    sse.until(r#""seq":1"#).await;
    let hub = world.gateway.context.hub();
    assert_eq!(hub.session_counts(), [0, 0, 1]);
    drop(sse);
    let begun = Instant::now();
    while hub.session_counts() != [0, 0, 0] {
        assert!(begun.elapsed() < PATIENCE, "a client that hung up is gone");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_head_of_a_stream_gets_only_that() {
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
    assert_eq!(world.gateway.context.hub().session_counts(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_before_it_has_its_connection_is_an_answer_all_the_same() {
    let world = World::with(|config| config.limits.backlog_bytes = 16_384).await;
    // A snapshot that there is no room for.
    let padding = "x".repeat(20_000);
    world.publish("new-block", "new-block", &json!({"padding": padding}));
    let target = "/realtime/sse?channels=new-block";
    let mut sse = world.sse(target, "").await;
    assert!(sse.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", sse.head);
    sse.until(r#""code":4008"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_client_reads_steadily_lives_although_something_always_waits() {
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
        .context
        .hub()
        .open(Wire::Sse, None, None)
        .unwrap();
    let (takeover, mut taken) = Takeover::new();
    tokio::spawn(stream::serve(session.clone(), takeover, Vec::new()));
    taken.asked().await.send(server).unwrap();

    let text = "x".repeat(16_384);
    let mut read = vec![0; 16_384];
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let opened = Instant::now();
    while opened.elapsed() < Duration::from_secs(7) {
        while session.outbox.lock().bytes() < 500_000 && session.ended().is_none() {
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
            begun.elapsed() < PATIENCE,
            "one that reads nothing is closed"
        );
        pace.tick().await;
    }
    assert_eq!(session.ended(), Some(&CloseReason::Slow));
}
