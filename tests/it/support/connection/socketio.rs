//! Socket.IO over a WebSocket from the start.

use futures_util::SinkExt;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::{
    super::assert_rejection_described,
    JOIN, Received, packet, request,
    websocket::{connect, text},
};

pub struct SocketIo {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    requests_sent: u64,
}

impl SocketIo {
    pub async fn open(base: &str) -> Option<Self> {
        let mut socket = connect(base, "/socket.io/?EIO=4&transport=websocket").await?;
        let open = text(&mut socket).await.ok()?;
        assert!(open.starts_with('0'), "{open}");
        socket.send(Message::text(JOIN)).await.ok()?;
        Some(Self {
            socket,
            requests_sent: 0,
        })
    }

    pub async fn send_request(&mut self, event: &str, data: &Value) {
        self.requests_sent += 1;
        let text = request(Some(self.requests_sent), event, data);
        self.socket.send(Message::text(text)).await.ok();
    }

    pub async fn emit(&mut self, event: &str, data: &Value) {
        let text = request(None, event, data);
        self.socket.send(Message::text(text)).await.ok();
    }

    pub async fn receive(&mut self) -> Received {
        loop {
            match text(&mut self.socket).await {
                Ok(text) if text == "2" => {
                    self.socket.send(Message::text("3")).await.ok();
                }
                Ok(text) => {
                    if let Some(received) = packet(&text) {
                        return received;
                    }
                }
                Err((code, reason)) => return Received::Closed(code, reason),
            }
        }
    }
}

/// Sends a packet that joins a namespace, which must be rejected. Returns the payload of the rejection.
pub async fn rejected_join(base: &str, packet: &str) -> Value {
    let socket = connect(base, "/socket.io/?EIO=4&transport=websocket").await;
    let mut socket = socket.unwrap();
    assert!(text(&mut socket).await.unwrap().starts_with('0'));
    socket.send(Message::text(packet)).await.unwrap();
    let answer = text(&mut socket).await.unwrap();
    assert!(answer.starts_with("44/"), "{answer}");
    let (_, json) = answer.split_once(',').unwrap();
    assert_rejection_described(json);
    serde_json::from_str(json).unwrap()
}
