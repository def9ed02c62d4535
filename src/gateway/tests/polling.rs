use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::support::{PATIENCE, World};

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
