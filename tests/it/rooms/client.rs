//! Clients of rooms with a JWT.

use std::time::Duration;

use chaincast_gateway::auth::TokenRequest;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Server, WsClient, mint_token};

/// Rooms of each kind, with generous limits.
pub const ROOMS: &str = r#"
    [[gateway.rooms]]
    pattern = "open-*"
    join = "anyone"
    messages_per_minute_per_subject = 100000
    messages_per_minute = 100000
    [[gateway.rooms]]
    pattern = "narrow"
    message_bytes = 64
    messages_per_minute = 2
    [[gateway.rooms]]
    pattern = "lobby-*"
    messages_per_minute_per_subject = 100000
    messages_per_minute = 100000
    [gateway.messages]
    messages_per_minute_per_session = 100000
    messages_per_minute_per_subject = 100000
    [gateway.limits]
    requests = 100000
"#;

/// The claims of a JWT.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rights<'a> {
    pub role: Option<&'a str>,
    pub channels: Option<&'a [&'a str]>,
    pub publish: Option<&'a [&'a str]>,
}

impl<'a> Rights<'a> {
    pub fn of_role(role: &'a str) -> Self {
        Self {
            role: Some(role),
            ..Self::default()
        }
    }

    pub fn token(self, subject: &str) -> String {
        let owned = |patterns: &[&str]| patterns.iter().map(|&one| one.to_owned()).collect();
        mint_token(&TokenRequest {
            sub: subject.to_owned(),
            role: self.role.map(str::to_owned),
            channels: self.channels.map(owned),
            publish: self.publish.map(owned),
            ttl: Duration::from_secs(3_600),
        })
    }
}

pub struct RoomClient(pub WsClient);

impl RoomClient {
    pub async fn connect(server: &Server, subject: &str) -> Self {
        Self::with(server, subject, Rights::default()).await
    }

    pub async fn with(server: &Server, subject: &str, rights: Rights<'_>) -> Self {
        let url = format!("{}?token={}", server.realtime(), rights.token(subject));
        let mut ws = WsClient::connect(&url).await;
        ws.event("connected").await;
        Self(ws)
    }

    /// Connects and subscribes; nothing else is queued then.
    pub async fn join(server: &Server, subject: &str, channel: &str) -> Self {
        let mut client = Self::connect(server, subject).await;
        client.0.subscribe(json!({"channel": channel})).await;
        client
    }

    /// Publishes a text; returns the data of the answer.
    pub async fn publish(&mut self, channel: &str, text: &str) -> Value {
        let message = json!({"channel": channel, "type": "chat", "payload": text});
        self.0.request("publish", message).await["data"].clone()
    }

    pub async fn message(&mut self) -> Value {
        self.0.event("room-message").await
    }
}

/// A REST request with a JWT.
pub async fn send(
    server: &Server,
    method: Method,
    path: &str,
    token: &str,
    body: Option<Value>,
) -> Response {
    let url = format!("{}/api/v1{path}", server.url());
    let request = reqwest::Client::new()
        .request(method, url)
        .bearer_auth(token);
    let request = match body {
        Some(body) => request.body(body.to_string()),
        None => request,
    };
    request.send().await.unwrap()
}

/// The status and the body of a REST response.
pub async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&text).unwrap(),
    };
    (status, body)
}
