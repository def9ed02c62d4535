use serde_json::json;

use super::client::{Poller, Socket, event, eventually, http, url};
use crate::tests::support::{TIMEOUT, World};

const QUIET: &str = r#"{"autoSubscribe":false}"#;

#[tokio::test(flavor = "multi_thread")]
async fn errors_match_the_reference_server() {
    let world = World::start().await;
    let client = http();
    for (method, query, code) in [
        ("GET", "", 0),
        ("GET", "EIO=4&transport=abc", 0),
        ("GET", "EIO=4&transport=polling&sid=nope", 1),
        ("POST", "EIO=4&transport=polling&sid=nope", 1),
        ("GET", "EIO=4&transport=websocket&sid=nope", 1),
        ("POST", "EIO=4&transport=polling", 2),
        ("PUT", "EIO=4&transport=polling", 2),
        ("GET", "EIO=4&transport=websocket", 3),
        ("GET", "EIO=3&transport=polling", 5),
        ("GET", "transport=polling", 5),
    ] {
        let request = client.request(method.parse().unwrap(), url(&world, query));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{method} {query}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["code"], code, "{method} {query}");
    }
    let poller = Poller::open(&world, "").await;
    let put = client.put(&poller.url).send().await.unwrap();
    assert_eq!(put.status(), 400);
    assert_eq!(world.gateway.hub.session_counts(), [0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_supports_the_whole_protocol() {
    let world = World::start().await;
    world.block(1);
    let poller = Poller::open(&world, "").await;
    poller.post("40/realtime,").await;
    let mut packets = poller.packets().await;
    while packets.len() < 3 {
        packets.extend(poller.packets().await);
    }
    let connected = event(&packets[1], "connected");
    assert_ne!(
        connected["clientId"],
        poller.sid.as_str(),
        "the secret id differs from the public id"
    );
    let shown = event(&packets[2], "new-block");
    assert_eq!(
        shown,
        json!({"number": 1, "channel": "new-block", "seq": 1, "snapshot": true})
    );

    let body = "42/realtime,0[\"subscribe\",\"price:eth\"]\u{1e}42/realtime,[\"ping\"]\u{1e}42/realtime,1[\"ping\",null]";
    assert_eq!(poller.post(body).await, (200, "ok".to_owned()));
    let mut packets = poller.packets().await;
    while packets.len() < 4 {
        packets.extend(poller.packets().await);
    }
    assert!(packets[0].starts_with(r#"43/realtime,0[{"#) && packets[0].contains("price:ETH"));
    event(&packets[1], "pong");
    event(&packets[2], "pong");
    assert!(
        packets[3].starts_with(r#"43/realtime,1[{"timestamp":"#),
        "{packets:?}"
    );

    world.price("ETH", 7);
    let update = poller.until(r#"42/realtime,["price-update","#).await;
    assert_eq!(
        update,
        r#"{"price":7,"token":"ETH","channel":"price:ETH","seq":1,"prev":0}]"#
    );
    assert_eq!(poller.post("1").await, (200, "ok".to_owned()));
    poller.removed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_poll_returns_when_client_leaves() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move {
            let mut last = poller.get().await;
            while last.1.starts_with('4') {
                last = poller.get().await;
            }
            last
        }
    });
    poller.post("1").await;
    let (status, body) = waiting.await.unwrap();
    // Or it arrived too late to wait.
    assert!(
        (status, &*body) == (200, "6") || status == 400,
        "{status} {body}"
    );
    poller.removed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_polls_end_session() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    let (one, other) = tokio::join!(poller.get(), poller.get());
    let mut both = [one, other];
    both.sort();
    assert_eq!(both[0], (200, "1".to_owned()));
    assert_eq!(both[1].0, 400);
    poller.removed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_during_poll_ends_session() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let hub = world.gateway.hub.clone();
    assert_eq!(hub.session_counts(), [0, 1, 0]);
    let hasty = reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(4))
        .build()
        .unwrap();
    while hasty.get(&poller.url).send().await.is_ok() {}
    eventually("the session ends", || hub.session_counts() == [0, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_or_invalid_post_ends_session() {
    let world = World::with(|config| config.limits.message_bytes = 1_000).await;
    for (body, status) in [
        (vec![b'4'; 1_001], 413),
        (vec![b'4', 0xff], 400),
        (b"9".to_vec(), 400),
        (b"".to_vec(), 400),
        (b"4abc".to_vec(), 200),
        (b"42{}".to_vec(), 200),
        (b"42/realtime,[\"ping\"]".to_vec(), 200),
        (b"40/realtime,\x1e42/realtime,{}".to_vec(), 200),
        (b"40/realtime,\x1e40/realtime,".to_vec(), 200),
        (
            b"40/realtime,\x1e451-/realtime,[\"a\"]\x1e42/realtime,[\"ping\"]".to_vec(),
            200,
        ),
        (b"bAAAA".to_vec(), 200),
    ] {
        let poller = Poller::open(&world, "").await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(poller.post(body).await.0, status, "{shown}");
        poller.removed().await;
    }
    // Exactly the limit is allowed.
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let text = format!(r#"42/realtime,0["dance","{}"]"#, "x".repeat(975));
    assert_eq!(text.len(), 1_000);
    assert_eq!(poller.post(text).await.0, 200);
    let refused = poller.until("43/realtime,0[").await;
    assert!(refused.contains("UNKNOWN_EVENT"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_polling_client_is_pinged_then_dropped() {
    let world = World::with(|config| {
        config.ping_interval_ms = 500;
        config.ping_timeout_ms = 5_000;
    })
    .await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    poller.until("2").await;
    poller.post("3").await;
    poller.until("2").await;
    let hub = world.gateway.hub.clone();
    eventually("the session ends", || hub.session_counts() == [0, 0, 0]).await;
    poller.removed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_limit_applies_across_posts() {
    let world = World::with(|config| {
        config.limits.requests = 3;
        config.limits.abuse_requests = 2;
    })
    .await;
    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    for id in 0..4 {
        poller
            .post(format!(r#"42/realtime,{id}["subscriptions"]"#))
            .await;
    }
    let refused = poller.until("43/realtime,3[").await;
    assert!(
        refused.contains("RATE_LIMITED") && refused.contains("retryAfterMs"),
        "{refused}"
    );
    let flood = [r#"42/realtime,9["subscriptions"]"#; 4].join("\u{1e}");
    poller.post(flood).await;
    poller.removed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_allowed_origins_may_poll() {
    let world =
        World::with(|config| config.allowed_origins = vec!["https://app.example".to_owned()]).await;
    let shake = url(&world, "EIO=4&transport=polling");
    let from = |origin: &'static str| http().get(&shake).header("origin", origin).send();
    let refused = from("https://evil.example").await.unwrap();
    assert_eq!(refused.status(), 403);
    let refused = refused.text().await.unwrap();
    assert!(
        refused.starts_with(r#"{"code":4,"message":"Forbidden: "#)
            && refused.contains("https://evil.example")
            && refused.contains("gateway.allowed_origins"),
        "{refused}"
    );
    let allowed = from("https://app.example").await.unwrap();
    assert_eq!(allowed.status(), 200);
    let headers = allowed.headers();
    assert_eq!(
        headers["access-control-allow-origin"],
        "https://app.example"
    );
    assert_eq!(headers["access-control-allow-credentials"], "true");
    assert_eq!(headers["vary"], "Origin");
    assert_eq!(headers["content-type"], "text/plain; charset=UTF-8");

    let preflight = http()
        .request(reqwest::Method::OPTIONS, &shake)
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-own")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-headers"], "x-own");
    assert!(
        preflight.headers()["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_limit_per_address_is_released() {
    let world = World::with(|config| config.limits.connections_per_address = 2).await;
    let first = Poller::open(&world, "").await;
    let _second = Socket::join(&world, QUIET).await;
    let third = || http().get(url(&world, "EIO=4&transport=polling")).send();
    let refused = third().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.text().await.unwrap().contains("at most 2"));
    first.post("1").await;
    let wait = async { while third().await.unwrap().status() != 200 {} };
    tokio::time::timeout(TIMEOUT, wait)
        .await
        .expect("room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_polling_clients() {
    let world = World::start().await;
    let (waiting, idle) = (
        Poller::open(&world, "").await,
        Poller::open(&world, "").await,
    );
    waiting.join(QUIET).await;
    idle.join(QUIET).await;
    let poll = tokio::spawn({
        let waiting = waiting.clone();
        async move {
            waiting.until("6").await;
            waiting.removed().await;
        }
    });
    let begun = std::time::Instant::now();
    world.gateway.close(TIMEOUT).await;
    assert!(
        begun.elapsed() < TIMEOUT / 2,
        "shutdown waits for no client forever"
    );
    // Neither a close packet (some clients would not reconnect) nor a disconnect packet.
    poll.await.unwrap();
    let late = http()
        .get(url(&world, "EIO=4&transport=polling"))
        .send()
        .await
        .unwrap();
    assert_eq!(late.status(), 503);
}
