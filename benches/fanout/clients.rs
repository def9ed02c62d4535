//! Sessions that count frames without parsing them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{sync::Notify, task::JoinSet};
use tokio_tungstenite::{connect_async, tungstenite::Message};

#[derive(Clone, Copy)]
pub enum Wire {
    WebSocket,
    SocketIo,
}

/// Sessions subscribed to `price:ETH` in mode `all`.
pub struct Clients {
    received: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
    _readers: JoinSet<()>,
}

impl Clients {
    pub async fn connect(base: &str, wire: Wire, sessions: usize) -> Self {
        let received = Arc::new(AtomicUsize::new(0));
        let arrived = Arc::new(Notify::new());
        let mut readers = JoinSet::new();
        for _ in 0..sessions {
            let mut socket = match wire {
                Wire::WebSocket => websocket(base).await,
                Wire::SocketIo => socketio(base).await,
            };
            let (received, arrived) = (received.clone(), arrived.clone());
            readers.spawn(async move {
                while let Some(Ok(frame)) = socket.next().await {
                    // Engine.IO's ping is a text of its own.
                    match frame {
                        Message::Text(text) if text.as_str() == "2" => {
                            socket.send(Message::text("3")).await.unwrap();
                        }
                        Message::Text(_) => {
                            received.fetch_add(1, Ordering::Relaxed);
                            arrived.notify_one();
                        }
                        _ => {}
                    }
                }
            });
        }
        Self {
            received,
            arrived,
            _readers: readers,
        }
    }

    /// Waits until `frames` came in all.
    pub async fn received(&self, frames: usize) {
        while self.received.load(Ordering::Relaxed) < frames {
            self.arrived.notified().await;
        }
    }
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn websocket(base: &str) -> Socket {
    let (mut socket, _) = connect_async(format!("{base}/realtime")).await.unwrap();
    let subscribe = r#"{"id":1,"event":"subscribe","data":{"channel":"price:ETH","mode":"all","snapshot":false}}"#;
    socket.send(Message::text(subscribe)).await.unwrap();
    until(&mut socket, "\"ack\"").await;
    socket
}

async fn socketio(base: &str) -> Socket {
    let (mut socket, _) = connect_async(format!("{base}/socket.io/?EIO=4&transport=websocket"))
        .await
        .unwrap();
    socket
        .send(Message::text(r#"40/realtime,{"autoSubscribe":false}"#))
        .await
        .unwrap();
    until(&mut socket, "40/realtime").await;
    let subscribe =
        r#"42/realtime,1["subscribe",{"channel":"price:ETH","mode":"all","snapshot":false}]"#;
    socket.send(Message::text(subscribe)).await.unwrap();
    until(&mut socket, "43/realtime").await;
    socket
}

async fn until(socket: &mut Socket, part: &str) {
    loop {
        let frame = socket.next().await.unwrap().unwrap();
        if frame.to_text().is_ok_and(|text| text.contains(part)) {
            return;
        }
    }
}
