//! What clients that never read cost, and that it is given back when they have left.

use serde_json::json;

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
