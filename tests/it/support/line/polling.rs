//! Socket.IO by HTTP requests alone.

use serde_json::Value;

use super::{Heap, Heard, JOIN, packet, request};

pub struct Polling {
    client: reqwest::Client,
    url: String,
    asked: u64,
    heard: Heap,
}

impl Polling {
    pub async fn open(base: &str) -> Option<Self> {
        let client = reqwest::Client::new();
        let url = format!("{base}/socket.io/?EIO=4&transport=polling");
        let response = client.get(&url).send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        if status == 503 {
            return None;
        }
        assert!(status.is_success(), "{status}: {text}");
        let open: Value = serde_json::from_str(text.strip_prefix('0')?).unwrap();
        let mut line = Self {
            client,
            url: format!("{url}&sid={}", open["sid"].as_str().unwrap()),
            asked: 0,
            heard: Heap::new(),
        };
        line.post(JOIN.to_owned()).await;
        Some(line)
    }

    async fn post(&mut self, packets: String) {
        // What fails here is seen by the next poll.
        self.client.post(&self.url).body(packets).send().await.ok();
    }

    pub async fn ask(&mut self, event: &str, data: &Value) {
        self.asked += 1;
        self.post(request(self.asked, event, data)).await;
    }

    pub async fn hear(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            let gone = |status: u16| Heard::Closed(1006, format!("polling ended with {status}"));
            let Ok(response) = self.client.get(&self.url).send().await else {
                return gone(0);
            };
            let status = response.status();
            let Ok(text) = response.text().await else {
                return gone(0);
            };
            if !status.is_success() {
                return gone(status.as_u16());
            }
            for text in text.split('\x1e') {
                match text {
                    "1" => self.heard.push_back(Heard::Closed(1006, String::new())),
                    "2" => self.post("3".to_owned()).await,
                    _ => self.heard.extend(packet(text)),
                }
            }
        }
    }
}
