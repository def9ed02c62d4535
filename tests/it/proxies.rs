//! The reverse proxies of deploy/, as configured there: every transport works through them, and so does a deploy.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{BareGateway, ReverseProxy, Script, Server, SseReader, WsClient, eventually};

const NAMED: &str = "[gateway]\nallowed_origins = [\"https://app.example\"]\n\
                     trusted_proxies = [\"127.0.0.0/8\"]";

async fn assert_every_transport_works(name: &'static str) {
    let mut first = BareGateway::start(NAMED).await;
    let second = first.start_another().await;
    let upstreams = [first.server.address(), second.address()];
    let proxy = ReverseProxy::start(name, upstreams, |text| text).await;

    // A page of the proxy's own origin.
    let own = proxy.url("");
    let mut ws = WsClient::try_connect(&proxy.realtime(), &[("origin", &own)])
        .await
        .unwrap();
    ws.subscribe(json!({ "channel": "price:ETH", "mode": "all" }))
        .await;
    // TLS may end before this proxy, which then forwards as http.
    let secure = own.replacen("http:", "https:", 1);
    let secure = WsClient::try_connect(&proxy.realtime(), &[("origin", &secure)]).await;
    assert!(secure.is_ok(), "{name}");
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

    first.writer.commit(&["price:ETH"]).await;
    let update = ws.event("price-update").await;
    assert_eq!(update["seq"], 1, "{update}");
    // Forwarded while the stream is open.
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

/// The number of WebSocket sessions of a server.
async fn sessions(server: &Server) -> usize {
    let metrics = reqwest::get(format!("{}/metrics", server.url()));
    let text = metrics.await.unwrap().text().await.unwrap();
    let name = "chaincast_gateway_sessions{transport=\"websocket\"} ";
    let count = text.lines().find_map(|line| line.strip_prefix(name));
    count.unwrap().parse().unwrap()
}

async fn assert_deploy_without_error(name: &'static str) {
    let first = BareGateway::start(NAMED).await;
    let second = first.start_another().await;
    let upstreams = [first.server.address(), second.address()];
    let proxy = ReverseProxy::start(name, upstreams, |text| text).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = WsClient::connect(&proxy.realtime()).await;
        assert!(client.is_accepted().await);
        clients.push(client);
    }
    // Requests from one address always go to the same process.
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
        assert!(client.is_accepted().await, "{name}");
    }
    stays.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_supports_every_transport() {
    assert_every_transport_works("nginx").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_supports_every_transport() {
    assert_every_transport_works("haproxy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_supports_every_transport() {
    assert_every_transport_works("caddy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_survive_a_deploy_without_an_error() {
    for name in ["nginx", "haproxy", "caddy"] {
        assert_deploy_without_error(name).await;
    }
}

/// A server that breaks off every request but health probes, and the number of requests by method.
async fn broken_server() -> (String, Arc<Mutex<BTreeMap<String, u64>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let counted = counts.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(break_off(stream, counted.clone()));
        }
    });
    (address, counts)
}

async fn break_off(mut stream: TcpStream, counts: Arc<Mutex<BTreeMap<String, u64>>>) {
    const BODY: &[u8] = b"{}";
    let mut request = Vec::new();
    let is_complete = |request: &[u8]| {
        let head = request.windows(4).position(|four| four == b"\r\n\r\n");
        let is_health_probe = request.starts_with(b"GET /healthz");
        head.is_some() && (is_health_probe || request.ends_with(BODY))
    };
    while !is_complete(&request) {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let text = String::from_utf8_lossy(&request);
    if text.contains(" /healthz ") {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.ok();
        return;
    }
    let (method, _) = text.split_once(' ').unwrap();
    *counts.lock().entry(method.to_owned()).or_insert(0) += 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_retry_reads_only() {
    for name in ["nginx", "haproxy", "caddy"] {
        let (process, counts) = broken_server().await;
        let proxy = ReverseProxy::start(name, [&process, &process], |text| text).await;
        let send_request = async |method: Method, path: &str| {
            // Each request on its own connection: HAProxy answers nothing on one that it keeps.
            let request = reqwest::Client::new().request(method, proxy.url(path));
            let answer = request.body("{}").send().await.unwrap();
            // 503 from Caddy, which considers the process failed for some time.
            assert!([502, 503].contains(&answer.status().as_u16()), "{name}");
        };
        send_request(Method::POST, "/api/v1/alerts").await;
        send_request(Method::PATCH, "/api/v1/alerts").await;
        assert_eq!(counts.lock()["POST"], 1, "{name}");
        let patches = counts.lock().get("PATCH").copied().unwrap_or(0);
        assert!(patches <= 1, "{name} sent it {patches} times");
        if name == "haproxy" {
            send_request(Method::DELETE, "/api/v1/alerts/1").await;
            assert_eq!(counts.lock()["DELETE"], 1);
            // A read is retried, at either process.
            send_request(Method::GET, "/api/v1/tokens").await;
            assert!(counts.lock()["GET"] > 1);
        }
    }
}
