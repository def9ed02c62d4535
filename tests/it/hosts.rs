//! The host names that the server accepts: a page that reaches it by another name (DNS rebinding) reads nothing.

use reqwest::{Client, Method, StatusCode};

use crate::support::{BareGateway, WsClient};

const NAMED: &str = "[gateway]\nown_hosts = [\"chain.example\"]";
/// One path of each part of the server, and an unknown one.
const PATHS: [&str; 10] = [
    "/",
    "/metrics",
    "/readyz",
    "/api/v1/tokens",
    "/api/v1/stats",
    "/api-docs",
    "/assets/app.js",
    "/realtime/sse?channels=price:ETH",
    "/socket.io/?EIO=4&transport=polling",
    "/no/such/path",
];

async fn status(
    bare: &BareGateway,
    method: Method,
    path: &str,
    host: &str,
) -> (StatusCode, String) {
    let url = format!("{}{path}", bare.server.url());
    // As a browser sends it within one origin: without `Origin`.
    let request = Client::new().request(method, url).header("host", host);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    // An event stream does not end.
    let text = match status.is_success() {
        true => String::new(),
        false => answer.text().await.unwrap(),
    };
    (status, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_dns_rebinding_where_names_are_listed() {
    let bare = BareGateway::start(NAMED).await;
    let port = bare.server.port();
    let (evil, own) = (
        format!("evil.example:{port}"),
        [
            "chain.example",
            "CHAIN.example:80",
            "localhost",
            "127.0.0.1",
        ],
    );
    for path in PATHS {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
            let (refused, text) = status(&bare, method.clone(), path, &evil).await;
            assert_eq!(refused, 421, "{method} {path}");
            let names_reason = text.contains("evil.example") && text.contains("gateway.own_hosts");
            assert!(
                names_reason || method == Method::HEAD,
                "{method} {path}: {text}"
            );
        }
        for host in own {
            let (status, _) = status(&bare, Method::GET, path, host).await;
            assert_ne!(status, 421, "{path} under {host}");
        }
    }
    let socket = [("host", evil.as_str())];
    let socket = WsClient::try_connect(&bare.server.realtime(), &socket).await;
    assert!(socket.is_err());
    // An orchestrator may probe the process by another name.
    assert_eq!(status(&bare, Method::GET, "/healthz", &evil).await.0, 200);
    let output = bare.server.output();
    let warned = output
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("evil.example"));
    assert_eq!(warned.count(), 1, "{output}");
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_every_name_where_none_is_listed() {
    let bare = BareGateway::start("").await;
    let (status, _) = status(&bare, Method::GET, "/api/v1/tokens", "any.example").await;
    assert_eq!(status, 200);
    bare.server.stop().await;
}
