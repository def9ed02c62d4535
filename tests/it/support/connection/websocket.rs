use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

use super::{
    super::{assert_close_described, assert_described},
    Received, message,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct WebSocket {
    socket: Socket,
    requests_sent: u64,
}

/// `None` when the server accepts no connection now; any other rejection is a test failure.
pub async fn connect(base: &str, path: &str) -> Option<Socket> {
    match connect_async(format!("{}{path}", base.replacen("http", "ws", 1))).await {
        Ok((socket, _)) => Some(socket),
        Err(Error::Io(_) | Error::Protocol(_) | Error::ConnectionClosed) => None,
        Err(Error::Http(response)) if response.status() == 503 => None,
        Err(error) => panic!("{base}{path} refused a websocket: {error}"),
    }
}

/// The next text frame, or the end with its code and reason.
pub async fn text(socket: &mut Socket) -> Result<String, (u16, String)> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_close_described(frame.code.into(), &frame.reason);
                return Err((frame.code.into(), frame.reason.to_string()));
            }
            Some(Ok(Message::Close(None)) | Err(_)) | None => return Err((1006, String::new())),
            Some(Ok(_)) => {}
        }
    }
}

impl WebSocket {
    pub async fn open(base: &str) -> Option<Self> {
        let socket = connect(base, "/realtime").await?;
        Some(Self {
            socket,
            requests_sent: 0,
        })
    }

    pub async fn send_request(&mut self, event: &str, data: &Value) {
        self.requests_sent += 1;
        let text = json!({ "id": self.requests_sent, "event": event, "data": data }).to_string();
        self.socket.send(Message::text(text)).await.ok();
    }

    pub async fn receive(&mut self) -> Received {
        let text = match text(&mut self.socket).await {
            Ok(text) => text,
            Err((code, reason)) => return Received::Closed(code, reason),
        };
        assert_described(&text);
        let value: Value = serde_json::from_str(&text).unwrap();
        let event = value["event"].as_str().unwrap();
        match event {
            "connected" => Received::Connected(value["data"].clone()),
            "ack" => Received::Ack(value["data"].clone()),
            _ if value.get("channel").is_some() => message(event, &value, &value["data"]),
            _ => Received::Other(value),
        }
    }
}
