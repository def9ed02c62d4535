//! WebSocket clients that subscribe to a sample of the prices, and read from each price's digits when its tick was
//! sent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use tokio_util::task::AbortOnDropHandle;

use crate::{bench::Bench, process, product, timestamped_price};

const CLIENTS: usize = 4;
/// Channels of one client, and of one request.
const CHANNELS_EACH: usize = 25;
/// How long a subscription may take.
const TIMEOUT: Duration = Duration::from_secs(60);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A price that a client had not seen before, by the clock that all processes share.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub at: u64,
    pub sent_at: u64,
}

/// Clients that receive until they are dropped.
pub struct Clients {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    _listening: Vec<AbortOnDropHandle<()>>,
}

impl Clients {
    pub fn start(bench: &Bench, port: u16, tokens: usize) -> Self {
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let sample = (CLIENTS * CHANNELS_EACH).min(tokens);
        let sampled: Vec<usize> = (0..sample).map(|at| at * tokens / sample).collect();
        let listening = async {
            let mut listening = Vec::new();
            for numbers in sampled.chunks(CHANNELS_EACH) {
                let socket = timeout(TIMEOUT, subscribe(port, numbers)).await;
                let socket = socket.expect("subscriptions are answered in time");
                let task = tokio::spawn(listen(socket, arrivals.clone()));
                listening.push(AbortOnDropHandle::new(task));
            }
            listening
        };
        Self {
            _listening: bench.postgres.runtime.block_on(listening),
            arrivals,
        }
    }

    /// Arrivals between two instants in ns.
    pub fn between(&self, from: u64, to: u64) -> Vec<Arrival> {
        let arrivals = self.arrivals.lock();
        let within = arrivals
            .iter()
            .filter(|arrival| (from..to).contains(&arrival.at));
        within.copied().collect()
    }
}

impl Arrival {
    /// From sending the tick to this arrival, in ms.
    pub fn latency_ms(&self) -> f64 {
        self.at.saturating_sub(self.sent_at) as f64 / 1e6
    }
}

async fn subscribe(port: u16, numbers: &[usize]) -> Socket {
    let url = format!("ws://127.0.0.1:{port}/realtime");
    let (mut socket, _) = connect_async(url).await.expect("it listens");
    let channels: Vec<String> = numbers
        .iter()
        .map(|number| format!("price:{}", product::symbol(*number)))
        .collect();
    let data = json!({ "channels": channels, "mode": "all", "snapshot": false });
    let request = json!({ "id": 1, "event": "subscribe", "data": data });
    let request = Message::text(request.to_string());
    socket.send(request).await.expect("it reads");
    loop {
        let message = socket.next().await.expect("it stays open");
        let message = message.expect("it stays open");
        if let Message::Text(text) = &message
            && text.as_str().contains("\"ack\"")
        {
            assert!(!text.as_str().contains("\"success\":false"), "{text}");
            return socket;
        }
    }
}

async fn listen(mut socket: Socket, arrivals: Arc<Mutex<Vec<Arrival>>>) {
    let mut known = HashMap::<String, u64>::new();
    while let Some(Ok(message)) = socket.next().await {
        let at = process::now_ns();
        let Message::Text(text) = &message else {
            continue;
        };
        let Some((channel, sent_at)) = read(text.as_str()) else {
            continue;
        };
        // Other sources of the token change only its confidence.
        if known.get(channel) != Some(&sent_at) {
            known.insert(channel.to_owned(), sent_at);
            arrivals.lock().push(Arrival { at, sent_at });
        }
    }
    eprintln!("a client was disconnected; later results lack its share");
}

/// Channel of a price, and when its tick was sent.
fn read(text: &str) -> Option<(&str, u64)> {
    let (_, rest) = text.split_once("\"channel\":\"price:")?;
    let (channel, rest) = rest.split_once('"')?;
    let (_, rest) = rest.split_once("\"price\":")?;
    let (price, _) = rest.split_once(',')?;
    Some((channel, timestamped_price::sent_at(price)?))
}
