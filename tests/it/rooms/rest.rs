//! Messages of backends over REST, and the history of rooms.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ROOMS, Rights, RoomClient,
    client::{answer, send},
};
use crate::support::{BareGateway, Server};

async fn post(server: &Server, token: &str, body: Value) -> (u16, Value) {
    answer(send(server, Method::POST, "/publish", token, Some(body)).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn backend_publishes_to_several_channels_at_once() {
    let gateway = BareGateway::start(ROOMS).await;
    let server = &gateway.server;
    let mut alice = RoomClient::join(server, "alice", "user:alice").await;
    let mut bob = RoomClient::join(server, "bob", "user:bob").await;
    let mut room = RoomClient::join(server, "carol", "room:open-1").await;
    room.0.subscribe(json!({"channel": "announcements"})).await;
    let token = Rights::of_role("publisher").token("shop");
    let body = json!({"channels": ["user:alice", "USER:bob", "room:Open-1", "announcements"],
        "type": "order", "payload": {"id": 7}, "key": "o7"});
    let (status, published) = post(server, &token, body.clone()).await;
    let names = ["user:alice", "user:bob", "room:open-1", "announcements"];
    let data = names.map(|name| json!({"channel": name, "seq": 1}));
    assert_eq!((status, &published["data"]), (200, &json!(data)));
    for client in [&mut alice, &mut bob] {
        let message = client.0.event("user-message").await;
        assert_eq!(message["data"]["from"], "shop");
        assert_eq!(message["data"]["payload"], json!({"id": 7}));
    }
    assert_eq!(room.message().await["data"]["type"], "order");
    assert_eq!(room.0.event("announcement").await["seq"], 1);
    // Sent again, it is stored once.
    assert_eq!(post(server, &token, body).await, (200, published));
    let (_, second) = post(server, &token, json!({"channel": "user:bob", "type": "t"})).await;
    assert_eq!(second["data"], json!([{"channel": "user:bob", "seq": 2}]));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_over_rest_is_limited() {
    let gateway = BareGateway::start(ROOMS).await;
    let server = &gateway.server;
    let publisher = Rights::of_role("publisher").token("shop");
    let narrow = Rights {
        publish: Some(&["user:*"]),
        ..Rights::of_role("publisher")
    };
    let narrow = narrow.token("shop");
    let user = Rights::default().token("alice");
    let to = |channel: &str| json!({"channel": channel, "type": "t"});
    let many: Vec<String> = (0..1_001).map(|number| format!("user:u{number}")).collect();
    for (token, body, status, code) in [
        ("", to("room:open-1"), 401, "UNAUTHORIZED"),
        (&user, to("room:open-1"), 403, "FORBIDDEN"),
        (&narrow, to("room:open-1"), 403, "FORBIDDEN"),
        (&publisher, to("new-block"), 403, "FORBIDDEN"),
        (&publisher, to("room:other"), 404, "UNKNOWN_CHANNEL"),
        (&publisher, to("nope"), 404, "UNKNOWN_CHANNEL"),
        (&publisher, json!({"type": "t"}), 400, "BAD_REQUEST"),
        (&publisher, json!({"channel": "user:a"}), 400, "BAD_REQUEST"),
        (
            &publisher,
            json!({"channels": [], "type": "t"}),
            400,
            "BAD_REQUEST",
        ),
        (
            &publisher,
            json!({"channels": many, "type": "t"}),
            400,
            "BAD_REQUEST",
        ),
        (
            &publisher,
            json!({"channels": ["user:a", "user:a"], "type": "t"}),
            400,
            "BAD_REQUEST",
        ),
        (
            &publisher,
            json!({"channel": "user:a", "channels": ["user:b"], "type": "t"}),
            400,
            "BAD_REQUEST",
        ),
        (
            &publisher,
            json!({"channel": "user:a", "type": "t", "key": ""}),
            400,
            "BAD_REQUEST",
        ),
        (
            &publisher,
            json!({"channel": "room:narrow", "type": "t", "payload": "x".repeat(80)}),
            413,
            "PAYLOAD_TOO_LARGE",
        ),
        (
            &publisher,
            json!({"channel": "user:a", "type": "t", "payload": "x".repeat(2 << 20)}),
            413,
            "PAYLOAD_TOO_LARGE",
        ),
    ] {
        let (got, problem) = post(server, token, body.clone()).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    for _ in 0..2 {
        assert_eq!(post(server, &publisher, to("room:narrow")).await.0, 200);
    }
    let limited = to("room:narrow");
    let response = send(server, Method::POST, "/publish", &publisher, Some(limited)).await;
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_of_a_room_follows_its_rules() {
    let gateway = BareGateway::start(ROOMS).await;
    let server = &gateway.server;
    let mut alice = RoomClient::connect(server, "alice").await;
    for room in ["room:open-1", "room:lobby-1"] {
        for number in 1..=3 {
            let ack = alice.publish(room, "hi").await;
            assert_eq!(ack["seq"], number);
        }
    }
    let token = Rights::default().token("bob");
    let excluded = Rights {
        channels: Some(&["room:open-*"]),
        ..Rights::default()
    };
    let excluded = excluded.token("bob");
    let get = async |room: &str, token: Option<&str>| {
        let url = format!("{}/api/v1/channels/{room}/updates?since=1", server.url());
        let request = reqwest::Client::new().get(url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        answer(request.send().await.unwrap()).await
    };
    for (room, token, status) in [
        ("room:open-1", None, 200),
        ("room:open-1", Some(token.as_str()), 200),
        ("room:lobby-1", Some(token.as_str()), 200),
        ("room:lobby-1", None, 401),
        ("room:lobby-1", Some("nonsense"), 401),
        ("room:lobby-1", Some(excluded.as_str()), 403),
        ("room:other", None, 404),
        ("user:alice", Some(token.as_str()), 403),
    ] {
        let (got, body) = get(room, token).await;
        assert_eq!(got, status, "{room} {token:?}: {body}");
        if status == 200 {
            let seqs: Vec<_> = body["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| &one["seq"])
                .collect();
            assert_eq!(seqs, [2, 3]);
        }
    }
    gateway.server.stop().await;
}
