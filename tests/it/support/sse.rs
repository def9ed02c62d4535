//! A reader of server-sent events, like `curl -N` or an `EventSource`.

use serde_json::Value;

use super::{TIMEOUT, assert_merged_described};

#[derive(Debug, Clone)]
pub struct SseEvent {
    pub event: String,
    pub id: Option<String>,
    pub data: Value,
}

pub struct SseReader {
    response: reqwest::Response,
    buffer: String,
}

impl SseReader {
    pub async fn open(url: &str, last_event_id: Option<&str>) -> Self {
        let mut request = reqwest::Client::new().get(url);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(
            response.status(),
            200,
            "{}",
            response.text().await.unwrap_or_default()
        );
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            buffer: String::new(),
        }
    }

    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&SseEvent) -> bool) -> SseEvent {
        loop {
            let event = self.next(what).await;
            if wanted(&event) {
                return event;
            }
        }
    }

    pub async fn next(&mut self, what: &str) -> SseEvent {
        match tokio::time::timeout(TIMEOUT, self.read()).await {
            Ok(Some(event)) => event,
            Ok(None) => panic!("the stream ended while waiting for {what}"),
            Err(_) => panic!("timed out after {TIMEOUT:?} waiting for {what}"),
        }
    }

    async fn read(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
                continue;
            }
            let chunk = self.response.chunk().await.ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// `None` for comments and lone fields such as `retry`.
fn parse(block: &str) -> Option<SseEvent> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim_start)
    };
    let (event, data) = (field("event")?, field("data")?);
    let data = serde_json::from_str(data).unwrap();
    assert_merged_described(event, &data);
    Some(SseEvent {
        event: event.to_owned(),
        id: field("id").map(str::to_owned),
        data,
    })
}
