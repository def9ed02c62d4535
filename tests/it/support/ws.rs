//! A plain WebSocket client of the gateway. It checks that the protocol's types describe each message.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http, protocol::CloseFrame},
};

use super::{TIMEOUT, assert_close_described, assert_described, assert_packed_described};
use chaincast_protocol::msgpack;

pub struct WsClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Whether requests and messages are MessagePack.
    packed: bool,
    next_id: u64,
    /// Messages that arrived while another was awaited, in order.
    pub backlog: Vec<Value>,
}

impl WsClient {
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url, &[]).await.unwrap()
    }

    /// With messages in MessagePack.
    pub async fn connect_packed(url: &str) -> Self {
        let protocol = ("sec-websocket-protocol", "chaincast.v1.msgpack");
        let mut client = Self::try_connect(url, &[protocol]).await.unwrap();
        client.packed = true;
        client
    }

    /// With headers; returns the error of a rejected handshake.
    pub async fn try_connect(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, http::HeaderValue::from_str(value).unwrap());
        }
        let (socket, _) = connect_async(request).await?;
        Ok(Self {
            socket,
            packed: false,
            next_id: 1,
            backlog: Vec::new(),
        })
    }

    /// Connects to the server at `address` with a receive buffer of a few bytes: what it does not read is queued in the
    /// server.
    pub async fn with_small_buffer(address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let stream = socket.connect(address.parse().unwrap()).await.unwrap();
        let url = format!("ws://{address}/realtime");
        let (socket, _) = client_async(url, MaybeTlsStream::Plain(stream))
            .await
            .unwrap();
        Self {
            socket,
            packed: false,
            next_id: 1,
            backlog: Vec::new(),
        }
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn send_frame(&mut self, frame: Message) -> Result<(), Error> {
        self.socket.send(frame).await
    }

    /// Sends a request and returns its response; earlier messages go to the backlog.
    pub async fn request(&mut self, event: &str, data: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let text = json!({ "id": id, "event": event, "data": data }).to_string();
        match self.packed {
            true => {
                let mut bytes = Vec::new();
                msgpack::from_json(&text, &mut bytes).unwrap();
                self.send_frame(Message::binary(bytes)).await.unwrap();
            }
            false => self.send_text(text).await,
        }
        self.expect(&format!("the response to {event} {data}"), |message| {
            message["id"] == json!(id)
        })
        .await
    }

    pub async fn subscribe(&mut self, data: Value) -> Value {
        let answer = self.request("subscribe", data).await;
        assert_eq!(answer["event"], "ack", "{answer}");
        answer["data"].clone()
    }

    /// The first message, from the backlog or received, that matches `wanted`. Those before it stay in the backlog.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.backlog.iter().position(&wanted) {
            return self.backlog.remove(at);
        }
        loop {
            let message = self.receive(what).await;
            if wanted(&message) {
                return message;
            }
            self.backlog.push(message);
        }
    }

    /// The text of the next message with this event; earlier ones go to the backlog.
    pub async fn expect_text(&mut self, name: &str) -> String {
        loop {
            match self.frame(name).await {
                Some(Ok(Message::Text(text))) => {
                    assert_described(&text);
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["event"] == name {
                        return text.to_string();
                    }
                    self.backlog.push(message);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => panic!("no {name}"),
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn event(&mut self, name: &str) -> Value {
        self.expect(name, |message| message["event"] == name).await
    }

    /// Whether the server accepts the client: true at `connected`, false when it closes the connection instead.
    pub async fn is_accepted(&mut self) -> bool {
        loop {
            match self.frame("`connected` or a close").await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["event"] == "connected" {
                        return true;
                    }
                    self.backlog.push(message);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next message in order, the backlog's first.
    pub async fn next(&mut self, what: &str) -> Value {
        if self.backlog.is_empty() {
            self.receive(what).await
        } else {
            self.backlog.remove(0)
        }
    }

    async fn receive(&mut self, what: &str) -> Value {
        loop {
            match self.frame(what).await {
                Some(Ok(Message::Text(text))) => {
                    assert_described(&text);
                    return serde_json::from_str(&text).unwrap();
                }
                Some(Ok(Message::Binary(bytes))) if self.packed => {
                    let text = assert_packed_described(&bytes);
                    return serde_json::from_str(&text).unwrap();
                }
                Some(Ok(Message::Close(close))) => {
                    panic!("closed with {close:?} while waiting for {what}")
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error} while waiting for {what}"),
                None => panic!("ended while waiting for {what}"),
            }
        }
    }

    async fn frame(&mut self, what: &str) -> Option<Result<Message, Error>> {
        match tokio::time::timeout(TIMEOUT, self.socket.next()).await {
            Ok(frame) => frame,
            Err(_) => panic!(
                "timed out after {TIMEOUT:?} waiting for {what}; received instead: {:?}",
                self.backlog
            ),
        }
    }

    /// Reads until the server closes the connection; other messages go to the backlog.
    pub async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.frame("the close").await {
                Some(Ok(Message::Close(close))) => {
                    if let Some(close) = &close {
                        assert_close_described(close.code.into(), &close.reason);
                    }
                    return close;
                }
                Some(Ok(Message::Text(text))) => {
                    self.backlog.push(serde_json::from_str(&text).unwrap())
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
