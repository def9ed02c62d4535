use std::time::Instant;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{PATIENCE, World, narrow_socket};

/// A Socket.IO client that polls, and sends what it is told to.
struct Poller {
    http: reqwest::Client,
    url: String,
}

impl Poller {
    async fn open(world: &World) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
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

    /// Asks for packets on a connection of its own that holds little, and reads nothing.
    async fn ask(&self, world: &World) -> TcpStream {
        let mut socket = narrow_socket(world).await;
        let (_, target) = self.url.split_once("/socket.io/").unwrap();
        let request = format!("GET /socket.io/{target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }
}

/// Most bytes of all sessions together, and more than the buffers between a client and HTTP hold.
const LIMIT: usize = 2_000_000;
const LONG: usize = 900_000;

/// A world, and clients in it that take nothing of long answers.
async fn unread(count: usize) -> (World, Vec<(Poller, TcpStream)>) {
    let world = World::with(|config| {
        config.backlog_total_bytes = LIMIT;
        config.send_buffer_bytes = 4_096;
        // Who does not read answers no pings either.
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
    let mut asked = Vec::new();
    for poller in pollers {
        let socket = poller.ask(&world).await;
        asked.push((poller, socket));
    }
    let padding = "x".repeat(LONG);
    world.publish("new-block", "new-block", &json!({"padding": padding}));
    (world, asked)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_answer_counts_and_holds_the_next() {
    let (world, mut asked) = unread(1).await;
    let (hub, (poller, socket)) = (world.gateway.context.hub(), asked.remove(0));
    until("it counts", || hub.backlog_total().bytes() >= LONG).await;
    // The next one waits; with a third the client breaks the rules.
    world.publish("new-block", "new-block", &json!({"number": 2}));
    let _more = (poller.ask(&world).await, poller.ask(&world).await);
    until("it ends", || hub.session_counts() == [0, 0, 0]).await;
    until("the rest is cut", || hub.backlog_total().bytes() == 0).await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_read_lets_the_next_in() {
    let (world, mut asked) = unread(1).await;
    let (hub, (poller, mut socket)) = (world.gateway.context.hub(), asked.remove(0));
    until("it counts", || hub.backlog_total().bytes() >= LONG).await;
    world.publish("new-block", "new-block", &json!({"number": 2}));
    let next = tokio::spawn(async move { poller.get().await });
    let (mut read, mut buffer) = (0, vec![0; 65_536]);
    while read < LONG {
        read += socket.read(&mut buffer).await.unwrap();
    }
    let next = next.await.unwrap();
    assert!(next.contains(r#""number":2"#), "{next}");
    until("nothing waits", || hub.backlog_total().bytes() == 0).await;
    assert_eq!(hub.session_counts(), [0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_no_answers_are_closed_as_slow() {
    let (world, asked) = unread(4).await;
    let hub = world.gateway.context.hub();
    until("some are closed", || hub.session_counts()[1] < 4).await;
    until("that was enough", || hub.backlog_total().bytes() <= LIMIT).await;
    // Of those that were closed nothing is left, their answers neither.
    let context = &world.gateway.context;
    until("they are gone", || {
        context.connections() == hub.session_counts()[1]
    })
    .await;
    let mut cut = 0;
    for (_, mut socket) in asked {
        let (mut read, mut buffer) = (0, vec![0; 65_536]);
        while read < LONG {
            let some = tokio::time::timeout(PATIENCE, socket.read(&mut buffer));
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
async fn a_client_that_hangs_up_on_an_answer_has_left() {
    let (world, mut asked) = unread(1).await;
    let (hub, (_poller, mut socket)) = (world.gateway.context.hub(), asked.remove(0));
    socket.read_exact(&mut [0; 100]).await.unwrap();
    assert_eq!(hub.session_counts(), [0, 1, 0]);
    drop(socket);
    until("its session ends", || hub.session_counts() == [0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_on_a_post_has_left() {
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
    let hub = world.gateway.context.hub();
    let begun = Instant::now();
    let channel = "price:ETH".parse().unwrap();
    // The subscription waits for the store.
    while hub.channels().lock().find(&channel).is_none() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.session_counts(), [0, 1, 0]);
    drop(socket);
    while hub.session_counts() != [0, 0, 0] {
        assert!(begun.elapsed() < PATIENCE, "the session goes on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_be_joined_to_the_blocks_is_told() {
    let world = World::start().await;
    world.log.set_down(true);
    let poller = Poller::open(&world).await;
    poller.post(&["40/realtime,"]).await;
    let got = poller.get().await;
    let (_, error) = got.split_once(r#"42/realtime,["error","#).expect(&got);
    let error: Value = serde_json::from_str(error.strip_suffix(']').unwrap()).unwrap();
    assert_eq!(
        (&error["code"], &error["channel"]),
        (&json!("INTERNAL"), &json!("new-block"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_and_going_is_counted_as_requests_are() {
    let world = World::with(|config| config.limits.requests = 2).await;
    let poller = Poller::open(&world).await;
    let (come, go) = ("40/realtime,", "41/realtime,");
    poller.post(&[come, go, come, go, come, go, come]).await;
    let got = poller.get().await;
    assert_eq!(got.matches("40/realtime,").count(), 3, "{got}");
    assert!(got.contains("44/realtime,{"), "{got}");
    assert!(got.contains("RATE_LIMITED"), "{got}");
}
