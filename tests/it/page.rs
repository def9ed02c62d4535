//! The live page in real Chromium.

use std::time::Duration;

use crate::support::{BareGateway, ReverseProxy, Script, World, mint};

const PAGE: &str = "tests/browser/page.mjs";

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_live_prices_and_blocks() {
    let world = World::start().await;
    let mut page = Script::node(PAGE, &[world.server.url(), "--deadline", "100"]);
    page.line("the page waits for a price", |line| {
        line.contains("ready: watching for a live price")
    })
    .await;
    world.set_feed("ETH", 3_777).await;
    // The chart shows the first token and waits for its next price.
    let waiting = |line: &str| line.contains("ready: watching for a live candle of ");
    let line = page.line("the chart waits for a price", waiting).await;
    let token = line.rsplit(' ').next().unwrap_or_default().to_owned();
    world.set_feed(&token, 3_888).await;
    page.line("the page waits for a block", |line| {
        line.contains("ready: watching for a live block")
    })
    .await;
    world.control.mine(1).await.unwrap();
    // The page's console subscribes to price:BTC and waits for a message.
    world.set_feed("BTC", 63_333).await;
    page.finish().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_reorg_and_reconnects_after_restart() {
    let world = World::start().await;
    world.control.mine(3).await.unwrap();
    world.caught_up().await;
    let mut page = Script::node(
        PAGE,
        &[
            world.server.url(),
            "--expect-reorg",
            "--expect-reconnect",
            "--deadline",
            "100",
        ],
    );
    page.line("it watches for a reorg", |line| {
        line.contains("ready: watching for a reorg")
    })
    .await;
    world.control.reorg(2).await.unwrap();
    world.control.mine(1).await.unwrap();
    page.line("it watches for a reconnect", |line| {
        line.contains("ready: watching for a reconnect")
    })
    .await;
    let world = world.restart().await;
    page.finish().await;
    world.server.stop().await;
}

const NAMED: &str = "[gateway]\nallowed_origins = [\"https://app.example\"]";

#[tokio::test(flavor = "multi_thread")]
async fn page_connects_where_other_origins_are_listed() {
    let bare = BareGateway::start(NAMED).await;
    Script::node("tests/browser/origin.mjs", &[bare.server.url()])
        .finish()
        .await;
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_names_rejected_origin() {
    let bare = BareGateway::start(NAMED).await;
    let upstreams = [bare.server.address(); 2];
    // A proxy that hides the name by which it was reached.
    let proxy = ReverseProxy::start("nginx", upstreams, |text| {
        text.replace("Host $http_host", "Host elsewhere")
    })
    .await;
    let url = proxy.url("/");
    Script::node("tests/browser/origin.mjs", &[&url, "--refused"])
        .finish()
        .await;
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_accepts_a_jwt_where_one_is_required() {
    let bare = BareGateway::start("[gateway.auth]\nmode = \"required\"").await;
    let token = mint("alice", None, None, Duration::from_secs(3_600));
    let url = bare.server.url();
    Script::node("tests/browser/origin.mjs", &[url, "--token", &token])
        .finish()
        .await;
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn served_socketio_client_is_the_pinned_package() {
    let bare = BareGateway::start("").await;
    let package = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/node_modules/socket.io-client/dist/socket.io.min.js"
    );
    for name in ["socket.io.js", "socket.io.min.js"] {
        let url = format!("{}/socket.io/{name}", bare.server.url());
        let served = reqwest::get(url).await.unwrap();
        assert_eq!(served.status(), 200);
        assert_eq!(served.headers()["access-control-allow-origin"], "*");
        let kind = served.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(kind.starts_with("text/javascript"), "{kind}");
        let text = served.text().await.unwrap();
        assert_eq!(
            text,
            std::fs::read_to_string(package).unwrap(),
            "run scripts/vendor to update it"
        );
    }
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_is_served_to_pages_of_any_origin() {
    let bare = BareGateway::start("").await;
    let response = reqwest::get(format!("{}/client.js", bare.server.url()))
        .await
        .unwrap();
    let headers = response.headers().clone();
    assert_eq!(headers["access-control-allow-origin"], "*");
    // Browsers run a module only with the type of a script.
    let kind = headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("text/javascript"), "{kind}");
    assert!(response.text().await.unwrap().contains("createClient"));
    bare.server.stop().await;
}
