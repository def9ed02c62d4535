//! Which pages may connect, over every transport, and which errors they may read.

use reqwest::{Client, Method, Response};

use super::{
    alerts::{alice, secret},
    support::World,
};
use crate::AuthMode;

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";
/// One path of each transport.
const PATHS: [&str; 5] = [
    "/realtime",
    "/realtime/",
    "/realtime/sse?channels=new-block",
    "/realtime/sse/?channels=new-block",
    "/socket.io/?EIO=4&transport=polling",
];

async fn world() -> World {
    World::with(|config| config.allowed_origins = vec![APP.to_owned()]).await
}

async fn send_request(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Response {
    let url = format!("http://127.0.0.1:{}{path}", world.port);
    let mut request = Client::new().request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// Whether a page may read the response, and whether with credentials.
fn readable(answer: &Response, origin: &str) -> (bool, bool) {
    let headers = answer.headers();
    assert_eq!(headers["vary"], "Origin", "{headers:?}");
    let named = headers.get("access-control-allow-origin");
    let credentials = headers.get("access-control-allow-credentials");
    (
        named.is_some_and(|named| named == origin),
        credentials.is_some_and(|value| value == "true"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn own_page_may_connect_over_every_transport() {
    let world = world().await;
    let own = format!("http://127.0.0.1:{}", world.port);
    for path in PATHS {
        for (origin, allowed) in [
            (APP, true),
            (own.as_str(), true),
            (EVIL, false),
            ("null", false),
        ] {
            // Not a WebSocket request: allowed origins are rejected only for that.
            let answer = send_request(&world, Method::GET, path, &[("origin", origin)]).await;
            let status = answer.status().as_u16();
            assert_eq!(status != 403, allowed, "{path} {origin}: {status}");
            if allowed {
                assert_eq!(readable(&answer, origin), (true, true), "{path} {origin}");
            } else {
                let text = answer.text().await.unwrap();
                assert!(
                    text.contains(origin) && text.contains("gateway.allowed_origins"),
                    "{text}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_host_of_trusted_proxy_is_own() {
    let world = World::with(|config| {
        config.allowed_origins = vec![APP.to_owned()];
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let path = "/realtime/sse?channels=new-block";
    for (host, proto, allowed) in [
        ("chain.example", "https", true),
        // As sent by a proxy behind the one that terminates TLS.
        ("chain.example", "http", true),
        ("other.example", "https", false),
    ] {
        let headers = [
            ("origin", "https://chain.example"),
            ("x-forwarded-host", host),
            ("x-forwarded-proto", proto),
        ];
        let answer = send_request(&world, Method::GET, path, &headers).await;
        assert_eq!(answer.status() == 200, allowed, "{host} {proto}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_allows_the_headers_of_a_fetch_reader() {
    let world = world().await;
    let wanted = "authorization,last-event-id";
    for path in PATHS {
        let headers = [
            ("origin", APP),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", wanted),
        ];
        let answer = send_request(&world, Method::OPTIONS, path, &headers).await;
        assert_eq!(answer.status(), 204, "{path}");
        assert_eq!(readable(&answer, APP), (true, true), "{path}");
        let allowed = answer.headers();
        assert_eq!(allowed["access-control-allow-headers"], wanted, "{path}");
        let methods = allowed["access-control-allow-methods"].to_str().unwrap();
        assert!(methods.contains("GET"), "{path}: {methods}");

        let plain = send_request(&world, Method::OPTIONS, path, &headers[..2]).await;
        let named = plain.headers()["access-control-allow-headers"].to_str();
        assert!(named.unwrap().contains("last-event-id"), "{path}");
        let evil = send_request(&world, Method::OPTIONS, path, &[("origin", EVIL)]).await;
        assert_eq!(evil.status(), 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_request_checks_the_jwt() {
    let world = World::with(|config| {
        config.allowed_origins = vec![APP.to_owned()];
        secret(config);
        config.auth.mode = AuthMode::Required;
    })
    .await;
    let page = [("origin", APP)];
    let good = alice();
    for (query, status, code) in [
        (String::new(), 401, "UNAUTHORIZED"),
        ("?token=garbage".to_owned(), 401, "UNAUTHORIZED"),
        (format!("?token={good}"), 204, ""),
    ] {
        let path = format!("/realtime{query}");
        let answer = send_request(&world, Method::OPTIONS, &path, &page).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(readable(&answer, APP), (true, true), "{path}");
        assert!(answer.text().await.unwrap().contains(code), "{path}");
    }
    // A preflight has no JWT.
    let preflight = [
        ("origin", APP),
        ("access-control-request-method", "OPTIONS"),
    ];
    let answer = send_request(&world, Method::OPTIONS, "/realtime", &preflight).await;
    assert_eq!(answer.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_readable_for_allowed_pages() {
    let world = World::with(|config| {
        config.allowed_origins = vec![APP.to_owned()];
        config.limits.connections_per_address = 1;
    })
    .await;
    let stream = "/realtime/sse?channels=new-block";
    let held = send_request(&world, Method::GET, stream, &[]).await;
    assert_eq!(held.status(), 200);
    for (path, status) in [
        ("/realtime/sse", 400),
        ("/realtime/sse?channels=nope", 404),
        ("/realtime/sse?channels=new-block&mode=x", 400),
        ("/realtime/sse?channels=new-block&token=bad", 401),
        (stream, 429),
        ("/realtime", 426),
        ("/realtime?token=a&token=b", 400),
        ("/socket.io/?EIO=3&transport=polling", 400),
        ("/socket.io/?EIO=4&transport=polling", 429),
    ] {
        let answer = send_request(&world, Method::GET, path, &[("origin", APP)]).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(readable(&answer, APP), (true, true), "{path}");
        let after = answer.headers().get("retry-after");
        let seconds = after.map(|after| after.to_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(seconds.is_some_and(|s| s > 0), status == 429, "{path}");
    }
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn star_never_allows_credentials() {
    let world = World::start().await;
    for path in PATHS {
        for origin in [EVIL, "null"] {
            let answer = send_request(&world, Method::GET, path, &[("origin", origin)]).await;
            assert_eq!(readable(&answer, origin), (true, false), "{path} {origin}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_server_sends_retry_after() {
    let world = World::start().await;
    world.gateway.close(super::support::TIMEOUT).await;
    for path in [PATHS[2], PATHS[4]] {
        let answer = send_request(&world, Method::GET, path, &[]).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_last_event_id_restarts_the_stream() {
    let world = World::start().await;
    world.block(1);
    world.block(2);
    let target = "/realtime/sse?channels=new-block&channels=price:ETH";
    let mut sse = world.sse(target, "Last-Event-ID: not a position\r\n").await;
    assert!(sse.head.starts_with("HTTP/1.1 200"), "{}", sse.head);
    let ack = sse.until(r#""channels":"#).await;
    assert!(ack.contains(r#""channel":"price:ETH""#), "{ack}");
    assert!(ack.contains(r#""recovered":false"#), "{ack}");
    let snapshot = sse.until(r#""snapshot":true"#).await;
    assert!(snapshot.contains(r#""seq":2"#), "{snapshot}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_channel_is_named_in_full() {
    let world = World::start().await;
    let mut ws = world.ws().await;
    let names = [
        format!("tx:0x{}", "g".repeat(64)),
        format!("address:0x{}", "g".repeat(40)),
        format!("contract:{}:Transfer", "n".repeat(64)),
        format!("user:{}", "u".repeat(128)),
    ];
    let answer = ws.subscribe(serde_json::json!({"channels": names})).await;
    for (at, name) in names.iter().enumerate() {
        let channel = &answer["channels"][at];
        assert_eq!(channel["success"], false, "{channel}");
        assert_eq!(channel["channel"], name.as_str());
    }
    let long = format!("user:{}", "u".repeat(100_000 / 2));
    let answer = ws.subscribe(serde_json::json!({"channels": [long]})).await;
    let shown = answer["channels"][0]["channel"].as_str().unwrap();
    assert!(shown.len() <= 160, "{} characters", shown.len());
}
