//! Price alerts end to end: made by REST, fired by what a feed on the chain says, heard by every device.

mod writer;

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Heard, Line, Over, Query, World, WsClient, eventually, mint};

const HOUR: Duration = Duration::from_secs(3_600);
const ALERTS: &str = "/api/v1/alerts";
const DELIVERIES: &str = "/api/v1/alerts/deliveries";
/// The one token of the demo whose price is what its feed says.
const TOKEN: &str = "USDC";

/// Somebody with a token.
struct User<'a> {
    world: &'a World,
    token: String,
}

impl<'a> User<'a> {
    fn new(world: &'a World, sub: &str) -> Self {
        Self {
            world,
            token: mint(sub, None, None, HOUR),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Response {
        let http = reqwest::Client::new();
        let mut request = http
            .request(method, self.world.url(path))
            .bearer_auth(&self.token);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        request.send().await.unwrap()
    }

    /// Status and body of an answer.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        read(self.send(method, path, body, None).await).await
    }

    /// Makes an alert of the token and returns its id.
    async fn alert(&self, condition: &str, threshold: &str, more: Value) -> i64 {
        let mut body = json!({"token": TOKEN, "condition": condition, "threshold": threshold});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let (status, alert) = self.ask(Method::POST, ALERTS, Some(&body)).await;
        assert_eq!(status, 201, "{alert}");
        alert["id"].as_i64().unwrap()
    }

    async fn read(&self, alert: i64) -> Value {
        let (status, alert) = self
            .ask(Method::GET, &format!("{ALERTS}/{alert}"), None)
            .await;
        assert_eq!(status, 200, "{alert}");
        alert
    }

    /// Waits until the writer has seen an alert: until another one, made after it, which holds already, fired.
    async fn seen(&self) {
        let later = self.alert("above", "0.000001", json!({})).await;
        eventually("the writer has seen the alerts", || async move {
            (self.read(later).await["fired"] == 1).then_some(())
        })
        .await;
        let fired = self.deliveries().await;
        let fired = fired.iter().find(|one| one["alertId"] == later).unwrap();
        let ids = json!({"ids": [fired["id"]]});
        let (status, answer) = self
            .ask(Method::POST, &format!("{DELIVERIES}/ack"), Some(&ids))
            .await;
        assert_eq!((status, &answer["acknowledged"]), (200, &json!(1)));
    }

    async fn deliveries(&self) -> Vec<Value> {
        let (status, page) = self.ask(Method::GET, DELIVERIES, None).await;
        assert_eq!(status, 200, "{page}");
        page["data"].as_array().unwrap().clone()
    }

    /// A device that is subscribed, and the answer to that.
    async fn device(&self, sub: &str) -> (WsClient, Value) {
        let url = format!("{}?token={}", self.world.server.realtime(), self.token);
        let mut device = WsClient::connect(&url).await;
        let channel = json!({"channel": format!("user:{sub}")});
        let answer = device.subscribe(channel).await;
        assert_eq!(answer["success"], true, "{answer}");
        (device, answer)
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap(),
    };
    (status, body)
}

/// Has the feed say this, and waits until it is the announced price: what it fires was committed with it.
async fn set_price(world: &World, dollars: i64) {
    world.set_feed(TOKEN, dollars).await;
    eventually("the price is announced", || async move {
        let price = world.get(&format!("/api/v1/prices/{TOKEN}")).await;
        (price["price"] == dollars).then_some(())
    })
    .await;
}

/// Everything that waits at a device.
async fn drained(device: &mut WsClient) -> Vec<Value> {
    let pong = device.request("ping", Value::Null).await;
    assert_eq!(pong["event"], "pong");
    let waiting = std::mem::take(&mut device.backlog).into_iter();
    waiting
        .filter(|message| message["event"] == "price-alert")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_hears_an_alert_and_new_ones_do_until_one_acknowledges_it() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let (mut phone, answer) = alice.device("alice").await;
    assert_eq!(answer["seq"], 0);
    let (mut laptop, _) = alice.device("alice").await;
    let id = alice.alert("above", "2.50", json!({"note": "sell"})).await;
    alice.seen().await;
    phone.event("price-alert").await;
    laptop.event("price-alert").await;

    set_price(&world, 3).await;
    let heard = phone.event("price-alert").await;
    assert_eq!(heard["channel"], "user:alice");
    assert_eq!(heard["seq"], 2);
    let data = &heard["data"];
    let expected = json!({
        "id": data["id"], "alertId": id, "token": TOKEN, "condition": "above", "threshold": 2.5, "price": 3,
        "status": "ok", "note": "sell", "timestamp": data["timestamp"],
    });
    assert_eq!(*data, expected);
    assert_eq!(laptop.event("price-alert").await, heard);
    let listed = alice.deliveries().await;
    assert_eq!(listed, std::slice::from_ref(data));
    let alert = alice.read(id).await;
    assert_eq!(
        (&alert["active"], &alert["fired"]),
        (&json!(false), &json!(1))
    );

    // Missed, and there on the next connection.
    let (mut tablet, answer) = alice.device("alice").await;
    assert_eq!(answer["recovered"], false);
    let shown = tablet.event("price-alert").await;
    assert_eq!((&shown["snapshot"], &shown["data"]), (&json!(true), data));

    let ids = json!({"ids": [data["id"]]});
    let answer = tablet.request("acknowledge", ids.clone()).await;
    assert_eq!(answer["data"], json!({"success": true, "acknowledged": 1}));
    let again = phone.request("acknowledge", ids).await;
    assert_eq!(again["data"]["acknowledged"], 0);
    let (mut watch, _) = alice.device("alice").await;
    assert_eq!(drained(&mut watch).await, Vec::<Value>::new());
    assert_eq!(alice.deliveries().await, Vec::<Value>::new());
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeating_alert_fires_again_once_the_price_went_back_by_the_hysteresis() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let always = json!({"repeat": "always", "hysteresis": 5});
    let id = alice.alert("above", "10", always).await;
    alice.seen().await;
    for (dollars, fired, armed) in [
        (12, 1, false),
        (11, 1, false),
        (6, 1, false),
        (12, 1, false),
        (5, 1, true),
        (9, 1, true),
        (10, 2, false),
    ] {
        set_price(&world, dollars).await;
        let alert = alice.read(id).await;
        assert_eq!(
            (&alert["fired"], &alert["armed"], &alert["active"]),
            (&json!(fired), &json!(armed), &json!(true)),
            "{dollars}"
        );
    }
    let prices: Vec<Value> = alice
        .deliveries()
        .await
        .iter()
        .map(|one| one["price"].clone())
        .collect();
    assert_eq!(prices, [json!(10), json!(12)], "newest first");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_no_alert_and_fires_none_twice() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let once = alice.alert("above", "2", json!({})).await;
    let always = alice.alert("above", "2", json!({"repeat": "always"})).await;
    alice.seen().await;
    set_price(&world, 3).await;
    let world = world.crash_and_restart().await;
    let alice = User::new(&world, "alice");
    set_price(&world, 4).await;
    for id in [once, always] {
        assert_eq!(alice.read(id).await["fired"], 1);
    }
    let (mut device, _) = alice.device("alice").await;
    let mut shown: Vec<i64> = drained(&mut device)
        .await
        .iter()
        .map(|message| message["data"]["alertId"].as_i64().unwrap())
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, [once, always]);
    // And the one that repeats is still to be armed again.
    set_price(&world, 1).await;
    set_price(&world, 3).await;
    assert_eq!(alice.read(always).await["fired"], 2);
    assert_eq!(alice.read(once).await["fired"], 1);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_holds_already_fires_at_once_and_one_that_is_deleted_never() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let (mut device, _) = alice.device("alice").await;
    let below = alice.alert("below", "100", json!({})).await;
    let heard = device.event("price-alert").await;
    assert_eq!(heard["data"]["alertId"], below);
    let deleted = alice.alert("above", "5", json!({})).await;
    let path = format!("{ALERTS}/{deleted}");
    assert_eq!(
        alice.ask(Method::DELETE, &path, None).await,
        (204, Value::Null)
    );
    set_price(&world, 7).await;
    assert_eq!(drained(&mut device).await, Vec::<Value>::new());
    assert_eq!(alice.ask(Method::GET, &path, None).await.0, 404);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_heard_and_acknowledged_over_socketio_too() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let base = world.server.url();
    let mut line = Line::open(Over::SocketIo, base, &Query::default())
        .await
        .unwrap();
    line.ask("auth", &json!({"token": alice.token})).await;
    assert_eq!(line.answer().await["success"], true);
    line.ask("subscribe", &json!({"channel": "user:alice"}))
        .await;
    assert_eq!(line.answer().await["success"], true);
    alice.alert("below", "100", json!({})).await;
    let id = loop {
        let heard = tokio::time::timeout(crate::support::PATIENCE, line.hear()).await;
        match heard.expect("the alert in time") {
            Heard::Message(message) if message.event == "price-alert" => {
                break message.data["id"].clone();
            }
            Heard::Closed(code, reason) => panic!("closed with {code} {reason}"),
            _ => {}
        }
    };
    line.ask("acknowledge", &json!({"ids": [id]})).await;
    assert_eq!(
        line.answer().await,
        json!({"success": true, "acknowledged": 1})
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_their_users_alone() {
    let world = World::start().await;
    let (alice, bob) = (User::new(&world, "alice"), User::new(&world, "bob"));
    let id = alice.alert("below", "0.5", json!({})).await;
    let path = format!("{ALERTS}/{id}");
    for method in [Method::GET, Method::DELETE] {
        let (status, problem) = bob.ask(method, &path, None).await;
        assert_eq!((status, &problem["code"]), (404, &json!("NOT_FOUND")));
    }
    assert_eq!(
        bob.ask(Method::GET, ALERTS, None).await.1["data"],
        json!([])
    );
    // It is there as before, and fires for its user alone.
    assert_eq!(alice.read(id).await["active"], true);
    alice.seen().await;
    assert_eq!(bob.deliveries().await, Vec::<Value>::new());
    // Nor does anybody else acknowledge it, in either way.
    alice.alert("below", "100", json!({})).await;
    let fired = eventually("the alert fires", || async {
        alice.deliveries().await.pop()
    })
    .await;
    let ids = json!({"ids": [fired["id"]]});
    let ack = format!("{DELIVERIES}/ack");
    let none = bob.ask(Method::POST, &ack, Some(&ids)).await;
    assert_eq!(none, (200, json!({"acknowledged": 0})));
    let (mut device, _) = bob.device("bob").await;
    let none = device.request("acknowledge", ids).await;
    assert_eq!(none["data"], json!({"success": true, "acknowledged": 0}));
    assert_eq!(alice.deliveries().await, [fired]);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_there_is_nothing() {
    let world = World::start().await;
    let stranger = User {
        world: &world,
        token: "not-a-token".to_owned(),
    };
    let http = reqwest::Client::new();
    let body = json!({"ids": []});
    for (method, path, body) in [
        (Method::GET, ALERTS.to_owned(), None),
        (Method::POST, ALERTS.to_owned(), Some(&body)),
        (Method::GET, format!("{ALERTS}/1"), None),
        (Method::DELETE, format!("{ALERTS}/1"), None),
        (Method::GET, DELIVERIES.to_owned(), None),
        (Method::POST, format!("{DELIVERIES}/ack"), Some(&body)),
    ] {
        let bare = http.request(method.clone(), world.url(&path));
        let answer = bare.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{method} {path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let (_, problem) = read(answer).await;
        assert_eq!(problem["code"], "UNAUTHORIZED", "{method} {path}");
        let (status, problem) = stranger.ask(method.clone(), &path, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (401, &json!("UNAUTHORIZED")),
            "{method} {path}"
        );
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_too_often_twice_or_wrongly_is_told_by_its_code() {
    let world =
        World::with("[api.alerts]\nper_user = 2\ncreations = 4\nrate_window_ms = 3600000").await;
    let alice = User::new(&world, "alice");
    let good = json!({"token": TOKEN, "condition": "above", "threshold": "1000"});
    for (field, value, status, code) in [
        ("token", json!("NOPE"), 404, "UNKNOWN_TOKEN"),
        ("threshold", json!("-1"), 400, "INVALID_THRESHOLD"),
        ("condition", json!("over"), 400, "INVALID_CONDITION"),
        ("hysteresis", json!("1"), 400, "INVALID_HYSTERESIS"),
        ("surprise", json!(1), 400, "BAD_REQUEST"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let (answered, problem) = alice.ask(Method::POST, ALERTS, Some(&body)).await;
        assert_eq!(
            (answered, &problem["code"]),
            (status, &json!(code)),
            "{problem}"
        );
    }
    for (method, path) in [
        (Method::GET, ALERTS.to_owned()),
        (Method::POST, ALERTS.to_owned()),
        (Method::GET, format!("{ALERTS}/1")),
        (Method::DELETE, format!("{ALERTS}/1")),
        (Method::GET, DELIVERIES.to_owned()),
        (Method::POST, format!("{DELIVERIES}/ack")),
    ] {
        let path = format!("{path}?limt=5");
        let (status, problem) = alice.ask(method.clone(), &path, Some(&good)).await;
        assert_eq!(
            (status, &problem["code"], &problem["parameter"]),
            (400, &json!("BAD_REQUEST"), &json!("limt")),
            "{method} {path}"
        );
    }
    let make = async |key: Option<&str>| {
        read(alice.send(Method::POST, ALERTS, Some(&good), key).await).await
    };
    let (status, first) = make(Some("k1")).await;
    assert_eq!(status, 201, "{first}");
    assert_eq!(make(Some("k1")).await, (200, first.clone()));
    let mut other = good.clone();
    other["threshold"] = json!("1001");
    let reused = alice
        .send(Method::POST, ALERTS, Some(&other), Some("k1"))
        .await;
    let (status, problem) = read(reused).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("IDEMPOTENCY_KEY_REUSED"))
    );

    let (status, second) = make(None).await;
    assert_eq!(status, 201, "{second}");
    let (status, problem) = make(None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("TOO_MANY_ALERTS")));
    let page = alice
        .ask(Method::GET, &format!("{ALERTS}?limit=1"), None)
        .await
        .1;
    assert_eq!(page["data"], json!([second]));
    let next = page["next"].as_str().unwrap();
    let rest = format!("{ALERTS}?limit=1&cursor={next}");
    let rest = alice.ask(Method::GET, &rest, None).await.1;
    assert_eq!(
        (&rest["data"], &rest["next"]),
        (&json!([first]), &Value::Null)
    );

    let mut gone = second;
    for _ in 0..2 {
        let path = format!("{ALERTS}/{}", gone["id"]);
        assert_eq!(alice.ask(Method::DELETE, &path, None).await.0, 204);
        let (status, made) = make(None).await;
        assert_eq!(status, 201, "{made}");
        gone = made;
    }
    let path = format!("{ALERTS}/{}", gone["id"]);
    assert_eq!(alice.ask(Method::DELETE, &path, None).await.0, 204);
    let answer = alice.send(Method::POST, ALERTS, Some(&good), None).await;
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    let (status, problem) = read(answer).await;
    assert_eq!((status, &problem["code"]), (429, &json!("RATE_LIMITED")));
    world.server.stop().await;
}
