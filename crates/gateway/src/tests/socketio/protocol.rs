//! Socket.IO 5: the cases of its protocol document, for the one supported namespace.

use serde_json::{Value, json};

use super::client::{Poller, Socket, event};
use crate::tests::support::World;

const QUIET: &str = r#"{"autoSubscribe":false}"#;

/// A WebSocket that has not joined a namespace, and the secret id of its session.
async fn open_unjoined(world: &World) -> (Socket, String) {
    let mut socket = Socket::open(world, None).await;
    let open = socket.text().await;
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    (socket, open["sid"].as_str().unwrap().to_owned())
}

/// The public id in a connect packet, which has no other content.
fn public_id(packet: &str) -> String {
    let json = packet.strip_prefix("40/realtime,");
    let json: Value = serde_json::from_str(json.unwrap_or_else(|| panic!("{packet}"))).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 1, "{packet}");
    json["sid"].as_str().unwrap().to_owned()
}

/// The value of the acknowledgement with this id.
fn acked(packet: &str, id: &str) -> Value {
    let json = packet.strip_prefix(&format!("43/realtime,{id}"));
    let json: Value = serde_json::from_str(json.unwrap_or_else(|| panic!("{packet}"))).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1, "{packet}");
    json[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_with_and_without_payload() {
    let world = World::start().await;
    for connect in [
        "40/realtime,",
        "40/realtime",
        "40/realtime,{}",
        r#"40/realtime,{"token":"","autoSubscribe":false}"#,
        r#"40/realtime,{"of":"others","nested":[{"a":1}]}"#,
    ] {
        let (mut socket, secret) = open_unjoined(&world).await;
        socket.send(connect).await;
        let id = public_id(&socket.text().await);
        assert_ne!(
            id, secret,
            "{connect}: the secret id differs from the public id"
        );
        let connected = event(&socket.text().await, "connected");
        assert_eq!(connected["clientId"], id.as_str(), "{connect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_namespaces_are_invalid() {
    let world = World::start().await;
    let (mut socket, _) = open_unjoined(&world).await;
    for (connect, refused) in [
        ("40", r#"44{"message":"Invalid namespace"}"#),
        (
            "40{\"token\":\"123\"}",
            r#"44{"message":"Invalid namespace"}"#,
        ),
        ("40/random", r#"44/random,{"message":"Invalid namespace"}"#),
        (
            "40/random,{}",
            r#"44/random,{"message":"Invalid namespace"}"#,
        ),
        (
            "40/realtime/,",
            r#"44/realtime/,{"message":"Invalid namespace"}"#,
        ),
        (
            "40/REALTIME,",
            r#"44/REALTIME,{"message":"Invalid namespace"}"#,
        ),
    ] {
        socket.send(connect).await;
        assert_eq!(socket.text().await, refused, "{connect}");
    }
    socket.send(&format!("40/realtime,{QUIET}")).await;
    public_id(&socket.text().await);
    event(&socket.text().await, "connected");
    socket.send("40/random,").await;
    assert!(socket.text().await.starts_with("44/random,"));
    socket.send(r#"42/realtime,["ping"]"#).await;
    event(&socket.text().await, "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_join_has_message_and_code() {
    let world = World::with(|config| {
        config.limits.requests = 1;
        config.limits.abuse_requests = 10;
    })
    .await;
    let (mut socket, _) = open_unjoined(&world).await;
    for (auth, code) in [
        (r#"{"token":"not.a.token"}"#, "UNAUTHORIZED"),
        (r#"{"token":{}}"#, "BAD_REQUEST"),
        ("[1]", "BAD_REQUEST"),
        ("{", "BAD_REQUEST"),
    ] {
        socket.send(&format!("40/realtime,{auth}")).await;
        let refused = socket.text().await;
        let json = refused.strip_prefix("44/realtime,").unwrap();
        let error: Value = serde_json::from_str(json).unwrap();
        assert_eq!(error["data"], json!({"code": code}), "{refused}");
        assert!(
            error["message"].as_str().is_some_and(|m| m.len() > 5),
            "{refused}"
        );
    }
    let connect = format!("40/realtime,{QUIET}");
    for _ in 0..2 {
        socket.send(&connect).await;
        public_id(&socket.text().await);
        event(&socket.text().await, "connected");
        socket.send("41/realtime,").await;
    }
    socket.send(&connect).await;
    let limited = socket.text().await;
    let error: Value = serde_json::from_str(limited.strip_prefix("44/realtime,").unwrap()).unwrap();
    assert_eq!(error["data"]["code"], "RATE_LIMITED");
    assert!(error["data"]["retryAfterMs"].is_u64(), "{limited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejoin_gets_a_new_id() {
    let world = World::start().await;
    let (mut socket, _) = open_unjoined(&world).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        socket.send(&format!("40/realtime,{QUIET}")).await;
        let id = public_id(&socket.text().await);
        let connected = event(&socket.text().await, "connected");
        assert_eq!(connected["clientId"], id.as_str());
        assert!(!ids.contains(&id), "{ids:?}");
        ids.push(id);
        // Leaving a namespace that was not joined has no effect.
        socket.send("41").await;
        socket.send("41/other,").await;
        socket.send(r#"42/realtime,["ping"]"#).await;
        event(&socket.text().await, "pong");
        socket.send("41/realtime,").await;
    }
    socket.send("2").await;
    assert_eq!(socket.text().await, "3", "the connection stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_with_id_are_acknowledged() {
    let world = World::start().await;
    let mut socket = Socket::join(&world, QUIET).await;
    for id in ["0", "7", "456", "9007199254740991"] {
        socket
            .send(&format!(r#"42/realtime,{id}["subscriptions"]"#))
            .await;
        let answer = acked(&socket.text().await, id);
        assert_eq!(answer, json!({"success": true, "channels": []}));
    }
    // Success without an acknowledgement is silent; arguments beyond the first are ignored.
    socket.send(r#"42/realtime,["subscriptions"]"#).await;
    socket
        .send(r#"42/realtime,1["unsubscribe","price:ETH",{"3":[true]},"more"]"#)
        .await;
    assert_eq!(acked(&socket.text().await, "1")["channel"], "price:ETH");
    for name in ["dance", "connect", "disconnect"] {
        socket.send(&format!(r#"42/realtime,2["{name}"]"#)).await;
        let answer = acked(&socket.text().await, "2");
        assert_eq!(answer["error"]["code"], "UNKNOWN_EVENT", "{name}");
    }
    // A number is a valid, but unknown, name.
    socket.send(r#"42/realtime,[1,"ping",null]"#).await;
    assert_eq!(
        event(&socket.text().await, "error")["code"],
        "UNKNOWN_EVENT"
    );
    // Unrequested acknowledgements are ignored.
    socket.send("43/realtime,5[]").await;
    socket.send(r#"43/realtime,["a",1]"#).await;
    socket.send(r#"42/realtime,["ping"]"#).await;
    event(&socket.text().await, "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_event_is_rejected_with_ack_or_error() {
    let world = World::start().await;
    let mut socket = Socket::join(&world, QUIET).await;
    let two = r#"["subscribe",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    socket.send(&format!("452-/realtime,789{two}")).await;
    socket.binary(&[1, 2, 3]).await;
    socket.binary(&[4, 5, 6]).await;
    let answer = acked(&socket.text().await, "789");
    assert_eq!(answer["success"], false);
    assert_eq!(answer["error"]["code"], "BAD_REQUEST");
    socket.send(&format!("452-/realtime,{two}")).await;
    socket.binary(&[]).await;
    socket.binary(&[0; 1_000]).await;
    assert_eq!(event(&socket.text().await, "error")["code"], "BAD_REQUEST");
    socket
        .send(r#"461-/realtime,5[{"_placeholder":true,"num":0}]"#)
        .await;
    socket.binary(&[7]).await;
    // A binary packet without attachments is equivalent to a plain one.
    socket.send(r#"450-/realtime,3["subscriptions"]"#).await;
    assert_eq!(acked(&socket.text().await, "3")["success"], true);

    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let body =
        format!("452-/realtime,1{two}\u{1e}bAQID\u{1e}b\u{1e}42/realtime,2[\"subscriptions\"]");
    assert_eq!(poller.post(body).await.0, 200);
    assert!(poller.until("43/realtime,1").await.contains("BAD_REQUEST"));
    // Attachments may arrive with a later request.
    poller
        .post(format!("452-/realtime,4{two}\u{1e}bAQID"))
        .await;
    poller.post("bAQID").await;
    assert!(poller.until("43/realtime,4").await.contains("BAD_REQUEST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_packets_end_session() {
    let world = World::start().await;
    for (case, packets) in [
        ("not a packet", &["4"][..]),
        ("an unknown type", &["4abc"]),
        ("a type beyond the last", &["47"]),
        (
            "a connect error, which only servers send",
            &["44/realtime,{}"],
        ),
        (
            "an event of a namespace that was not joined",
            &[r#"42["ping"]"#],
        ),
        ("an event that is an object", &["42/realtime,{}"]),
        ("an event without a payload", &["42/realtime,"]),
        ("an event without a name", &["42/realtime,[]"]),
        (
            "an event whose name is an object",
            &[r#"42/realtime,[{"a":1}]"#],
        ),
        ("an event that is cut off", &[r#"42/realtime,["ping""#]),
        ("an event with trailing data", &[r#"42/realtime,["ping"]x"#]),
        (
            "an id that is not a number",
            &[r#"42/realtime,abc["ping"]"#],
        ),
        (
            "an id that is too long",
            &[r#"42/realtime,12345678901234567890["ping"]"#],
        ),
        ("an acknowledgement that is an object", &["43/realtime,1{}"]),
        ("an acknowledgement without a payload", &["43/realtime,1"]),
        ("a disconnect with a payload", &[r#"41/realtime,{"a":1}"#]),
        ("a second connect", &["40/realtime,"]),
        ("a binary event without a count", &[r#"45/realtime,["a"]"#]),
        (
            "a binary event with too many attachments",
            &[r#"45999-/realtime,["a"]"#],
        ),
        (
            "a packet between attachments",
            &[r#"451-/realtime,["a"]"#, r#"42/realtime,["ping"]"#],
        ),
        ("a namespace that is too long", &[&*LONG]),
    ] {
        let mut socket = Socket::join(&world, QUIET).await;
        let poller = Poller::open(&world, "").await;
        poller.join(QUIET).await;
        for packet in packets {
            socket.send(packet).await;
        }
        assert_eq!(socket.closed().await, Some(1002), "{case}");
        // The HTTP request is valid: only the session ends.
        assert_eq!(poller.post(packets.join("\u{1e}")).await.0, 200, "{case}");
        poller.removed().await;
    }
    let (mut socket, _) = open_unjoined(&world).await;
    socket.send(r#"42/realtime,["ping"]"#).await;
    assert_eq!(
        socket.closed().await,
        Some(1002),
        "an event before the connect"
    );
}

static LONG: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| format!("40/{},", "n".repeat(200)));
