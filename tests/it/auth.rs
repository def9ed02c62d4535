//! Authentication, and the channels that a JWT permits.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{
    BareGateway, Connection, Issuer, Query, Received, Script, Transport, World, WsClient,
    eventually, mint, run_to_end,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn status(result: Result<WsClient, Error>) -> u16 {
    match result {
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => 101,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_jwt_in_header_query_and_auth_event() {
    let world = World::start().await;
    let token = mint("alice", Some("admin"), None, HOUR);
    let url = world.server.realtime();
    let bearer = format!("Bearer {token}");
    let mut by_header = WsClient::try_connect(&url, &[("authorization", &bearer)])
        .await
        .unwrap();
    assert_eq!(
        by_header.event("connected").await["data"]["user"]["sub"],
        "alice"
    );
    let mut by_query = WsClient::connect(&format!("{url}?token={token}")).await;
    assert_eq!(
        by_query.event("connected").await["data"]["user"]["sub"],
        "alice"
    );
    let mut later = WsClient::connect(&url).await;
    assert_eq!(later.event("connected").await["data"]["user"], Value::Null);
    let answer = later.request("auth", json!({ "token": token })).await;
    assert_eq!(answer["data"]["success"], true, "{answer}");
    let answer = later.subscribe(json!({ "channel": "user:alice" })).await;
    assert_eq!(answer["success"], true);
    let denied = later
        .request("subscribe", json!({ "channel": "user:bob" }))
        .await;
    assert_eq!(denied["data"]["code"], "FORBIDDEN");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_every_kind_of_invalid_jwt() {
    let world = World::start().await;
    let url = world.server.realtime();
    let good = mint("alice", None, None, HOUR);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let unsigned = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
        let part = |value: Value| B64.encode(value.to_string());
        format!(
            "{}.{}.",
            part(json!({ "alg": "none" })),
            part(json!({ "sub": "alice", "exp": 4_000_000_000u64 }))
        )
    };
    let tampered = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["garbage", "a.b.c", &tampered, &unsigned] {
        assert_eq!(
            status(WsClient::try_connect(&format!("{url}?token={token}"), &[]).await),
            401,
            "{token}"
        );
    }
    assert_eq!(
        status(WsClient::try_connect(&format!("{url}?token="), &[]).await),
        101,
        "an empty token counts as no token"
    );
    let client = Script::node(
        "tests/clients/socketio.mjs",
        &[world.server.url(), "bad-token"],
    );
    client.finish().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jwt_claims_limit_channels() {
    let world = World::start().await;
    let token = mint("alice", None, Some(&["price:*"]), HOUR);
    let mut ws = WsClient::connect(&format!("{}?token={token}", world.server.realtime())).await;
    assert_eq!(
        ws.subscribe(json!({ "channel": "price:ETH" })).await["success"],
        true
    );
    let denied = ws
        .request("subscribe", json!({ "channel": "new-block" }))
        .await;
    assert_eq!(denied["data"]["code"], "FORBIDDEN");
    assert_eq!(
        ws.request("ping", Value::Null).await["event"],
        "pong",
        "the session stays open"
    );
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_ends_when_its_jwt_expires_unless_renewed() {
    let world = World::start().await;
    let short = mint("alice", None, None, Duration::from_secs(12));
    let url = format!("{}?token={short}", world.server.realtime());
    let (mut ends, mut renewed) = (WsClient::connect(&url).await, WsClient::connect(&url).await);
    ends.event("token-expiring").await;
    let answer = renewed
        .request("auth", json!({ "token": mint("alice", None, None, HOUR) }))
        .await;
    assert_eq!(answer["data"]["success"], true);
    assert_eq!(u16::from(ends.closed().await.unwrap().code), 4401);
    assert_eq!(renewed.request("ping", Value::Null).await["event"], "pong");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn required_mode_and_origins_reject_other_clients() {
    let world =
        World::with("[gateway]\nallowed_origins = [\"https://app.example\"]\n[gateway.auth]\nmode = \"required\"")
            .await;
    let url = world.server.realtime();
    assert_eq!(status(WsClient::try_connect(&url, &[]).await), 401);
    let url = format!("{url}?token={}", mint("alice", None, None, HOUR));
    assert_eq!(status(WsClient::try_connect(&url, &[]).await), 101);
    assert_eq!(
        status(WsClient::try_connect(&url, &[("origin", "https://app.example")]).await),
        101
    );
    for foreign in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "null",
    ] {
        assert_eq!(
            status(WsClient::try_connect(&url, &[("origin", foreign)]).await),
            403,
            "{foreign}"
        );
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn minted_jwt_is_valid_and_stats_require_the_role() {
    let world = World::start().await;
    let config = world.config.to_str().unwrap();
    let (code, token, _) = run_to_end(&[
        "token", "--config", config, "--sub", "ops", "--role", "admin", "--ttl", "5m",
    ])
    .await;
    assert_eq!(code, 0);
    let stats = reqwest::Client::new().get(world.url("/api/v1/stats"));
    assert_eq!(
        stats.try_clone().unwrap().send().await.unwrap().status(),
        401
    );
    let user = mint("bob", None, None, HOUR);
    assert_eq!(
        stats
            .try_clone()
            .unwrap()
            .bearer_auth(user)
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    let mut ws = world.ws().await;
    ws.subscribe(json!({ "channel": "price:ETH" })).await;
    let stats: Value = stats
        .bearer_auth(token.trim())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(stats.to_string().contains("price:ETH"), "{stats}");
    let description = world.get("/api-docs/openapi.json").await;
    let scheme = &description["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        *scheme,
        json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" })
    );
    let refusals = &description["paths"]["/api/v1/stats"]["get"]["responses"];
    for status in ["401", "403"] {
        let schema = &refusals[status]["content"]["application/problem+json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{refusals}");
    }
    let nothing = reqwest::get(world.url("/nope")).await.unwrap();
    assert_eq!(nothing.status(), 404);
    assert!(nothing.text().await.unwrap().contains("the page is at /"));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_channel_reaches_its_subject_on_all_transports() {
    let mut bare = BareGateway::start("").await;
    let base = bare.server.url().to_owned();
    let alice = mint("alice", None, Some(&["price:ETH"]), HOUR);
    let names = json!({ "channels": ["user:alice", "user:bob", "new-block", "price:ETH"] });
    let mut connections = Vec::new();
    for transport in [
        Transport::WebSocket,
        Transport::SocketIo,
        Transport::Polling,
    ] {
        let mut connection = Connection::open(transport, &base, &Query::default())
            .await
            .unwrap();
        connection
            .send_request("auth", &json!({ "token": alice }))
            .await;
        connection.receive_response().await;
        connection.send_request("subscribe", &names).await;
        let answer = connection.receive_response().await;
        let codes: Vec<&Value> = answer["channels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["error"]["code"])
            .collect();
        // Each channel is denied by itself; the session stays open.
        assert_eq!(
            codes,
            [
                &Value::Null,
                &"FORBIDDEN".into(),
                &"FORBIDDEN".into(),
                &Value::Null
            ]
        );
        connections.push(connection);
    }
    let stream = format!("{base}/realtime/sse?channels=user:alice");
    let nobody = reqwest::get(&stream).await.unwrap();
    assert_eq!(nobody.status(), 401);
    let bob = mint("bob", None, None, HOUR);
    let other = reqwest::get(format!("{stream}&token={bob}")).await.unwrap();
    assert_eq!(other.status(), 403);
    let query = Query {
        channels: vec!["user:alice".to_owned()],
        token: Some(alice),
        ..Query::default()
    };
    let mut own = Connection::open(Transport::EventStream, &base, &query)
        .await
        .unwrap();
    own.receive_response().await;
    connections.push(own);
    bare.writer
        .commit(&["user:bob", "user:alice", "new-block"])
        .await;
    for connection in &mut connections {
        let received = loop {
            if let Received::Message(message) = connection.receive().await {
                break message;
            }
        };
        assert_eq!(
            (received.channel.as_str(), received.seq),
            ("user:alice", Some(1))
        );
    }
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_channels_work_while_the_jwt_issuer_is_down() {
    let issuer = Issuer::start().await;
    for mode in ["optional", "required"] {
        issuer.serve(json!("down"));
        let bare = BareGateway::start(&format!(
            "[gateway.auth]\nmode = {mode:?}\nsecret = \"\"\nalgorithm = \"ES256\"\njwks_url = {:?}\njwks_reload_ms = 100",
            issuer.url()
        ))
        .await;
        let url = bare.server.realtime();
        let with_token = format!("{url}?token={}", issuer.token());
        let without = status(WsClient::try_connect(&url, &[]).await);
        assert_eq!(without, if mode == "optional" { 101 } else { 401 });
        // Not 401, on which a client would give up: the JWT may be valid.
        assert_eq!(status(WsClient::try_connect(&with_token, &[]).await), 503);
        issuer.serve(json!({ "keys": [issuer.key("another")] }));
        // The key that the JWT names is published later; no restart is needed.
        eventually("the issuer's key is accepted", || async {
            let refused = status(WsClient::try_connect(&with_token, &[]).await);
            (refused == 401).then_some(())
        })
        .await;
        issuer.serve(json!({ "keys": [issuer.key("es256-1")] }));
        eventually("the new key is fetched", || async {
            let mut ws = WsClient::try_connect(&with_token, &[]).await.ok()?;
            let user = ws.event("connected").await["data"]["user"].take();
            (user["sub"] == "alice").then_some(())
        })
        .await;
        bare.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_token_counts_as_no_token() {
    let bare = BareGateway::start("").await;
    let mut ws = WsClient::connect(&format!("{}?token=", bare.server.realtime())).await;
    assert_eq!(ws.event("connected").await["data"]["user"], Value::Null);
    let answer = ws.request("auth", json!({ "token": "" })).await;
    assert_eq!(answer["data"], json!({ "success": true, "user": null }));
    let token = mint("alice", None, None, HOUR);
    ws.request("auth", json!({ "token": token })).await;
    let answer = ws.request("auth", json!({ "token": "" })).await;
    assert_eq!(answer["data"]["user"]["sub"], "alice", "it changes nothing");
    let answer = ws.subscribe(json!({ "channel": "user:alice" })).await;
    assert_eq!(answer["success"], true);
    bare.server.stop().await;
}
