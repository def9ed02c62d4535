//! Socket.IO over a websocket from the start.

use futures_util::SinkExt;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::{
    Heard, JOIN, packet, request,
    websocket::{connect, text},
};

pub struct SocketIo {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
}

impl SocketIo {
    pub async fn open(base: &str) -> Option<Self> {
        let mut socket = connect(base, "/socket.io/?EIO=4&transport=websocket").await?;
        let open = text(&mut socket).await.ok()?;
        assert!(open.starts_with('0'), "{open}");
        socket.send(Message::text(JOIN)).await.ok()?;
        Some(Self { socket, asked: 0 })
    }

    pub async fn ask(&mut self, event: &str, data: &Value) {
        self.asked += 1;
        let text = request(self.asked, event, data);
        self.socket.send(Message::text(text)).await.ok();
    }

    pub async fn hear(&mut self) -> Heard {
        loop {
            match text(&mut self.socket).await {
                Ok(text) if text == "2" => {
                    self.socket.send(Message::text("3")).await.ok();
                }
                Ok(text) => {
                    if let Some(heard) = packet(&text) {
                        return heard;
                    }
                }
                Err((code, reason)) => return Heard::Closed(code, reason),
            }
        }
    }
}
