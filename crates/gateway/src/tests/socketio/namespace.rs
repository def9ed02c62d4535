use std::time::Duration;

use serde_json::json;

use super::client::{Poller, Socket, event};
use crate::{
    AuthConfig, GatewayConfig,
    auth::{TokenRequest, mint},
    tests::support::World,
};
use chaincast_base::Secret;

const QUIET: &str = r#"{"autoSubscribe":false}"#;

fn secret(config: &mut GatewayConfig) {
    config.auth.secret = Secret::new("0123456789abcdef0123456789abcdef");
}

fn token(sub: &str, secs: u64) -> String {
    let mut config = GatewayConfig::default();
    secret(&mut config);
    let auth: AuthConfig = config.auth;
    let request = TokenRequest {
        sub: sub.to_owned(),
        ttl: Duration::from_secs(secs),
        ..TokenRequest::default()
    };
    mint(&auth, &request).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_namespaces_are_rejected_up_to_a_limit() {
    let world = World::start().await;
    let mut socket = Socket::open(&world, None).await;
    assert!(socket.text().await.starts_with('0'));
    socket.send("40").await;
    assert_eq!(socket.text().await, r#"44{"message":"Invalid namespace"}"#);
    socket.send("40/other,").await;
    assert_eq!(
        socket.text().await,
        r#"44/other,{"message":"Invalid namespace"}"#
    );
    socket.send("40/realtime,").await;
    assert!(socket.text().await.starts_with("40/realtime,"));
    for _ in 0..14 {
        socket.send("40/other,").await;
    }
    assert_eq!(socket.closed().await, Some(4029), "but only up to a limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn jwt_is_accepted_on_join_or_handshake() {
    let world = World::with(secret).await;
    let alice = token("alice", 60);
    let mut socket = Socket::open(&world, None).await;
    socket.text().await;
    for (auth, code) in [
        (r#"{"token":"bad"}"#, "UNAUTHORIZED"),
        (r#"{"token":7}"#, "BAD_REQUEST"),
        (r#"{"autoSubscribe":"no"}"#, "BAD_REQUEST"),
        ("[]", "BAD_REQUEST"),
        ("{", "BAD_REQUEST"),
    ] {
        socket.send(&format!("40/realtime,{auth}")).await;
        let refused = socket.text().await;
        assert!(
            refused.starts_with(r#"44/realtime,{"#) && refused.contains(code),
            "{auth}: {refused}"
        );
    }
    socket
        .send(&format!(
            r#"40/realtime,{{"token":"{alice}","autoSubscribe":false}}"#
        ))
        .await;
    socket.text().await;
    assert_eq!(
        event(&socket.text().await, "connected")["user"]["sub"],
        "alice"
    );

    let named = Poller::open(&world, &format!("&token={alice}")).await;
    named.post("40/realtime,{\"token\":\"\"}").await;
    let connected = named.until(r#"42/realtime,["connected","#).await;
    assert!(connected.contains(r#""sub":"alice""#), "{connected}");
    let nameless = Poller::open(&world, "&token=").await;
    nameless.post("40/realtime,{\"token\":null}").await;
    let connected = nameless.until(r#"42/realtime,["connected","#).await;
    assert!(connected.contains(r#""user":null"#), "{connected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_drops_identity_and_subscriptions() {
    let world = World::with(secret).await;
    let auth = format!(
        r#"{{"token":"{}","autoSubscribe":false}}"#,
        token("alice", 60)
    );
    let mut socket = Socket::join(&world, &auth).await;
    socket
        .send(r#"42/realtime,1["subscribe",{"channels":["user:alice","price:ETH"]}]"#)
        .await;
    let answer = socket.text().await;
    assert!(answer.ends_with(r#""success":true}]"#), "{answer}");
    socket.send("41/realtime,").await;
    socket.send(&format!("40/realtime,{QUIET}")).await;
    assert!(socket.text().await.starts_with("40/realtime,"));
    assert_eq!(
        event(&socket.text().await, "connected")["user"],
        json!(null)
    );
    world.price("ETH", 1);
    socket
        .send(r#"42/realtime,2["subscribe","user:alice"]"#)
        .await;
    let denied = socket.text().await;
    assert!(
        denied.starts_with("43/realtime,2[") && denied.contains("FORBIDDEN")
            || denied.contains("UNAUTHORIZED"),
        "{denied}"
    );
    socket.send(r#"42/realtime,3["subscriptions"]"#).await;
    assert!(socket.text().await.contains(r#""channels":[]"#));
    socket.send("41/realtime,").await;
    socket.send(r#"42/realtime,["ping"]"#).await;
    assert_eq!(
        socket.closed().await,
        Some(1002),
        "no requests outside of the namespace"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_events_are_rejected_when_complete() {
    let world = World::start().await;
    let mut socket = Socket::join(&world, QUIET).await;
    socket
        .send(r#"452-/realtime,5["subscribe",{"_placeholder":true,"num":0}]"#)
        .await;
    socket.binary(&[1]).await;
    socket.binary(&[2]).await;
    let refused = socket.text().await;
    assert!(
        refused.starts_with("43/realtime,5[") && refused.contains("BAD_REQUEST"),
        "{refused}"
    );
    // Unrequested acknowledgements are ignored.
    socket.send("43/realtime,1[]").await;
    socket
        .send(r#"461-/realtime,1[{"_placeholder":true,"num":0}]"#)
        .await;
    socket.binary(&[3]).await;
    socket.send(r#"42/realtime,6["ping"]"#).await;
    event(&socket.text().await, "pong");
    socket.text().await;
    socket.binary(&[4]).await;
    assert_eq!(
        socket.closed().await,
        Some(1002),
        "an attachment without a packet"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn client_without_join_is_closed() {
    let world = World::with(|config| config.limits.handshake_timeout_ms = 5_000).await;
    let mut socket = Socket::open(&world, None).await;
    let poller = Poller::open(&world, "").await;
    let mut joined = Socket::join(&world, QUIET).await;
    assert!(socket.text().await.starts_with('0'));
    assert_eq!(socket.closed().await, Some(1002));
    poller.removed().await;
    joined.send(r#"42/realtime,["ping"]"#).await;
    event(&joined.text().await, "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_jwt_ends_session() {
    let world = World::with(secret).await;
    let auth = format!(
        r#"{{"token":"{}","autoSubscribe":false}}"#,
        token("alice", 9)
    );
    let mut socket = Socket::join(&world, &auth).await;
    let poller = Poller::open(&world, "").await;
    poller.join(&auth).await;
    let mut last = String::new();
    let code = loop {
        match socket.next().await {
            Ok(text) => last = text,
            Err(code) => break code,
        }
    };
    assert_eq!((&*last, code), ("41/realtime,", Some(4401)));
    let body = loop {
        let (status, body) = poller.get().await;
        assert_eq!(status, 200, "{body}");
        if body.contains("41/realtime,") {
            break body;
        }
    };
    assert!(
        body.ends_with("41/realtime,"),
        "without a close packet before: {body}"
    );
    poller.removed().await;
}
