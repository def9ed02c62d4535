//! One rule for `Origin`: REST and every transport of the gateway allow the same pages for the same list.

use reqwest::{Client, Method, RequestBuilder};

use crate::support::{BareGateway, Server, WsClient};

/// A list, an `Origin`, and whether it is allowed.
type Case = (&'static str, bool);

const SETTINGS: [(&[&str], &[Case]); 4] = [
    (
        &["https://App.Example", "http://Other.Example:80/"],
        &[
            ("https://app.example", true),
            ("https://APP.EXAMPLE", true),
            ("https://app.example:443", true),
            ("HTTPS://app.example", true),
            ("http://other.example", true),
            ("http://other.example:80", true),
            ("https://app.example:8443", false),
            ("http://app.example", false),
            ("http://app.example:443", false),
            ("https://other.example", false),
            // Another host for browsers.
            ("https://app.example.", false),
            ("https://app.example.evil", false),
            ("https://evil.app.example", false),
            ("https://app.example/page", false),
            ("null", false),
        ],
    ),
    (
        &["https://app.example:443", "https://dotted.example."],
        &[
            ("https://app.example", true),
            ("https://app.example:443", true),
            ("https://dotted.example.", true),
            ("https://dotted.example", false),
        ],
    ),
    (
        &[
            "http://[0:0:0:0:0:0:0:1]:3000",
            "https://[2001:DB8::0:1]",
            "null",
        ],
        &[
            ("http://[::1]:3000", true),
            ("http://[0::1]:3000", true),
            ("https://[2001:db8::1]", true),
            ("https://[2001:db8:0:0:0:0:0:1]:443", true),
            ("null", true),
            ("http://[::1]", false),
            ("http://[::2]:3000", false),
            ("https://[::1]:3000", false),
            ("http://::1:3000", false),
        ],
    ),
    (
        &["*"],
        &[
            ("https://app.example", true),
            ("http://[::1]", true),
            ("null", true),
        ],
    ),
];

/// The server's own origin, in every spelling, is allowed under each list.
fn own(server: &Server) -> [(String, bool); 3] {
    let address = server.address();
    let port = server.port();
    [
        (format!("http://{address}"), true),
        (format!("https://{address}"), true),
        (format!("http://127.0.0.1:{}", port ^ 1), false),
    ]
}

/// Whether a page may read the response.
async fn is_readable(request: RequestBuilder, origin: &str) -> bool {
    let answer = request.header("origin", origin).send().await.unwrap();
    let named = answer.headers().get("access-control-allow-origin");
    let readable = named.is_some_and(|named| named == origin || named == "*");
    assert_eq!(
        answer.status() == 403,
        !readable && !answer.url().path().starts_with("/api"),
        "{} {origin}: {}",
        answer.url(),
        answer.status()
    );
    readable
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_and_transports_allow_the_same_origins() {
    let http = Client::new();
    for (list, cases) in SETTINGS {
        let list = format!("allowed_origins = {list:?}");
        let world = BareGateway::start(&format!("[gateway]\n{list}\n[api]\n{list}")).await;
        let server = &world.server;
        let mut cases: Vec<_> = cases
            .iter()
            .map(|(origin, allowed)| ((*origin).to_owned(), *allowed))
            .collect();
        if !list.contains('*') {
            cases.extend(own(server));
        }
        for (origin, allowed) in &cases {
            let get = |path: &str| http.get(format!("{}{path}", server.url()));
            let preflight = |path: &str| {
                http.request(Method::OPTIONS, format!("{}{path}", server.url()))
                    .header("access-control-request-method", "GET")
            };
            for request in [
                get("/api/v1/tokens"),
                preflight("/api/v1/tokens"),
                get("/socket.io/?EIO=4&transport=polling"),
                preflight("/socket.io/?EIO=4&transport=polling"),
                get("/realtime/sse?channels=price:ETH"),
                preflight("/realtime/sse?channels=price:ETH"),
                preflight("/realtime"),
            ] {
                let shown = format!("{request:?}");
                let readable = is_readable(request, origin).await;
                assert_eq!(readable, *allowed, "{list}, {origin}: {shown}");
            }
            let url = format!("ws://{}/realtime", server.address());
            let ws = WsClient::try_connect(&url, &[("origin", origin)]).await;
            assert_eq!(ws.is_ok(), *allowed, "{list}, {origin}: WebSocket");
        }
    }
}
