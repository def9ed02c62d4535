//! The built chaincast between venues on this machine and its clients: the data of three exchanges becomes one price
//! with its sources, and each exchange may stall, send wrong prices, disconnect and reconnect.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chaincast_testkit::{
    faulty_node::{BlockTree, Contents, FaultyNode},
    venue::{Action, Observed, Venue, VenueProtocol, VenueTick},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Server, TIMEOUT, TempDir, WsClient, eventually, fresh_database};

const CHAIN: u64 = 31_337;
/// Kind and name of each source; sorted by name, as prices list them.
const NAMES: [&str; 3] = ["binance", "coinbase", "kraken"];
const SYMBOLS: [&str; 3] = ["ETHUSD", "ETH-USD", "ETH/USD"];
const KRAKEN: usize = 2;
/// No tick goes stale within a test.
const LONG: u64 = 3_600_000;

/// Three venues with ETH, a node without traffic, and a configuration with them.
struct Setup {
    venues: [Arc<Venue>; 3],
    config: PathBuf,
    _node: FaultyNode,
    _dir: TempDir,
}

/// Sends the venues' prices again and again, so that they stay fresh.
struct PriceSender {
    prices: Arc<Mutex<[Option<&'static str>; 3]>>,
    _task: AbortOnDropHandle<()>,
}

impl Setup {
    /// `more` are keys of `[prices.exchanges]`. ETH needs all three sources to be `ok`.
    async fn new(max_age_ms: u64, more: &str) -> Self {
        let (database, dir) = (fresh_database().await, TempDir::new("venues"));
        let tree = BlockTree::new(CHAIN);
        tree.mine(&Contents::transfers(1, 1));
        let node = FaultyNode::from_tree(&tree).await.unwrap();
        let venues = [
            Venue::start(VenueProtocol::Binance).await.unwrap(),
            Venue::start(VenueProtocol::Coinbase).await.unwrap(),
            Venue::start(VenueProtocol::Kraken).await.unwrap(),
        ];
        let mut text = format!(
            "[server]\nport = 0\n[database]\nurl = {database:?}\n[bus]\npoll_interval_ms = 50\n\
             [gateway]\nping_interval_ms = 60000\nping_timeout_ms = 60000\n\
             [[chains]]\nchain_id = {CHAIN}\nrpc_url = {:?}\npoll_interval_ms = 500\n\
             [prices]\nmin_sources = 3\n\
             [prices.exchanges]\nbackoff_ms = 10\nbackoff_max_ms = 200\nmissed_heartbeats = 60\n{more}\n\
             [[prices.tokens]]\nsymbol = \"ETH\"\n",
            node.http_url()
        );
        for ((name, symbol), venue) in NAMES.iter().zip(SYMBOLS).zip(&venues) {
            text += &format!(
                "[[prices.sources]]\nkind = \"{name}\"\ntoken = \"ETH\"\nsymbol = \"{symbol}\"\nquote = \"USD\"\n\
                 url = {:?}\nmax_age_ms = {max_age_ms}\n",
                venue.url()
            );
        }
        let config = dir.path().join("chaincast.toml");
        std::fs::write(&config, text).unwrap();
        Self {
            venues: venues.map(Arc::new),
            config,
            _node: node,
            _dir: dir,
        }
    }

    /// Waits until every venue's state matches `wanted`.
    async fn wait_for_venues(&self, what: &str, wanted: impl Fn(usize, &Observed) -> bool) {
        for (at, venue) in self.venues.iter().enumerate() {
            let seen = venue.wait_until(|seen| wanted(at, seen));
            let seen = tokio::time::timeout(TIMEOUT, seen).await;
            assert!(
                seen.is_ok(),
                "{what} at {}: {:?}",
                NAMES[at],
                venue.observed()
            );
        }
    }

    /// Waits until each venue has exactly one connection, the one of this number, subscribed to its symbol.
    async fn wait_until_connected(&self, number: u64) {
        self.wait_for_venues("a connection", |at, seen| {
            seen.connections >= number && seen.open == 1 && seen.newest.contains(SYMBOLS[at])
        })
        .await;
    }

    /// Sends one price from each venue.
    fn send_price(&self, prices: [&str; 3]) {
        for ((venue, symbol), price) in self.venues.iter().zip(SYMBOLS).zip(prices) {
            venue.send_price(symbol, price);
        }
    }

    fn perform(&self, act: &Action) {
        self.venues.iter().for_each(|venue| venue.perform(act));
    }

    fn keep_sending(&self, prices: [&'static str; 3]) -> PriceSender {
        let prices = Arc::new(Mutex::new(prices.map(Some)));
        let (venues, current) = (self.venues.clone(), prices.clone());
        let handle = tokio::spawn(async move {
            loop {
                let current = *current.lock();
                for ((venue, symbol), price) in venues.iter().zip(SYMBOLS).zip(current) {
                    if let Some(price) = price {
                        venue.send_price(symbol, price);
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        PriceSender {
            prices,
            _task: AbortOnDropHandle::new(handle),
        }
    }
}

impl PriceSender {
    /// Sets the price that one venue sends from now on; none for `None`.
    fn set(&self, venue: usize, price: Option<&'static str>) {
        self.prices.lock()[venue] = price;
    }
}

/// The data of the first price update that matches `wanted`. Earlier messages are dropped.
async fn price(ws: &mut WsClient, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = ws
        .expect(what, |message| {
            message["event"] == "price-update" && wanted(&message["data"])
        })
        .await;
    ws.backlog.clear();
    found["data"].clone()
}

/// A price with all three sources.
async fn price_of_all(ws: &mut WsClient, what: &str) -> Value {
    price(ws, what, |data| data["sources"] == json!(NAMES)).await
}

async fn get_text(server: &Server, path: &str) -> Option<String> {
    let response = reqwest::get(format!("{}/api/v1{path}", server.url())).await;
    response.ok()?.text().await.ok()
}

async fn get(server: &Server, path: &str) -> Option<Value> {
    serde_json::from_str(&get_text(server, path).await?).ok()
}

/// Waits until `/status` reports this health and feed state for each source.
async fn status(server: &Server, wanted: [(&str, &str); 3]) -> Value {
    eventually(&format!("/status reports {wanted:?}"), || async {
        let status = get(server, "/status").await?;
        let sources = status["prices"]["sources"].as_array()?;
        let current: Vec<(&str, &str)> = sources
            .iter()
            .map(|source| {
                let state = source["feed"]["state"].as_str().unwrap_or_default();
                (source["health"].as_str().unwrap_or_default(), state)
            })
            .collect();
        (current == wanted).then(|| status["prices"]["sources"].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn price_uses_live_agreeing_venues_and_reports_none() {
    // Long enough for a slow machine to receive all three in time.
    const MAX_AGE_MS: u64 = 6_000;
    let fixture = Setup::new(MAX_AGE_MS, "").await;
    let server = Server::serve(&fixture.config).await;
    fixture.wait_until_connected(1).await;
    let pulse = fixture.keep_sending(["3000.1", "3000.2", "3000.3"]);
    let mut ws = WsClient::connect(&server.realtime()).await;
    ws.subscribe(json!({ "channel": "price:ETH", "mode": "all" }))
        .await;

    let data = price_of_all(&mut ws, "a price of all three").await;
    assert_eq!(data["price"].to_string(), "3000.2");
    assert_eq!(data["confidence"].to_string(), "0.1");
    assert_eq!(data["status"], "ok");
    let details = data["details"].as_array().unwrap();
    assert_eq!(details.len(), 3, "{data}");
    for (detail, name) in details.iter().zip(NAMES) {
        assert_eq!(detail["source"], name);
        assert_eq!(detail["outlier"], false);
        assert!(detail["block"].is_null(), "{detail}");
        let age = detail["ageMs"].as_u64().unwrap();
        assert!(age <= MAX_AGE_MS, "{detail}");
    }

    // One venue stalls: its connection stays open, and its price goes stale.
    pulse.set(KRAKEN, None);
    let data = price(&mut ws, "a price without it", |data| {
        data["sources"] == json!(["binance", "coinbase"])
    })
    .await;
    assert_eq!(data["status"], "degraded");
    assert_eq!(data["reason"], "few_venues");
    assert_eq!(data["price"].to_string(), "3000.15");
    assert_eq!(data["details"].as_array().unwrap().len(), 2, "{data}");
    pulse.set(KRAKEN, Some("3000.3"));
    price_of_all(&mut ws, "a price of all three again").await;

    // A price ten times too high is reported, and not used.
    pulse.set(KRAKEN, Some("30003"));
    let data = price(&mut ws, "an outlier", |data| {
        data["details"][KRAKEN]["outlier"] == true
    })
    .await;
    assert_eq!(data["details"][KRAKEN]["source"], "kraken");
    assert_eq!(data["sources"], json!(["binance", "coinbase"]));
    assert_eq!(data["price"].to_string(), "3000.15");
    assert_eq!(data["status"], "degraded");
    pulse.set(KRAKEN, Some("3000.3"));
    let data = price_of_all(&mut ws, "the correct price again").await;
    assert_eq!(data["price"].to_string(), "3000.2");

    // All venues become unreachable: every connection is closed at once.
    fixture.perform(&Action::Storm(u64::MAX));
    fixture.perform(&Action::Cut);
    let data = price(&mut ws, "a stale price", |data| data["status"] == "stale").await;
    assert!(
        data["ageMs"].as_u64().unwrap() > MAX_AGE_MS,
        "a price that is not current states its age: {data}"
    );
    let mut late = WsClient::connect(&server.realtime()).await;
    late.subscribe(json!({ "channel": "price:ETH" })).await;
    let snapshot = late.event("price-update").await;
    assert_eq!(snapshot["snapshot"], true);
    assert_eq!(snapshot["data"]["status"], "stale");
    assert_eq!(snapshot["data"]["reason"], "old");
    let rest = get(&server, "/prices/ETH").await.unwrap();
    assert_eq!(rest["status"], "stale");
    assert_eq!(rest["reason"], "old");
    let sources = status(&server, [("stale", "connecting"); 3]).await;
    for source in sources.as_array().unwrap() {
        let reason = source["feed"]["reason"].as_str();
        assert!(reason.is_some_and(|reason| !reason.is_empty()), "{source}");
    }
    assert!(!sources.to_string().contains("a-secret-key"), "{sources}");

    // They recover.
    fixture.perform(&Action::Storm(0));
    let data = price_of_all(&mut ws, "a price of all three after the outage").await;
    assert_eq!(data["status"], "ok");
    status(&server, [("ok", "live"); 3]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_has_every_digit_of_a_venue() {
    const PRICE: &str = "3000.123456789012345678";
    let fixture = Setup::new(LONG, "").await;
    let server = Server::serve(&fixture.config).await;
    fixture.wait_until_connected(1).await;
    fixture.send_price([PRICE; 3]);
    let digits = format!("\"price\":{PRICE},");
    let history = eventually("three ticks in the history", || async {
        let text = get_text(&server, "/prices/ETH/history").await?;
        let ticks: Value = serde_json::from_str(&text).ok()?;
        (ticks["data"].as_array()?.len() == 3).then_some(text)
    })
    .await;
    assert_eq!(history.matches(&digits).count(), 3, "{history}");
    for name in NAMES {
        assert!(
            history.contains(&format!("\"source\":\"{name}\"")),
            "{name}"
        );
    }
    // And in the price made of them.
    let price = eventually("a price of all three", || async {
        let text = get_text(&server, "/prices/ETH").await?;
        let price: Value = serde_json::from_str(&text).ok()?;
        (price["sources"] == json!(NAMES)).then_some(text)
    })
    .await;
    assert!(price.contains(&digits), "{price}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_separates_live_silent_and_rejecting_venues() {
    let fixture = Setup::new(LONG, "first_tick_ms = 500").await;
    let [binance, coinbase, _] = &fixture.venues;
    coinbase.perform(&Action::Refuse(SYMBOLS[1].to_owned()));
    let server = Server::serve(&fixture.config).await;
    let connected = binance.wait_until(|seen| seen.newest.contains(SYMBOLS[0]));
    let connected = tokio::time::timeout(TIMEOUT, connected).await;
    assert!(connected.is_ok(), "{:?}", binance.observed());
    binance.perform(&Action::Tick(VenueTick {
        bid: Some("2999".to_owned()),
        ask: Some("3001".to_owned()),
        ..VenueTick::new(SYMBOLS[0], "3000")
    }));
    let wanted = [("ok", "live"), ("refused", "refused"), ("silent", "silent")];
    let sources = status(&server, wanted).await;
    assert_eq!(sources[0]["lastPrice"].to_string(), "3000");
    assert_eq!(
        sources[1]["feed"]["reason"],
        "ETH-USD is not a valid product"
    );
    assert!(sources[1]["lastTickAt"].is_null() && sources[2]["lastTickAt"].is_null());
    // Half the spread is the confidence interval.
    let price = get(&server, "/prices/ETH").await.unwrap();
    assert_eq!(price["confidence"].to_string(), "1");
    assert_eq!(price["status"], "degraded");
    assert_eq!(price["reason"], "few_venues");
    server.stop().await;
}

/// Reads every update of the channel until the price is `wanted`; no seq may be missing.
async fn follow(ws: &mut WsClient, seq: &mut u64, what: &str, wanted: &str) {
    loop {
        let update = ws.event("price-update").await;
        *seq += 1;
        assert_eq!(update["seq"], *seq, "{what}: {update}");
        let data = &update["data"];
        let price = data["price"].to_string();
        if price == wanted && data["sources"] == json!(NAMES) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_connects_to_venues_when_price_writer_dies() {
    let fixture = Setup::new(LONG, "").await;
    let first = Server::serve(&fixture.config).await;
    fixture.wait_until_connected(1).await;
    let second = Server::serve(&fixture.config).await;
    let mut ws = WsClient::connect(&second.realtime()).await;
    let options = json!({ "channel": "price:ETH", "mode": "all", "snapshot": false });
    let at = ws.subscribe(options).await;
    let mut seq = at["seq"].as_u64().unwrap();
    fixture.send_price(["3000.1", "3000.2", "3000.3"]);
    follow(&mut ws, &mut seq, "of the first", "3000.2").await;
    for venue in &fixture.venues {
        assert_eq!(
            venue.observed().connections,
            1,
            "one process reads the venues"
        );
    }

    first.crash().await;
    fixture.wait_until_connected(2).await;
    fixture.send_price(["3100.1", "3100.2", "3100.3"]);
    follow(&mut ws, &mut seq, "of the second", "3100.2").await;
    status(&second, [("ok", "live"); 3]).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn venue_maintenance_is_reported_with_a_fresh_tick() {
    let fixture = Setup::new(LONG, "").await;
    let server = Server::serve(&fixture.config).await;
    fixture.wait_until_connected(1).await;
    fixture.send_price(["3000.1", "3000.2", "3000.3"]);
    let fine = ("ok", "live");
    status(&server, [fine, fine, fine]).await;
    for system in ["upcoming_maintenance", "maintenance", "emergency", "online"] {
        let output = json!({ "channel": "status", "type": "update", "data": [{
            "system": system, "api_version": "v2", "connection_id": 1, "version": "2.0.0" }] });
        fixture.venues[KRAKEN].perform(&Action::Say(output.to_string()));
        if system == "online" {
            status(&server, [fine, fine, fine]).await;
            break;
        }
        let what = format!("/status reports {system}");
        eventually(&what, || async {
            let status = get(&server, "/status").await?;
            let source = &status["prices"]["sources"][KRAKEN];
            let reason = source["feed"]["reason"].as_str()?;
            let current =
                reason.contains(&format!("\"{system}\"")) && source["health"] == "limited";
            (current && !source["lastTickAt"].is_null()).then_some(())
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_offset_is_in_the_status_until_corrected() {
    let fixture = Setup::new(LONG, "").await;
    let server = Server::serve(&fixture.config).await;
    fixture.wait_until_connected(1).await;
    // Binance's book messages have no time.
    let keep_sending_ticks = async |ahead_ms: i64| loop {
        for (venue, symbol) in fixture.venues.iter().zip(SYMBOLS).skip(1) {
            venue.perform(&Action::Tick(VenueTick {
                time_ms: Some(chaincast_protocol::now_ms() + ahead_ms),
                ..VenueTick::new(symbol, "3000")
            }));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let clock = async |what: &str, wanted: &dyn Fn(&Value) -> bool| {
        eventually(what, || async {
            let status = get(&server, "/status").await?;
            wanted(&status["prices"]["clock"]).then_some(())
        })
        .await;
    };
    for (side, ahead_ms) in [("behind", 5_000), ("ahead", -5_000)] {
        let is_off = |clock: &Value| {
            let off_ms = clock["offMs"].as_i64();
            off_ms.is_some_and(|off_ms| (off_ms + ahead_ms).abs() < 2_000)
                && clock["since"].is_i64()
        };
        let what = format!("a clock that is {side}");
        tokio::select! {
            () = keep_sending_ticks(ahead_ms) => {}
            () = clock(&what, &is_off) => {}
        }
        let line = format!("s {side} by the clocks of all venues");
        eventually("a line in the log", async || {
            server.output().contains(&line).then_some(())
        })
        .await;
        let metrics = reqwest::get(format!("{}/metrics", server.url()))
            .await
            .unwrap();
        let metrics = metrics.text().await.unwrap();
        let sign = if ahead_ms > 0 { "-" } else { "" };
        let metric = format!("chaincast_price_clock_off_milliseconds {sign}");
        let exposition = metrics.lines().find(|line| line.starts_with(&metric));
        assert!(
            exposition.is_some_and(|line| !line.ends_with(" 0")),
            "{exposition:?}"
        );
        tokio::select! {
            () = keep_sending_ticks(0) => {}
            () = clock("a correct clock", &Value::is_null) => {}
        }
    }
    server.stop().await;
}
