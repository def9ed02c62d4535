use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::tests::support::{TIMEOUT, World};

/// A polling client on the packet level.
#[derive(Clone)]
pub struct Poller {
    http: reqwest::Client,
    /// Includes the session's `sid`.
    pub url: String,
    pub sid: String,
}

pub fn url(world: &World, query: &str) -> String {
    format!("http://127.0.0.1:{}/socket.io/?{query}", world.port)
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(TIMEOUT).build().unwrap()
}

impl Poller {
    /// Opens a session without joining a namespace.
    pub async fn open(world: &World, more: &str) -> Self {
        let http = http();
        let first = url(world, &format!("EIO=4&transport=polling{more}"));
        let open = http.get(first).send().await.unwrap();
        assert_eq!(open.status(), 200);
        let open = open.text().await.unwrap();
        let opened: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        let sid = opened["sid"].as_str().unwrap().to_owned();
        let url = url(world, &format!("EIO=4&transport=polling&sid={sid}"));
        Self { http, url, sid }
    }

    /// Joins `/realtime`; returns the public id.
    pub async fn join(&self, auth: &str) -> String {
        assert_eq!(
            self.post(format!("40/realtime,{auth}")).await,
            (200, "ok".to_owned())
        );
        loop {
            let packets = self.packets().await;
            // With a short ping interval a ping may arrive first.
            if packets.iter().all(|packet| packet == "2") {
                assert_eq!(self.post("3").await, (200, "ok".to_owned()));
                continue;
            }
            let mut answers = packets.iter();
            let answer = answers.find_map(|packet| packet.strip_prefix("40/realtime,"));
            let answer = answer.unwrap_or_else(|| panic!("{packets:?}"));
            let answer: Value = serde_json::from_str(answer).unwrap();
            return answer["sid"].as_str().unwrap().to_owned();
        }
    }

    pub async fn get(&self) -> (u16, String) {
        let response = self.http.get(&self.url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        let response = self.http.post(&self.url).body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The packets of one successful poll.
    pub async fn packets(&self) -> Vec<String> {
        let (status, body) = self.get().await;
        assert_eq!(status, 200, "{body}");
        body.split('\u{1e}').map(str::to_owned).collect()
    }

    /// Polls until a packet has this prefix; returns the rest of it.
    pub async fn until(&self, beginning: &str) -> String {
        let poll = async {
            loop {
                for packet in self.packets().await {
                    if let Some(rest) = packet.strip_prefix(beginning) {
                        return rest.to_owned();
                    }
                }
            }
        };
        let found = tokio::time::timeout(TIMEOUT, poll).await;
        found.unwrap_or_else(|_| panic!("no {beginning:?} within the timeout"))
    }

    /// Waits until the server has removed the session.
    pub async fn removed(&self) {
        let polling = async {
            loop {
                let (status, body) = self.get().await;
                if status == 400 {
                    assert_eq!(body, r#"{"code":1,"message":"Session ID unknown"}"#);
                    return;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, polling)
            .await
            .expect("the session ends");
    }
}

/// A WebSocket client on the Engine.IO packet level.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Number of received pings.
    pub pings: usize,
}

impl Socket {
    /// Opens a new session, or with `sid` an upgrade. Retries until an earlier upgrade has ended.
    pub async fn open(world: &World, sid: Option<&str>) -> Self {
        let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
        let port = world.port;
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket{sid}");
        let open = async {
            loop {
                if let Ok((stream, _)) = client_async(&url, world.socket().await).await {
                    return Self { stream, pings: 0 };
                }
            }
        };
        let opened = tokio::time::timeout(TIMEOUT, open).await;
        opened.unwrap_or_else(|_| panic!("{url} does not open"))
    }

    /// Opens a session, joins the namespace and reads the `connected` event.
    pub async fn join(world: &World, auth: &str) -> Self {
        let mut socket = Self::open(world, None).await;
        assert!(socket.text().await.starts_with('0'));
        socket.send(&format!("40/realtime,{auth}")).await;
        for beginning in ["40/realtime,", r#"42/realtime,["connected","#] {
            let text = socket.text_after_pings().await;
            assert!(text.starts_with(beginning), "{text}");
        }
        socket
    }

    /// The next text that is not a ping; answers pings.
    async fn text_after_pings(&mut self) -> String {
        loop {
            let text = self.text().await;
            if text != "2" {
                return text;
            }
            self.send("3").await;
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub async fn binary(&mut self, bytes: &[u8]) {
        self.stream
            .send(Message::binary(bytes.to_vec()))
            .await
            .unwrap();
    }

    /// The next text; panics if the socket is closed.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Ok(text) => text,
            Err(code) => panic!("closed with {code:?}"),
        }
    }

    /// The next text, or the close code.
    pub async fn next(&mut self) -> Result<String, Option<u16>> {
        loop {
            let next = tokio::time::timeout(TIMEOUT, self.stream.next()).await;
            match next.expect("no message within the timeout") {
                Some(Ok(Message::Text(text))) => {
                    self.pings += usize::from(text.as_str() == "2");
                    return Ok(text.to_string());
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Skips texts; returns the close code.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

/// The data of an event packet; checks its name.
pub fn event(packet: &str, name: &str) -> Value {
    let json = packet
        .strip_prefix("42/realtime,")
        .unwrap_or_else(|| panic!("{packet}"));
    let parts: Vec<Value> = serde_json::from_str(json).unwrap();
    assert_eq!(parts[0], name, "{packet}");
    parts[1].clone()
}

/// Waits for a condition.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, wait)
        .await
        .unwrap_or_else(|_| panic!("timed out: {what}"));
}
