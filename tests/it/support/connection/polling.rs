//! Socket.IO over HTTP long polling.

use serde_json::Value;

use super::{JOIN, Queue, Received, packet, request};

pub struct Polling {
    client: reqwest::Client,
    url: String,
    requests_sent: u64,
    received: Queue,
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
            requests_sent: 0,
            received: Queue::new(),
        };
        line.post(JOIN.to_owned()).await;
        Some(line)
    }

    async fn post(&mut self, packets: String) {
        // A failure shows at the next poll.
        self.client.post(&self.url).body(packets).send().await.ok();
    }

    pub async fn send_request(&mut self, event: &str, data: &Value) {
        self.requests_sent += 1;
        self.post(request(Some(self.requests_sent), event, data))
            .await;
    }

    pub async fn emit(&mut self, event: &str, data: &Value) {
        self.post(request(None, event, data)).await;
    }

    pub async fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.received.pop_front() {
                return received;
            }
            let gone = |status: u16| Received::Closed(1006, format!("polling ended with {status}"));
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
                    "1" => self
                        .received
                        .push_back(Received::Closed(1006, String::new())),
                    "2" => self.post("3".to_owned()).await,
                    _ => self.received.extend(packet(text)),
                }
            }
        }
    }
}
