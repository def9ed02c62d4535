//! What clients that never read cost, whom it is taken from, and that it is given back when they have left.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Bare, Server, WsClient, eventually};

const CLIENTS: usize = 200;
const TOTAL: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

/// Resident memory of a server, in bytes.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.trim().parse::<u64>().unwrap() * 1_024
}

async fn metric(server: &Server, name: &str) -> u64 {
    let text = reqwest::get(format!("{}/metrics", server.url()));
    let text = text.await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse::<f64>().unwrap() as u64
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_are_bounded_together_and_give_memory_back() {
    let mut bare = Bare::start(&format!(
        "[gateway]\nbacklog_total_bytes = {TOTAL}\n[gateway.limits]\nconnections_per_address = 10000"
    ))
    .await;
    // More than the kernel takes for a client and a session may have waiting.
    for _ in 0..10 {
        bare.ledger.commit(&["price:ETH"; 1_000]).await;
    }
    let server = &bare.server;
    let before = resident(server);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = WsClient::connect(&server.realtime()).await;
        let data = json!({ "channel": "price:ETH", "since": 0, "mode": "all" });
        client
            .send_text(json!({ "event": "subscribe", "data": data }).to_string())
            .await;
        clients.push(client);
    }
    let waiting = eventually("much waits", || async {
        let bytes = metric(server, "chaincast_gateway_backlog_bytes ").await;
        (bytes > TOTAL / 4).then_some(bytes)
    })
    .await;
    let peak = resident(server);
    assert!(waiting <= TOTAL / 8 * 9, "{waiting} bytes wait");
    // What waits, its bookkeeping, the sessions, the ring.
    assert!(peak - before < 3 * TOTAL, "{} MiB", (peak - before) / MIB);
    drop(clients);
    let after = eventually("the memory is given back", || async {
        let now = resident(server);
        (now < before + (peak - before) / 2).then_some(now)
    })
    .await;
    println!(
        "resident: {} MiB before, {} with {} MiB waiting, {} after",
        before / MIB,
        peak / MIB,
        waiting / MIB,
        after / MIB
    );
    bare.server.stop().await;
}

/// Bound of the second test; less than [`HEAVY`] sessions may have with the least share, which is 16 KiB.
const SMALL: u64 = 4 << 20;
/// Sessions that get every update of three channels, of one in which little happens, and the newest of one.
const HEAVY: usize = 300;
const LIGHT: usize = 50;
const LATEST: usize = 50;

/// Clients with a subscription that is acknowledged; from then on they read nothing.
async fn silent(bare: &Bare, count: usize, data: Value) -> Vec<WsClient> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = WsClient::narrow(bare.server.address()).await;
        client.subscribe(data.clone()).await;
        client.backlog.clear();
        clients.push(client);
    }
    clients
}

/// A client that reads all it gets, and the seq that it saw last in each channel.
struct Reader {
    client: WsClient,
    seen: HashMap<String, u64>,
}

impl Reader {
    /// Reads until it has all that was committed, each seq once and in order.
    async fn keeps_up(&mut self, newest: &HashMap<String, u64>) {
        while self.seen != *newest {
            let message = self.client.next("the next update").await;
            let channel = message["channel"].as_str().unwrap();
            let last = self.seen.entry(channel.to_owned()).or_default();
            *last += 1;
            assert_eq!(message["seq"], *last, "a gap: {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backlog_total_is_taken_from_the_fullest_sessions() {
    let mut bare = Bare::start(&format!(
        "[gateway]\nbacklog_total_bytes = {SMALL}\nsend_buffer_bytes = 4096\nping_timeout_ms = 600000\n\
         [gateway.limits]\nconnections_per_address = 10000"
    ))
    .await;
    let all = ["price:ETH", "price:BTC", "price:LINK"];
    let every =
        |channels: &[&str]| json!({ "channels": channels, "mode": "all", "snapshot": false });
    let mut client = WsClient::connect(&bare.server.realtime()).await;
    client
        .subscribe(every(&[&all[..], &["new-block"]].concat()))
        .await;
    client.backlog.clear();
    let mut reader = Reader {
        client,
        seen: HashMap::new(),
    };
    let heavy = silent(&bare, HEAVY, every(&all)).await;
    let mut light = silent(&bare, LIGHT, every(&["new-block"])).await;
    let newest_only = json!({ "channel": "price:ETH", "snapshot": false });
    let mut latest = silent(&bare, LATEST, newest_only).await;

    // A commit at a time, so that the reader never has much waiting.
    let of = [&all[..], &all[..], &all[..]].concat();
    let (mut most, mut commits) = (0, 0);
    let closed = "chaincast_gateway_closed_total{code=\"4008\"} ";
    let relieved = "chaincast_gateway_backlog_closed_total ";
    while metric(&bare.server, closed).await < HEAVY as u64 {
        commits += 1;
        assert!(commits < 2_000, "the fullest sessions stay");
        bare.ledger.commit(&of).await;
        if commits <= 20 {
            bare.ledger.commit(&["new-block"]).await;
        }
        reader.keeps_up(&bare.ledger.newest).await;
        most = most.max(metric(&bare.server, "chaincast_gateway_backlog_bytes ").await);
    }
    // Nobody had as much as `limits.backlog_bytes`: it was the bound of all.
    let longest = 512;
    assert!(commits * of.len() * longest < 1 << 20, "{commits} commits");
    let uncounted = 4_096 * (HEAVY + LIGHT + LATEST) as u64;
    assert!(most <= SMALL / 8 * 9 + uncounted, "{most} bytes waited");
    let by_relief = metric(&bare.server, relieved).await;
    // The others were closed as a next update passed their share of the bound.
    println!(
        "{commits} commits; {most} bytes waited at most; {by_relief} were closed as the fullest"
    );

    // Sessions that want the newest only are conflated near the bound, and stay.
    let conflated = "chaincast_gateway_conflated_total ";
    let mut rounds = 0;
    while metric(&bare.server, conflated).await == 0 {
        rounds += 1;
        assert!(rounds < 1_000, "nothing is conflated");
        bare.ledger.commit(&["price:ETH"; 20]).await;
        reader.keeps_up(&bare.ledger.newest).await;
    }
    assert_eq!(metric(&bare.server, closed).await, HEAVY as u64);

    // Those with less waiting are there, and lost nothing.
    for client in &mut light {
        for seq in 1..=bare.ledger.newest["new-block"] {
            assert_eq!(client.event("new-block").await["seq"], seq);
        }
        assert_eq!(client.request("ping", Value::Null).await["event"], "pong");
    }
    // The newest price is what they get, whatever was left out before it.
    let newest = bare.ledger.newest["price:ETH"];
    for client in &mut latest {
        while client.event("price-update").await["seq"] != newest {}
    }

    drop((heavy, light, latest));
    let left = Instant::now();
    eventually("nothing waits, and only the reader is there", || async {
        let waits = metric(&bare.server, "chaincast_gateway_backlog_bytes ").await;
        let sessions = metric(
            &bare.server,
            "chaincast_gateway_sessions{transport=\"websocket\"} ",
        )
        .await;
        (waits == 0 && sessions == 1).then_some(())
    })
    .await;
    assert!(
        left.elapsed() < Duration::from_secs(20),
        "{:?}",
        left.elapsed()
    );
    bare.ledger.commit(&all).await;
    reader.keeps_up(&bare.ledger.newest).await;
    bare.server.stop().await;
}
