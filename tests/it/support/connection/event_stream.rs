//! Server-sent events, parsed like an `EventSource`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{super::assert_merged_described, Query, Received, from_merged};

pub struct EventStream {
    response: reqwest::Response,
    buffer: String,
}

impl EventStream {
    pub async fn open(base: &str, query: &Query) -> Option<Self> {
        let mut url = format!(
            "{base}/realtime/sse?channels={}&interval={}",
            query.channels.join(","),
            query.interval
        );
        if let Some(mode) = query.mode {
            url += &format!("&mode={mode}");
        }
        if let Some(epoch) = &query.epoch {
            url += &format!("&epoch={epoch}");
        }
        if let Some(token) = &query.token {
            url += &format!("&token={token}");
        }
        let mut request = reqwest::Client::new().get(&url);
        if let Some(id) = &query.last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        if status == 503 {
            return None;
        }
        if status != 200 {
            panic!("{url} answered {status}: {:?}", response.text().await);
        }
        Some(Self {
            response,
            buffer: String::new(),
        })
    }

    pub async fn receive(&mut self) -> Received {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                if let Some(received) = parse(&block) {
                    return received;
                }
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) | Err(_) => return Received::Closed(1006, String::new()),
            }
        }
    }
}

fn parse(block: &str) -> Option<Received> {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start()))
    };
    let (event, data): (&str, Value) = (
        field("event")?,
        serde_json::from_str(field("data")?).unwrap(),
    );
    if event == "closed" {
        assert_merged_described(event, &data);
        let code = data["code"].as_u64().unwrap() as u16;
        return Some(Received::Closed(
            code,
            data["reason"].as_str().unwrap().to_owned(),
        ));
    }
    let mut received = from_merged(event, data);
    if let Received::Message(message) = &mut received {
        message.positions = field("id").map(positions);
    }
    Some(received)
}

fn positions(id: &str) -> BTreeMap<String, u64> {
    let position = |part: &str| {
        let (channel, seq) = part.rsplit_once('@').unwrap();
        (channel.to_owned(), seq.parse().unwrap())
    };
    id.split(',').map(position).collect()
}
