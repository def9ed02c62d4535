//! The memory cost of clients that never read: it is bounded, the fullest sessions are closed first, and it is released
//! when they disconnect.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{BareGateway, Server, WsClient, eventually};

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
async fn slow_readers_share_a_bound_and_release_memory() {
    let mut bare = BareGateway::start(&format!(
        "[gateway]\nbacklog_total_bytes = {TOTAL}\n[gateway.limits]\nconnections_per_address = 10000"
    ))
    .await;
    // More than the kernel buffers for a client and a session may have queued.
    for _ in 0..10 {
        bare.writer.commit(&["price:ETH"; 1_000]).await;
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
    let queued = eventually("much waits", || async {
        let bytes = metric(server, "chaincast_gateway_backlog_bytes ").await;
        (bytes > TOTAL / 4).then_some(bytes)
    })
    .await;
    let peak = resident(server);
    assert!(queued <= TOTAL / 8 * 9, "{queued} bytes are queued");
    // The backlog with its bookkeeping, the sessions, the ring.
    assert!(peak - before < 3 * TOTAL, "{} MiB", (peak - before) / MIB);
    drop(clients);
    let after = eventually("the memory is released", || async {
        let now = resident(server);
        (now < before + (peak - before) / 2).then_some(now)
    })
    .await;
    println!(
        "resident: {} MiB before, {} with {} MiB queued, {} after",
        before / MIB,
        peak / MIB,
        queued / MIB,
        after / MIB
    );
    bare.server.stop().await;
}

/// Bound of the second test: less than the least shares of [`HEAVY`] sessions, 16 KiB each.
const SMALL: u64 = 4 << 20;
/// Sessions with every update of three channels, with every update of one quiet channel, and with the latest of one
/// channel.
const HEAVY: usize = 300;
const LIGHT: usize = 50;
const LATEST: usize = 50;

/// Clients with an acknowledged subscription that read nothing more.
async fn connect_silent(bare: &BareGateway, count: usize, data: Value) -> Vec<WsClient> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = WsClient::with_small_buffer(bare.server.address()).await;
        client.subscribe(data.clone()).await;
        client.backlog.clear();
        clients.push(client);
    }
    clients
}

/// A client that reads everything, with the last seq of each channel.
struct Reader {
    client: WsClient,
    seen: HashMap<String, u64>,
}

impl Reader {
    /// Reads until it has every committed update, each seq once and in order.
    async fn read_up_to(&mut self, newest: &HashMap<String, u64>) {
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
async fn backlog_total_evicts_the_fullest_sessions() {
    let mut bare = BareGateway::start(&format!(
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
    let heavy = connect_silent(&bare, HEAVY, every(&all)).await;
    let mut light = connect_silent(&bare, LIGHT, every(&["new-block"])).await;
    let newest_only = json!({ "channel": "price:ETH", "snapshot": false });
    let mut latest = connect_silent(&bare, LATEST, newest_only).await;

    // One commit at a time, so the reader's backlog stays small.
    let of = [&all[..], &all[..], &all[..]].concat();
    let (mut most, mut commits) = (0, 0);
    let closed = "chaincast_gateway_closed_total{code=\"4008\"} ";
    let relieved = "chaincast_gateway_backlog_closed_total ";
    while metric(&bare.server, closed).await < HEAVY as u64 {
        commits += 1;
        assert!(commits < 2_000, "the fullest sessions are closed");
        bare.writer.commit(&of).await;
        if commits <= 20 {
            bare.writer.commit(&["new-block"]).await;
        }
        reader.read_up_to(&bare.writer.newest).await;
        most = most.max(metric(&bare.server, "chaincast_gateway_backlog_bytes ").await);
    }
    // No session reached `limits.backlog_bytes`: the shared bound closed them.
    let longest = 512;
    assert!(commits * of.len() * longest < 1 << 20, "{commits} commits");
    let uncounted = 4_096 * (HEAVY + LIGHT + LATEST) as u64;
    assert!(
        most <= SMALL / 8 * 9 + uncounted,
        "{most} bytes were queued"
    );
    let evicted = metric(&bare.server, relieved).await;
    // The others were closed when the next update exceeded their share of the bound.
    println!(
        "{commits} commits; {most} bytes were queued at most; {evicted} were closed as the fullest"
    );

    // Sessions in mode `latest` are conflated near the bound, and stay.
    let conflated = "chaincast_gateway_conflated_total ";
    let mut rounds = 0;
    while metric(&bare.server, conflated).await == 0 {
        rounds += 1;
        assert!(rounds < 1_000, "nothing is conflated");
        bare.writer.commit(&["price:ETH"; 20]).await;
        reader.read_up_to(&bare.writer.newest).await;
    }
    assert_eq!(metric(&bare.server, closed).await, HEAVY as u64);

    // Sessions with a small backlog stay connected and lost nothing.
    for client in &mut light {
        for seq in 1..=bare.writer.newest["new-block"] {
            assert_eq!(client.event("new-block").await["seq"], seq);
        }
        assert_eq!(client.request("ping", Value::Null).await["event"], "pong");
    }
    // They receive the newest price, after any conflated ones.
    let newest = bare.writer.newest["price:ETH"];
    for client in &mut latest {
        while client.event("price-update").await["seq"] != newest {}
    }

    drop((heavy, light, latest));
    let left = Instant::now();
    eventually(
        "nothing is queued, and only the reader is connected",
        || async {
            let waits = metric(&bare.server, "chaincast_gateway_backlog_bytes ").await;
            let sessions = metric(
                &bare.server,
                "chaincast_gateway_sessions{transport=\"websocket\"} ",
            )
            .await;
            (waits == 0 && sessions == 1).then_some(())
        },
    )
    .await;
    assert!(
        left.elapsed() < Duration::from_secs(20),
        "{:?}",
        left.elapsed()
    );
    bare.writer.commit(&all).await;
    reader.read_up_to(&bare.writer.newest).await;
    bare.server.stop().await;
}
