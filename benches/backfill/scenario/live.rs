//! The delay of a block at a client of chaincast, compared with the node's own subscribers.

use std::{process::Command, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::{bench::Bench, child_process::ChildProcess, process, product, section::Section, stats};

/// Blocks that are indexed before the first published one, and blocks before the measurement starts.
const BEFORE: u64 = 50;
const WARM_UP: u64 = 10;
const EVERY: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(60);

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "live",
        "From the node's head to a client",
        "The node announces a block of 100 transactions every 100 ms. One client subscribes to `newHeads` of the \
         node; another to `new-block` of `chaincast serve`, which receives the announcement by the same `newHeads`, \
         fetches block and receipts, checks them, commits and then publishes. Measured from the instant before the \
         node moves its head, by the clock that the processes share. Aim: at most 10 ms more, at p50.",
        &["client", "p50 ms", "p99 ms", "more at p50"],
    );
    let blocks = bench.pick(300, 50);
    let mut node = bench.node(bench.blocks());
    node.set_head(BEFORE);
    let database = bench.postgres.database();
    let more = format!("ws_url = {:?}\n", node.ws_url);
    let config = product::write_config(bench, &database, &node.http_url, &more, true);
    let command: Command = product::chaincast(&["serve"], &config);
    let (_product, port) = ChildProcess::spawn(command, None, |line| {
        let url = line.strip_prefix("chaincast is ready on ")?;
        url.rsplit(':').next()?.parse::<u16>().ok()
    });
    let measured = bench.postgres.runtime.block_on(async {
        let subscribe =
            json!({ "id": 1, "event": "subscribe", "data": { "channel": "new-block" } });
        let mut client = Client::open(&format!("ws://127.0.0.1:{port}/realtime"), &subscribe).await;
        let subscribe =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"] });
        let mut direct = Client::open(&node.ws_url, &subscribe).await;
        direct.receive(|message| message["id"] == json!(1)).await;
        // Waits until the index has the head; later blocks must arrive by announcement and not by polling.
        client
            .receive(|message| message["data"]["number"] == json!(BEFORE))
            .await;
        let mut late = [Vec::new(), Vec::new()];
        for number in BEFORE + 1..=BEFORE + WARM_UP + blocks {
            let at = node.set_head(number);
            let hex = json!(format!("{number:#x}"));
            let (direct, client) = tokio::join!(
                direct.receive(|message| message["params"]["result"]["number"] == hex),
                client.receive(|message| message["data"]["number"] == json!(number)),
            );
            if number > BEFORE + WARM_UP {
                late[0].push((direct - at) as f64 / 1e6);
                late[1].push((client - at) as f64 / 1e6);
            }
            tokio::time::sleep(EVERY).await;
        }
        late
    });
    let [direct, client] = &measured;
    for (who, late) in [
        ("the node's `newHeads`", direct),
        ("`new-block` of chaincast", client),
    ] {
        let more = stats::median(late) - stats::median(direct);
        section.row([
            who.to_owned(),
            format!("{:.2}", stats::median(late)),
            format!("{:.2}", stats::percentile(late, 99.0)),
            format!("+ {more:.2} ms"),
        ]);
    }
    section.rounds = json!({ "direct_ms": direct, "chaincast_ms": client });
    section
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

struct Client(Socket);

impl Client {
    async fn open(url: &str, subscribe: &Value) -> Self {
        let (mut socket, _) = connect_async(url).await.expect("it listens");
        let text = Message::text(subscribe.to_string());
        socket.send(text).await.expect("it reads");
        Self(socket)
    }

    /// The instant at which the message that matches `wanted` arrived, in ns.
    async fn receive(&mut self, wanted: impl Fn(&Value) -> bool) -> u64 {
        let waiting = async {
            loop {
                let message = self
                    .0
                    .next()
                    .await
                    .expect("it stays open")
                    .expect("it stays open");
                let now = process::now_ns();
                let Ok(text) = message.to_text() else {
                    continue;
                };
                if serde_json::from_str(text).is_ok_and(|message| wanted(&message)) {
                    return now;
                }
            }
        };
        timeout(TIMEOUT, waiting)
            .await
            .expect("the block is published")
    }
}
