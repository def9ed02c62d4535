//! Alert requests that REST rejects: another user's alert, a missing JWT, invalid input, exceeded limits.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ALERTS, DELIVERIES, TOKEN, User, read};
use crate::support::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_private_to_their_user() {
    let world = World::start().await;
    let (alice, bob) = (User::new(&world, "alice"), User::new(&world, "bob"));
    let id = alice.create_alert("below", "0.5", json!({})).await;
    let path = format!("{ALERTS}/{id}");
    for method in [Method::GET, Method::DELETE] {
        let (status, problem) = bob.fetch(method, &path, None).await;
        assert_eq!((status, &problem["code"]), (404, &json!("NOT_FOUND")));
    }
    assert_eq!(
        bob.fetch(Method::GET, ALERTS, None).await.1["data"],
        json!([])
    );
    // The alert is unchanged and fires for its own user only.
    assert_eq!(alice.read(id).await["active"], true);
    alice.wait_until_read().await;
    assert_eq!(bob.deliveries().await, Vec::<Value>::new());
    // Another user cannot acknowledge it either, over REST or over the gateway.
    alice.create_alert("below", "100", json!({})).await;
    let fired = eventually("the alert fires", || async {
        alice.deliveries().await.pop()
    })
    .await;
    let ids = json!({"ids": [fired["id"]]});
    let ack = format!("{DELIVERIES}/ack");
    let none = bob.fetch(Method::POST, &ack, Some(&ids)).await;
    assert_eq!(none, (200, json!({"acknowledged": 0})));
    let (mut device, _) = bob.connect_device("bob").await;
    let none = device.request("acknowledge", ids).await;
    assert_eq!(none["data"], json!({"success": true, "acknowledged": 0}));
    assert_eq!(alice.deliveries().await, [fired]);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_requests_without_a_valid_jwt() {
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
        let (status, problem) = stranger.fetch(method.clone(), &path, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (401, &json!("UNAUTHORIZED")),
            "{method} {path}"
        );
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_unavailable_with_auth_off() {
    let world = World::with("[gateway.auth]\nmode = \"off\"").await;
    for path in [ALERTS, DELIVERIES] {
        let answer = reqwest::get(world.url(path)).await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        assert_eq!(read(answer).await.1["code"], "FORBIDDEN", "{path}");
    }
    let user = User {
        world: &world,
        token: "any".to_owned(),
    };
    let (status, problem) = user.fetch(Method::GET, ALERTS, None).await;
    assert_eq!((status, &problem["code"]), (403, &json!("FORBIDDEN")));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_excess_duplicate_and_invalid_requests() {
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
        let (answered, problem) = alice.fetch(Method::POST, ALERTS, Some(&body)).await;
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
        let (status, problem) = alice.fetch(method.clone(), &path, Some(&good)).await;
        assert_eq!(
            (status, &problem["code"], &problem["parameter"]),
            (400, &json!("BAD_REQUEST"), &json!("limt")),
            "{method} {path}"
        );
    }
    let mut trembling = good.clone();
    trembling["repeat"] = json!("always");
    trembling["hysteresis"] = json!("0.999");
    let (status, problem) = alice.fetch(Method::POST, ALERTS, Some(&trembling)).await;
    assert_eq!(status, 400, "{problem}");
    assert_eq!(problem["code"], "INVALID_HYSTERESIS");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("at least 1,"), "{detail}");
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
        .fetch(Method::GET, &format!("{ALERTS}?limit=1"), None)
        .await
        .1;
    assert_eq!(page["data"], json!([second]));
    let next = page["next"].as_str().unwrap();
    let rest = format!("{ALERTS}?limit=1&cursor={next}");
    let rest = alice.fetch(Method::GET, &rest, None).await.1;
    assert_eq!(
        (&rest["data"], &rest["next"]),
        (&json!([first]), &Value::Null)
    );

    let mut gone = second;
    for _ in 0..2 {
        let path = format!("{ALERTS}/{}", gone["id"]);
        assert_eq!(alice.fetch(Method::DELETE, &path, None).await.0, 204);
        let (status, made) = make(None).await;
        assert_eq!(status, 201, "{made}");
        gone = made;
    }
    let path = format!("{ALERTS}/{}", gone["id"]);
    assert_eq!(alice.fetch(Method::DELETE, &path, None).await.0, 204);
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
