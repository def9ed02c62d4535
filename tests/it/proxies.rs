//! The reverse proxies of deploy/, as configured there: every transport passes, and so does a deploy.

use serde_json::{Value, json};

use crate::support::{Bare, Proxy, Script, Server, SseReader, WsClient, eventually};

const NAMED: &str = "[gateway]\nallowed_origins = [\"https://app.example\"]\n\
                     trusted_proxies = [\"127.0.0.0/8\"]";

async fn passes_every_transport(name: &'static str) {
    let mut first = Bare::start(NAMED).await;
    let second = first.another().await;
    let upstreams = [first.server.address(), second.address()];
    let proxy = Proxy::start(name, upstreams, |text| text).await;

    // A page of the proxy's own origin.
    let own = proxy.url("");
    let mut ws = WsClient::try_connect(&proxy.realtime(), &[("origin", &own)])
        .await
        .unwrap();
    ws.subscribe(json!({ "channel": "price:ETH", "mode": "all" }))
        .await;
    let foreign = [("origin", "https://evil.example")];
    let foreign = WsClient::try_connect(&proxy.realtime(), &foreign).await;
    assert!(foreign.is_err());

    let mut sse = SseReader::open(&proxy.url("/realtime/sse?channels=price:ETH"), None).await;
    sse.expect("the ack", |event| event.event == "ack").await;

    let mut upgraded = Script::node(
        "tests/clients/socketio.mjs",
        &[&own, "follow", "--channel", "price:ETH", "--mode", "all"],
    );
    upgraded
        .json("it is subscribed", |line| line["step"] == "subscribed")
        .await;

    first.ledger.commit(&["price:ETH"]).await;
    let update = ws.event("price-update").await;
    assert_eq!(update["seq"], 1, "{update}");
    // Passed on while the stream goes on.
    let event = sse
        .expect("the price", |event| event.event == "price-update")
        .await;
    assert_eq!(event.data["seq"], 1);
    upgraded
        .json("the price", |line| {
            line["step"] == "price-update" && line["data"]["seq"] == 1
        })
        .await;
    drop(upgraded);

    // By polling alone: each request reaches the process that has the session.
    let polling = proxy.url("/socket.io/?EIO=4&transport=polling");
    let http = reqwest::Client::new();
    let open = http.get(&polling).send().await.unwrap().text().await;
    let open: Value = serde_json::from_str(&open.unwrap()[1..]).unwrap();
    let polling = format!("{polling}&sid={}", open["sid"].as_str().unwrap());
    for request in ["40/realtime,", r#"42/realtime,1["ping"]"#] {
        let sent = http.post(&polling).body(request).send().await.unwrap();
        assert_eq!(sent.status(), 200, "{name}");
    }
    eventually("the answer by polling", || async {
        let poll = http.get(&polling).send().await.ok()?.text().await.ok()?;
        poll.contains("43/realtime,1[").then_some(())
    })
    .await;
    http.post(&polling).body("1").send().await.unwrap();
    drop((ws, sse));
    first.server.stop().await;
    second.stop().await;
}

/// WebSocket sessions of a server.
async fn sessions(server: &Server) -> usize {
    let metrics = reqwest::get(format!("{}/metrics", server.url()));
    let text = metrics.await.unwrap().text().await.unwrap();
    let name = "chaincast_gateway_sessions{transport=\"websocket\"} ";
    let count = text.lines().find_map(|line| line.strip_prefix(name));
    count.unwrap().parse().unwrap()
}

async fn passes_a_deploy(name: &'static str) {
    let first = Bare::start(NAMED).await;
    let second = first.another().await;
    let upstreams = [first.server.address(), second.address()];
    let proxy = Proxy::start(name, upstreams, |text| text).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = WsClient::connect(&proxy.realtime()).await;
        assert!(client.is_welcome().await);
        clients.push(client);
    }
    // One address is always sent to the same process.
    let at_first = sessions(&first.server).await == 5;
    assert_eq!(sessions(&second).await == 5, !at_first, "{name}");
    let (gone, stays) = match at_first {
        true => (first.server, second),
        false => (second, first.server),
    };
    gone.stop().await;
    for client in &mut clients {
        assert_eq!(u16::from(client.closed().await.unwrap().code), 1001);
    }
    for _ in 0..20 {
        let answer = reqwest::get(proxy.url("/healthz")).await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
        let mut client = WsClient::connect(&proxy.realtime()).await;
        assert!(client.is_welcome().await, "{name}");
    }
    stays.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_every_transport() {
    passes_every_transport("nginx").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_passes_every_transport() {
    passes_every_transport("haproxy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_passes_every_transport() {
    passes_every_transport("caddy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_pass_a_deploy_without_an_error() {
    for name in ["nginx", "haproxy", "caddy"] {
        passes_a_deploy(name).await;
    }
}
