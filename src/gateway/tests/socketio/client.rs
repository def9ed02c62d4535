use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::gateway::tests::support::{PATIENCE, World};

/// A client that polls by hand.
#[derive(Clone)]
pub struct Poller {
    http: reqwest::Client,
    /// With the session's id.
    pub url: String,
    pub sid: String,
}

pub fn url(world: &World, query: &str) -> String {
    format!("http://127.0.0.1:{}/socket.io/?{query}", world.port)
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

impl Poller {
    /// Shakes hands, but joins no namespace.
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
            // Where pings are frequent, they may come first.
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

    /// The packets of one poll, which must be answered.
    pub async fn packets(&self) -> Vec<String> {
        let (status, body) = self.get().await;
        assert_eq!(status, 200, "{body}");
        body.split('\u{1e}').map(str::to_owned).collect()
    }

    /// Polls until a packet has this beginning, and returns its rest.
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
        let found = tokio::time::timeout(PATIENCE, poll).await;
        found.unwrap_or_else(|_| panic!("no {beginning:?} in time"))
    }

    /// Waits until the server knows the session no more.
    pub async fn gone(&self) {
        let asked = async {
            loop {
                let (status, body) = self.get().await;
                if status == 400 {
                    assert_eq!(body, r#"{"code":1,"message":"Session ID unknown"}"#);
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .expect("the session ends");
    }
}

/// A websocket that speaks Engine.IO by hand.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// How often the server asked whether it is there.
    pub pings: usize,
}

impl Socket {
    /// Without `sid` a new session, with it an upgrade, for which another one may have to be over first.
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
        let opened = tokio::time::timeout(PATIENCE, open).await;
        opened.unwrap_or_else(|_| panic!("{url} does not open"))
    }

    /// A new session that has joined, its greeting read.
    pub async fn join(world: &World, auth: &str) -> Self {
        let mut socket = Self::open(world, None).await;
        assert!(socket.text().await.starts_with('0'));
        socket.say(&format!("40/realtime,{auth}")).await;
        for beginning in ["40/realtime,", r#"42/realtime,["connected","#] {
            let text = socket.text_beside_pings().await;
            assert!(text.starts_with(beginning), "{text}");
        }
        socket
    }

    /// The next text that is no ping, of which one may come at any time where they are frequent; each is answered.
    async fn text_beside_pings(&mut self) -> String {
        loop {
            let text = self.text().await;
            if text != "2" {
                return text;
            }
            self.say("3").await;
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub async fn binary(&mut self, bytes: &[u8]) {
        self.stream
            .send(Message::binary(bytes.to_vec()))
            .await
            .unwrap();
    }

    /// The next text; panics at the end.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Ok(text) => text,
            Err(code) => panic!("closed with {code:?}"),
        }
    }

    /// The next text, or the code that the socket was closed with.
    pub async fn next(&mut self) -> Result<String, Option<u16>> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            match next.expect("nothing arrived in time") {
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

    /// Skips texts until the close code.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

/// The data of an event's packet, after its name was checked.
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
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}
