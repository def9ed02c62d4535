//! Socket.IO 5, case by case: what its document lists, for the one namespace that is served.

use serde_json::{Value, json};

use super::client::{Poller, Socket, event};
use crate::gateway::tests::support::World;

const QUIET: &str = r#"{"autoSubscribe":false}"#;

/// A websocket that has joined nothing yet, and the secret id of its session.
async fn outside(world: &World) -> (Socket, String) {
    let mut socket = Socket::open(world, None).await;
    let open = socket.text().await;
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    (socket, open["sid"].as_str().unwrap().to_owned())
}

/// The public id that a connect packet gives; it says nothing else.
fn admitted(packet: &str) -> String {
    let json = packet.strip_prefix("40/realtime,");
    let json: Value = serde_json::from_str(json.unwrap_or_else(|| panic!("{packet}"))).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 1, "{packet}");
    json["sid"].as_str().unwrap().to_owned()
}

/// The value of an acknowledgement of this number.
fn acked(packet: &str, id: &str) -> Value {
    let json = packet.strip_prefix(&format!("43/realtime,{id}"));
    let json: Value = serde_json::from_str(json.unwrap_or_else(|| panic!("{packet}"))).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1, "{packet}");
    json[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_lets_in_with_and_without_a_payload() {
    let world = World::start().await;
    for connect in [
        "40/realtime,",
        "40/realtime",
        "40/realtime,{}",
        r#"40/realtime,{"token":"","autoSubscribe":false}"#,
        r#"40/realtime,{"of":"others","nested":[{"a":1}]}"#,
    ] {
        let (mut socket, secret) = outside(&world).await;
        socket.say(connect).await;
        let id = admitted(&socket.text().await);
        assert_ne!(id, secret, "{connect}: the secret id is not the public one");
        let connected = event(&socket.text().await, "connected");
        assert_eq!(connected["clientId"], id.as_str(), "{connect}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_namespace_is_invalid_and_the_connection_stays() {
    let world = World::start().await;
    let (mut socket, _) = outside(&world).await;
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
        socket.say(connect).await;
        assert_eq!(socket.text().await, refused, "{connect}");
    }
    socket.say(&format!("40/realtime,{QUIET}")).await;
    admitted(&socket.text().await);
    event(&socket.text().await, "connected");
    socket.say("40/random,").await;
    assert!(socket.text().await.starts_with("44/random,"));
    socket.say(r#"42/realtime,["ping"]"#).await;
    event(&socket.text().await, "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_to_let_in_has_a_message_for_people_and_a_code_for_programs() {
    let world = World::with(|config| {
        config.limits.requests = 1;
        config.limits.abuse_requests = 10;
    })
    .await;
    let (mut socket, _) = outside(&world).await;
    for (auth, code) in [
        (r#"{"token":"not.a.token"}"#, "UNAUTHORIZED"),
        (r#"{"token":{}}"#, "BAD_REQUEST"),
        ("[1]", "BAD_REQUEST"),
        ("{", "BAD_REQUEST"),
    ] {
        socket.say(&format!("40/realtime,{auth}")).await;
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
        socket.say(&connect).await;
        admitted(&socket.text().await);
        event(&socket.text().await, "connected");
        socket.say("41/realtime,").await;
    }
    socket.say(&connect).await;
    let limited = socket.text().await;
    let error: Value = serde_json::from_str(limited.strip_prefix("44/realtime,").unwrap()).unwrap();
    assert_eq!(error["data"]["code"], "RATE_LIMITED");
    assert!(error["data"]["retryAfterMs"].is_u64(), "{limited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_is_silent_and_who_comes_back_has_another_id() {
    let world = World::start().await;
    let (mut socket, _) = outside(&world).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        socket.say(&format!("40/realtime,{QUIET}")).await;
        let id = admitted(&socket.text().await);
        let connected = event(&socket.text().await, "connected");
        assert_eq!(connected["clientId"], id.as_str());
        assert!(!ids.contains(&id), "{ids:?}");
        ids.push(id);
        // Of a namespace that was never joined there is nothing to leave.
        socket.say("41").await;
        socket.say("41/other,").await;
        socket.say(r#"42/realtime,["ping"]"#).await;
        event(&socket.text().await, "pong");
        socket.say("41/realtime,").await;
    }
    socket.say("2").await;
    assert_eq!(socket.text().await, "3", "the connection stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_acknowledged_by_their_number_and_only_when_they_have_one() {
    let world = World::start().await;
    let mut socket = Socket::join(&world, QUIET).await;
    for id in ["0", "7", "456", "9007199254740991"] {
        socket
            .say(&format!(r#"42/realtime,{id}["subscriptions"]"#))
            .await;
        let answer = acked(&socket.text().await, id);
        assert_eq!(answer, json!({"success": true, "channels": []}));
    }
    // Success without an acknowledgement is silent; arguments beyond the first have no meaning.
    socket.say(r#"42/realtime,["subscriptions"]"#).await;
    socket
        .say(r#"42/realtime,1["unsubscribe","price:ETH",{"3":[true]},"more"]"#)
        .await;
    assert_eq!(acked(&socket.text().await, "1")["channel"], "price:ETH");
    for name in ["dance", "connect", "disconnect"] {
        socket.say(&format!(r#"42/realtime,2["{name}"]"#)).await;
        let answer = acked(&socket.text().await, "2");
        assert_eq!(answer["error"]["code"], "UNKNOWN_EVENT", "{name}");
    }
    // A number is a name too, and unknown.
    socket.say(r#"42/realtime,[1,"ping",null]"#).await;
    assert_eq!(
        event(&socket.text().await, "error")["code"],
        "UNKNOWN_EVENT"
    );
    // Acknowledgements of what was never asked are read past.
    socket.say("43/realtime,5[]").await;
    socket.say(r#"43/realtime,["a",1]"#).await;
    socket.say(r#"42/realtime,["ping"]"#).await;
    event(&socket.text().await, "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_data_is_refused_with_the_answer_that_was_asked_for() {
    let world = World::start().await;
    let mut socket = Socket::join(&world, QUIET).await;
    let two = r#"["subscribe",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    socket.say(&format!("452-/realtime,789{two}")).await;
    socket.binary(&[1, 2, 3]).await;
    socket.binary(&[4, 5, 6]).await;
    let answer = acked(&socket.text().await, "789");
    assert_eq!(answer["success"], false);
    assert_eq!(answer["error"]["code"], "BAD_REQUEST");
    socket.say(&format!("452-/realtime,{two}")).await;
    socket.binary(&[]).await;
    socket.binary(&[0; 1_000]).await;
    assert_eq!(event(&socket.text().await, "error")["code"], "BAD_REQUEST");
    socket
        .say(r#"461-/realtime,5[{"_placeholder":true,"num":0}]"#)
        .await;
    socket.binary(&[7]).await;
    // A binary packet without attachments is as good as a plain one.
    socket.say(r#"450-/realtime,3["subscriptions"]"#).await;
    assert_eq!(acked(&socket.text().await, "3")["success"], true);

    let poller = Poller::open(&world, "").await;
    poller.join(QUIET).await;
    let body =
        format!("452-/realtime,1{two}\u{1e}bAQID\u{1e}b\u{1e}42/realtime,2[\"subscriptions\"]");
    assert_eq!(poller.post(body).await.0, 200);
    assert!(poller.until("43/realtime,1").await.contains("BAD_REQUEST"));
    // Attachments may come with a later request.
    poller
        .post(format!("452-/realtime,4{two}\u{1e}bAQID"))
        .await;
    poller.post("bAQID").await;
    assert!(poller.until("43/realtime,4").await.contains("BAD_REQUEST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_packet_ends_the_session() {
    let world = World::start().await;
    for (case, packets) in [
        ("no packet at all", &["4"][..]),
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
        (
            "an event with more behind it",
            &[r#"42/realtime,["ping"]x"#],
        ),
        ("an id that is no number", &[r#"42/realtime,abc["ping"]"#]),
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
            "a packet among attachments",
            &[r#"451-/realtime,["a"]"#, r#"42/realtime,["ping"]"#],
        ),
        ("a namespace that is too long", &[&*LONG]),
    ] {
        let mut socket = Socket::join(&world, QUIET).await;
        let poller = Poller::open(&world, "").await;
        poller.join(QUIET).await;
        for packet in packets {
            socket.say(packet).await;
        }
        assert_eq!(socket.closed().await, Some(1002), "{case}");
        // The request is well-formed: it is the session that ends.
        assert_eq!(poller.post(packets.join("\u{1e}")).await.0, 200, "{case}");
        poller.gone().await;
    }
    let (mut socket, _) = outside(&world).await;
    socket.say(r#"42/realtime,["ping"]"#).await;
    assert_eq!(
        socket.closed().await,
        Some(1002),
        "an event before the connect"
    );
}

static LONG: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| format!("40/{},", "n".repeat(200)));
