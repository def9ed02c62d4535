//! Several chains in one process: each fails independently.

use std::path::Path;

use chaincast_dev::{Anvil, AnvilOptions, ChainControl, Node};
use serde_json::{Value, json};

use crate::support::{Server, TempDir, WsClient, eventually, fresh_database, reusable_port};

const FIRST: u64 = 31_337;
const SECOND: u64 = 31_338;

fn options(chain_id: u64, port: u16, state_file: Option<&Path>) -> AnvilOptions {
    AnvilOptions {
        chain_id,
        port,
        state_file: state_file.map(Path::to_owned),
        slots_in_an_epoch: 1_000,
        ..AnvilOptions::default()
    }
}

fn control(anvil: &Anvil) -> ChainControl {
    ChainControl::new(Node::connect(&anvil.http_url()).unwrap())
}

async fn serve(dir: &TempDir, database: &str, nodes: [String; 2]) -> Server {
    let [first, second] = nodes;
    let file = dir.path().join("chaincast.toml");
    std::fs::write(
        &file,
        format!(
            "[server]\nport = 0\n[database]\nurl = {database:?}\n[api]\nready_silence_ms = 5000\n\
             [[chains]]\nchain_id = {FIRST}\nrpc_url = {first:?}\npoll_interval_ms = 100\n\
             [[chains]]\nchain_id = {SECOND}\nrpc_url = {second:?}\npoll_interval_ms = 100\n"
        ),
    )
    .unwrap();
    Server::serve(&file).await
}

async fn get(server: &Server, path: &str) -> Option<(u16, Value)> {
    let response = reqwest::get(format!("{}{path}", server.url())).await.ok()?;
    let status = response.status().as_u16();
    Some((
        status,
        serde_json::from_str(&response.text().await.ok()?).ok()?,
    ))
}

/// The entry of `/status` for one chain.
async fn status(server: &Server, chain: u64) -> Option<Value> {
    let (_, status) = get(server, &format!("/api/v1/status?chain={chain}")).await?;
    Some(status["chains"][0].clone())
}

/// Mines on a chain and waits until the block is published on its channel.
async fn expect_block(ws: &mut WsClient, control: &ChainControl, chain: u64) {
    control.mine(1).await.unwrap();
    let (number, _) = control.head().await.unwrap();
    ws.expect("the block", |message| {
        message["event"] == "new-block"
            && message["data"]["chainId"] == chain
            && message["data"]["number"] == number
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_node_does_not_delay_other_chains() {
    let dir = TempDir::new("chains");
    let database = fresh_database().await;
    let first = Anvil::start(&options(FIRST, 0, None)).await.unwrap();
    // The port is reserved and nothing listens on it.
    let state = dir.path().join("second.json");
    let again = options(SECOND, reusable_port(), Some(&state));
    let url = format!("http://127.0.0.1:{}", again.port);

    let server = serve(&dir, &database, [first.http_url(), url]).await;
    let mut ws = WsClient::connect(&server.realtime()).await;
    ws.subscribe(json!({ "channels": ["new-block", format!("new-block:{SECOND}")] }))
        .await;
    let on_first = control(&first);
    expect_block(&mut ws, &on_first, FIRST).await;
    let there = status(&server, SECOND).await.unwrap();
    assert_eq!(there["head"], Value::Null, "{there}");
    assert_eq!(there["halted"], Value::Null, "{there}");
    // One chain is served, so the service is ready; the other chain is not.
    eventually("it is ready", async || {
        (get(&server, "/readyz").await?.0 == 200).then_some(())
    })
    .await;
    let probe_path = format!("/readyz?chain={SECOND}");
    let (code, _) = get(&server, &probe_path).await.unwrap();
    assert_eq!(code, 503);

    let second = Anvil::start(&again).await.unwrap();
    let on_second = control(&second);
    expect_block(&mut ws, &on_second, SECOND).await;
    expect_block(&mut ws, &on_first, FIRST).await;
    eventually("the second chain is ready, too", async || {
        (get(&server, &probe_path).await?.0 == 200).then_some(())
    })
    .await;

    second.stop().await.unwrap();
    for _ in 0..3 {
        expect_block(&mut ws, &on_first, FIRST).await;
    }
    // One poll for both: on a busy machine a probe may time out.
    eventually(
        "the second chain is not ready, the service is",
        async || {
            let chain = get(&server, &probe_path).await?.0;
            ((chain, get(&server, "/readyz").await?.0) == (503, 200)).then_some(())
        },
    )
    .await;
    let second = Anvil::start(&again).await.unwrap();
    expect_block(&mut ws, &control(&second), SECOND).await;
    server.stop().await;
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn halted_chain_reports_reason_while_others_continue() {
    let dir = TempDir::new("chains");
    let database = fresh_database().await;
    let first = Anvil::start(&options(FIRST, 0, None)).await.unwrap();
    let state = dir.path().join("second.json");
    let again = options(SECOND, reusable_port(), Some(&state));
    let second = Anvil::start(&again).await.unwrap();
    let nodes = [first.http_url(), second.http_url()];
    let server = serve(&dir, &database, nodes.clone()).await;
    let mut ws = WsClient::connect(&server.realtime()).await;
    ws.subscribe(json!({ "channels": ["new-block", format!("new-block:{SECOND}")] }))
        .await;
    let on_first = control(&first);
    expect_block(&mut ws, &on_first, FIRST).await;
    expect_block(&mut ws, &control(&second), SECOND).await;

    // Another chain with the same id behind the same URL.
    second.stop().await.unwrap();
    let other = Anvil::start(&options(SECOND, again.port, None))
        .await
        .unwrap();
    let halted = eventually("the second chain is halted", async || {
        let halted = status(&server, SECOND).await?["halted"].clone();
        halted.is_object().then_some(halted)
    })
    .await;
    let reason = halted["reason"].as_str().unwrap();
    assert!(reason.contains("another chain"), "{reason}");
    assert!(halted["since"].as_i64().unwrap() > 0, "{halted}");
    let gauge = format!("chaincast_chain_halted{{chain_id=\"{SECOND}\"}} 1");
    eventually("the metric reports the halt", async || {
        let metrics = reqwest::get(format!("{}/metrics", server.url())).await;
        let metrics = metrics.ok()?.text().await.ok()?;
        metrics.contains(&gauge).then_some(())
    })
    .await;
    eventually("it is ready and reports the halted chain", async || {
        let (_, ready) = get(&server, "/readyz").await?;
        (ready["ready"] == true && ready.to_string().contains("halted: ")).then_some(())
    })
    .await;
    expect_block(&mut ws, &on_first, FIRST).await;

    // After a restart with the original node the chain continues.
    other.stop().await.unwrap();
    server.stop().await;
    let second = Anvil::start(&again).await.unwrap();
    let server = serve(&dir, &database, nodes).await;
    let mut ws = WsClient::connect(&server.realtime()).await;
    ws.subscribe(json!({ "channels": ["new-block", format!("new-block:{SECOND}")] }))
        .await;
    expect_block(&mut ws, &control(&second), SECOND).await;
    eventually("it is no longer halted", async || {
        (status(&server, SECOND).await?["halted"] == Value::Null).then_some(())
    })
    .await;
    server.stop().await;
    second.stop().await.unwrap();
}
