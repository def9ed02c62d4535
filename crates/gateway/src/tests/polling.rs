use std::time::Instant;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{TIMEOUT, World, narrow_socket};

/// A polling Socket.IO client that sends raw packets.
struct Poller {
    http: reqwest::Client,
    url: String,
}

impl Poller {
    async fn open(world: &World) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .unwrap();
        let url = format!(
            "http://127.0.0.1:{}/socket.io/?EIO=4&transport=polling",
            world.port
        );
        let opened = http.get(&url).send().await.unwrap().text().await.unwrap();
        let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
        let sid = opened["sid"].as_str().unwrap();
        let url = format!("{url}&sid={sid}");
        Self { http, url }
    }

    async fn post(&self, packets: &[&str]) {
        let body = packets.join("\u{1e}");
        let answer = self.http.post(&self.url).body(body).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok");
    }

    async fn get(&self) -> String {
        let answer = self.http.get(&self.url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// Sends a GET on a separate connection with a small receive buffer, and reads nothing.
    async fn get_unread(&self, world: &World) -> TcpStream {
        let mut socket = narrow_socket(world).await;
        let (_, target) = self.url.split_once("/socket.io/").unwrap();
        let request = format!("GET /socket.io/{target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }
}

/// The backlog limit of all sessions; `LONG` exceeds the buffers between a client and HTTP.
const LIMIT: usize = 2_000_000;
const LONG: usize = 900_000;

/// A world, and clients that do not read their long responses.
async fn unread_responses(count: usize) -> (World, Vec<(Poller, TcpStream)>) {
    let world = World::with(|config| {
        config.backlog_total_bytes = LIMIT;
        config.send_buffer_bytes = 4_096;
        // A client that does not read does not answer pings either.
        config.ping_timeout_ms = 600_000;
    })
    .await;
    let mut pollers = Vec::new();
    for _ in 0..count {
        let poller = Poller::open(&world).await;
        let subscribe = r#"42/realtime,1["subscribe",{"channel":"new-block"}]"#;
        poller
            .post(&[r#"40/realtime,{"autoSubscribe":false}"#, subscribe])
            .await;
        while !poller.get().await.contains("43/realtime,1[") {}
        pollers.push(poller);
    }
    let mut clients = Vec::new();
    for poller in pollers {
        let socket = poller.get_unread(&world).await;
        clients.push((poller, socket));
    }
    let padding = "x".repeat(LONG);
    world.publish("new-block", "new-block", &json!({"padding": padding}));
    (world, clients)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < TIMEOUT, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_response_counts_and_blocks_the_next() {
    let (world, mut clients) = unread_responses(1).await;
    let (hub, (poller, socket)) = (&world.gateway.hub, clients.remove(0));
    let backlog_total = world.gateway.parts.backlog_total.clone();
    until("it counts", || backlog_total.bytes() >= LONG).await;
    // The next GET waits; a third one violates the protocol.
    world.publish("new-block", "new-block", &json!({"number": 2}));
    let _more = (
        poller.get_unread(&world).await,
        poller.get_unread(&world).await,
    );
    until("it ends", || hub.session_counts() == [0, 0, 0]).await;
    until("the response is aborted", || backlog_total.bytes() == 0).await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn next_response_follows_a_read_one() {
    let (world, mut clients) = unread_responses(1).await;
    let (hub, (poller, mut socket)) = (&world.gateway.hub, clients.remove(0));
    let backlog_total = world.gateway.parts.backlog_total.clone();
    until("it counts", || backlog_total.bytes() >= LONG).await;
    world.publish("new-block", "new-block", &json!({"number": 2}));
    let next = tokio::spawn(async move { poller.get().await });
    let (mut read, mut buffer) = (0, vec![0; 65_536]);
    while read < LONG {
        read += socket.read(&mut buffer).await.unwrap();
    }
    let next = next.await.unwrap();
    assert!(next.contains(r#""number":2"#), "{next}");
    until("the backlog is empty", || backlog_total.bytes() == 0).await;
    assert_eq!(hub.session_counts(), [0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_unread_responses_are_closed_as_slow() {
    let (world, clients) = unread_responses(4).await;
    let hub = &world.gateway.hub;
    let backlog_total = world.gateway.parts.backlog_total.clone();
    until("some are closed", || hub.session_counts()[1] < 4).await;
    until("the backlog is within the limit", || {
        backlog_total.bytes() <= LIMIT
    })
    .await;
    // The closed sessions and their responses are gone.
    let context = &world.gateway.context;
    until("connections are released", || {
        context.connections().open() == hub.session_counts()[1]
    })
    .await;
    let mut cut = 0;
    for (_, mut socket) in clients {
        let (mut read, mut buffer) = (0, vec![0; 65_536]);
        while read < LONG {
            let some = tokio::time::timeout(TIMEOUT, socket.read(&mut buffer));
            match some.await.unwrap() {
                Ok(0) | Err(_) => {
                    cut += 1;
                    break;
                }
                Ok(some) => read += some,
            }
        }
    }
    assert_eq!(cut, 4 - hub.session_counts()[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_during_response_ends_session() {
    let (world, mut clients) = unread_responses(1).await;
    let (hub, (_poller, mut socket)) = (&world.gateway.hub, clients.remove(0));
    socket.read_exact(&mut [0; 100]).await.unwrap();
    assert_eq!(hub.session_counts(), [0, 1, 0]);
    drop(socket);
    until("its session ends", || hub.session_counts() == [0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_during_post_ends_session() {
    let world = World::start().await;
    let poller = Poller::open(&world).await;
    poller
        .post(&[r#"40/realtime,{"autoSubscribe":false}"#])
        .await;
    world.log.stall();
    let mut socket = world.socket().await;
    let (_, target) = poller.url.split_once("/socket.io/").unwrap();
    let body = r#"42/realtime,["subscribe",{"channel":"price:ETH"}]"#;
    let request = format!(
        "POST /socket.io/{target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let hub = &world.gateway.hub;
    let begun = Instant::now();
    let channel = "price:ETH".parse().unwrap();
    // The subscription is waiting for the store.
    while hub.channels().find(&channel).is_none() {
        assert!(begun.elapsed() < TIMEOUT);
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.session_counts(), [0, 1, 0]);
    drop(socket);
    while hub.session_counts() != [0, 0, 0] {
        assert!(begun.elapsed() < TIMEOUT, "the session goes on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_auto_subscribe_is_reported() {
    let world = World::start().await;
    world.log.set_down(true);
    let poller = Poller::open(&world).await;
    poller.post(&["40/realtime,"]).await;
    let mut reported = Vec::new();
    while reported.len() < 2 {
        let got = poller.get().await;
        for packet in got.split('\x1e') {
            let error = packet.strip_prefix(r#"42/realtime,["error","#);
            reported.extend(error.map(|error| {
                let error: Value = serde_json::from_str(error.strip_suffix(']').unwrap()).unwrap();
                assert_eq!(error["code"], "INTERNAL");
                error["channel"].clone()
            }));
        }
    }
    assert_eq!(reported, ["new-block", "announcements"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejoins_count_as_requests() {
    let world = World::with(|config| config.limits.requests = 2).await;
    let poller = Poller::open(&world).await;
    let (come, go) = ("40/realtime,", "41/realtime,");
    poller.post(&[come, go, come, go, come, go, come]).await;
    let got = poller.get().await;
    assert_eq!(got.matches("40/realtime,").count(), 3, "{got}");
    assert!(got.contains("44/realtime,{"), "{got}");
    assert!(got.contains("RATE_LIMITED"), "{got}");
}
