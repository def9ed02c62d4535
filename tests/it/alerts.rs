//! Price alerts end to end: created over REST, fired by an on-chain feed, delivered to every device of the user.

mod rejections;
mod writer;

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Connection, Query, Received, Transport, World, WsClient, eventually, mint};

const HOUR: Duration = Duration::from_secs(3_600);
const ALERTS: &str = "/api/v1/alerts";
const DELIVERIES: &str = "/api/v1/alerts/deliveries";
/// The one token of the demo whose price follows its feed alone.
const TOKEN: &str = "USDC";

/// A user with an auth token.
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

    /// Status and body of the response.
    async fn fetch(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        read(self.send(method, path, body, None).await).await
    }

    /// Creates an alert for the token and returns its id.
    async fn create_alert(&self, condition: &str, threshold: &str, more: Value) -> i64 {
        let mut body = json!({"token": TOKEN, "condition": condition, "threshold": threshold});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let (status, alert) = self.fetch(Method::POST, ALERTS, Some(&body)).await;
        assert_eq!(status, 201, "{alert}");
        alert["id"].as_i64().unwrap()
    }

    async fn read(&self, alert: i64) -> Value {
        let (status, alert) = self
            .fetch(Method::GET, &format!("{ALERTS}/{alert}"), None)
            .await;
        assert_eq!(status, 200, "{alert}");
        alert
    }

    /// Waits until the writer has read all alerts: until another alert, created last and already true, has fired.
    async fn wait_until_read(&self) {
        let later = self.create_alert("above", "0.000001", json!({})).await;
        eventually("the writer has read the alerts", || async move {
            (self.read(later).await["fired"] == 1).then_some(())
        })
        .await;
        let fired = self.deliveries().await;
        let fired = fired.iter().find(|one| one["alertId"] == later).unwrap();
        let ids = json!({"ids": [fired["id"]]});
        let (status, answer) = self
            .fetch(Method::POST, &format!("{DELIVERIES}/ack"), Some(&ids))
            .await;
        assert_eq!((status, &answer["acknowledged"]), (200, &json!(1)));
    }

    async fn deliveries(&self) -> Vec<Value> {
        let (status, page) = self.fetch(Method::GET, DELIVERIES, None).await;
        assert_eq!(status, 200, "{page}");
        page["data"].as_array().unwrap().clone()
    }

    /// A subscribed device and the answer to its subscription.
    async fn connect_device(&self, sub: &str) -> (WsClient, Value) {
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

/// Sets the feed and waits until the price is published; its alerts were committed with it.
async fn set_price(world: &World, dollars: i64) {
    world.set_feed(TOKEN, dollars).await;
    eventually("the price is published", || async move {
        let price = world.get(&format!("/api/v1/prices/{TOKEN}")).await;
        (price["price"] == dollars).then_some(())
    })
    .await;
}

/// Every message that is queued for a device.
async fn drain(device: &mut WsClient) -> Vec<Value> {
    let pong = device.request("ping", Value::Null).await;
    assert_eq!(pong["event"], "pong");
    let waiting = std::mem::take(&mut device.backlog).into_iter();
    waiting
        .filter(|message| message["event"] == "price-alert")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_reaches_all_devices_until_acknowledged() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let (mut phone, answer) = alice.connect_device("alice").await;
    assert_eq!(answer["seq"], 0);
    let (mut laptop, _) = alice.connect_device("alice").await;
    let id = alice
        .create_alert("above", "2.50", json!({"note": "sell"}))
        .await;
    alice.wait_until_read().await;
    phone.event("price-alert").await;
    laptop.event("price-alert").await;

    set_price(&world, 3).await;
    let received = phone.event("price-alert").await;
    assert_eq!(received["channel"], "user:alice");
    assert_eq!(received["seq"], 2);
    let data = &received["data"];
    let expected = json!({
        "id": data["id"], "alertId": id, "token": TOKEN, "condition": "above", "threshold": 2.5, "price": 3,
        "status": "ok", "note": "sell", "timestamp": data["timestamp"],
    });
    assert_eq!(*data, expected);
    assert_eq!(laptop.event("price-alert").await, received);
    let listed = alice.deliveries().await;
    assert_eq!(listed, std::slice::from_ref(data));
    let alert = alice.read(id).await;
    assert_eq!(alert["fireOnDegraded"], false);
    assert_eq!(
        (&alert["active"], &alert["fired"]),
        (&json!(false), &json!(1))
    );

    // Missed, but delivered on the next connection.
    let (mut tablet, answer) = alice.connect_device("alice").await;
    assert_eq!(answer["recovered"], false);
    let returned = tablet.event("price-alert").await;
    assert_eq!(
        (&returned["snapshot"], &returned["data"]),
        (&json!(true), data)
    );

    let ids = json!({"ids": [data["id"]]});
    let answer = tablet.request("acknowledge", ids.clone()).await;
    assert_eq!(answer["data"], json!({"success": true, "acknowledged": 1}));
    let again = phone.request("acknowledge", ids).await;
    assert_eq!(again["data"]["acknowledged"], 0);
    let (mut watch, _) = alice.connect_device("alice").await;
    assert_eq!(drain(&mut watch).await, Vec::<Value>::new());
    assert_eq!(alice.deliveries().await, Vec::<Value>::new());
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeating_alert_rearms_after_hysteresis() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let always = json!({"repeat": "always", "hysteresis": 5});
    let id = alice.create_alert("above", "10", always).await;
    alice.wait_until_read().await;
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
async fn crash_neither_loses_nor_repeats_alerts() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let once = alice.create_alert("above", "2", json!({})).await;
    let always = alice
        .create_alert("above", "2", json!({"repeat": "always"}))
        .await;
    alice.wait_until_read().await;
    set_price(&world, 3).await;
    let world = world.crash_and_restart().await;
    let alice = User::new(&world, "alice");
    set_price(&world, 4).await;
    for id in [once, always] {
        assert_eq!(alice.read(id).await["fired"], 1);
    }
    let (mut device, _) = alice.connect_device("alice").await;
    let mut returned: Vec<i64> = drain(&mut device)
        .await
        .iter()
        .map(|message| message["data"]["alertId"].as_i64().unwrap())
        .collect();
    returned.sort_unstable();
    assert_eq!(returned, [once, always]);
    // The repeating alert still has to be rearmed.
    set_price(&world, 1).await;
    set_price(&world, 3).await;
    assert_eq!(alice.read(always).await["fired"], 2);
    assert_eq!(alice.read(once).await["fired"], 1);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn true_alert_fires_on_creation_deleted_one_never() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let (mut device, _) = alice.connect_device("alice").await;
    let below = alice.create_alert("below", "100", json!({})).await;
    let received = device.event("price-alert").await;
    assert_eq!(received["data"]["alertId"], below);
    let deleted = alice.create_alert("above", "5", json!({})).await;
    let path = format!("{ALERTS}/{deleted}");
    assert_eq!(
        alice.fetch(Method::DELETE, &path, None).await,
        (204, Value::Null)
    );
    set_price(&world, 7).await;
    assert_eq!(drain(&mut device).await, Vec::<Value>::new());
    assert_eq!(alice.fetch(Method::GET, &path, None).await.0, 404);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_client_receives_and_acknowledges_alert() {
    let world = World::start().await;
    let alice = User::new(&world, "alice");
    let base = world.server.url();
    let mut connection = Connection::open(Transport::SocketIo, base, &Query::default())
        .await
        .unwrap();
    connection
        .send_request("auth", &json!({"token": alice.token}))
        .await;
    assert_eq!(connection.receive_response().await["success"], true);
    connection
        .send_request("subscribe", &json!({"channel": "user:alice"}))
        .await;
    assert_eq!(connection.receive_response().await["success"], true);
    alice.create_alert("below", "100", json!({})).await;
    let id = loop {
        let received = tokio::time::timeout(crate::support::TIMEOUT, connection.receive()).await;
        match received.expect("the alert in time") {
            Received::Message(message) if message.event == "price-alert" => {
                break message.data["id"].clone();
            }
            Received::Closed(code, reason) => panic!("closed with {code} {reason}"),
            _ => {}
        }
    };
    connection
        .send_request("acknowledge", &json!({"ids": [id]}))
        .await;
    assert_eq!(
        connection.receive_response().await,
        json!({"success": true, "acknowledged": 1})
    );
    world.server.stop().await;
}
