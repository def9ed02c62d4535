//! A process with few file descriptors: excess clients are rejected immediately and everything else keeps working.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{BareGateway, TIMEOUT, WsClient, eventually, run_to_end_with_files};

const FILES: usize = 256;
const MANY: &str =
    "[gateway.limits]\nconnections_per_address = 100000\n[server]\nheader_timeout_ms = 120000";

#[tokio::test(flavor = "multi_thread")]
async fn full_server_rejects_clients_and_answers_rest() {
    let bare = BareGateway::with_files(FILES, MANY).await;
    let server = &bare.server;
    let output = server.output();
    assert!(
        output.contains("gateway.limits.connections is 100000")
            && output.contains("the open file limit of 256 "),
        "{output}"
    );
    let mut clients = Vec::new();
    let refused = loop {
        match WsClient::try_connect(&server.realtime(), &[]).await {
            Ok(mut client) => {
                assert!(client.is_accepted().await);
                clients.push(client);
            }
            Err(Error::Http(refused)) => break refused,
            Err(error) => panic!("{error} after {}", clients.len()),
        }
        assert!(clients.len() < FILES);
    };
    assert!(clients.len() >= 50, "only {}", clients.len());
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    for path in [
        "/realtime/sse?channels=new-block",
        "/socket.io/?EIO=4&transport=polling",
    ] {
        let refused = reqwest::get(format!("{}{path}", server.url()))
            .await
            .unwrap();
        assert_eq!(refused.status(), 503, "{path}");
        assert!(refused.headers().contains_key("retry-after"), "{path}");
    }

    // Connections that never send a request, more of them than there are descriptors.
    let mut idle = Vec::new();
    for _ in 0..FILES {
        idle.push(TcpStream::connect(server.address()).await.unwrap());
    }
    for path in ["/healthz", "/metrics", "/api/v1/tokens", "/readyz"] {
        let url = format!("{}{path}", server.url());
        // A connection that arrives while all others are recent may have to retry.
        eventually(path, || async {
            let answer = tokio::time::timeout(Duration::from_secs(30), reqwest::get(&url));
            let status = answer.await.ok()?.ok()?.status();
            (status == 200 || path == "/readyz").then_some(())
        })
        .await;
    }
    // Open sessions are not affected by them.
    for client in &mut clients {
        assert_eq!(client.request("ping", Value::Null).await["event"], "pong");
    }
    for _ in 0..20 {
        let again = WsClient::try_connect(&server.realtime(), &[]).await;
        assert!(again.is_err());
    }
    let output = server.output();
    let lines = output
        .matches("server full, handshakes are refused")
        .count();
    assert_eq!(lines, 1, "{output}");
    assert!(!output.contains("Too many open files"), "{output}");

    let free_slots = 5;
    clients.truncate(clients.len() - free_slots);
    drop(idle);
    for _ in 0..free_slots {
        let client = eventually("a connection slot is free again", || async {
            WsClient::try_connect(&server.realtime(), &[]).await.ok()
        });
        clients.push(client.await);
    }
    clients[0]
        .subscribe(json!({ "channel": "new-block" }))
        .await;
    drop(clients);
    bare.server.stop().await;
}

/// A Socket.IO client whose one connection polls for packets; `None` when its handshake was answered with 503.
async fn polling(address: &str) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let get = |query: &str| {
        let target = format!("/socket.io/?EIO=4&transport=polling{query}");
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")
    };
    socket.write_all(get("").as_bytes()).await.unwrap();
    let mut opened = String::new();
    while !opened.contains("maxPayload") {
        let mut some = [0; 1_024];
        let count = socket.read(&mut some).await.unwrap();
        opened.push_str(std::str::from_utf8(&some[..count]).unwrap());
        if opened.contains(" 503 ") {
            return None;
        }
        assert!(count > 0, "{opened}");
    }
    let (_, sid) = opened.split_once(r#""sid":""#).unwrap();
    let (sid, _) = sid.split_once('"').unwrap();
    let waits = get(&format!("&sid={sid}"));
    socket.write_all(waits.as_bytes()).await.unwrap();
    Some(socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_clients_take_one_descriptor_each() {
    // They join no namespace.
    let many = MANY.replacen("\n", "\nhandshake_timeout_ms = 600000\n", 1);
    let bare = BareGateway::with_files(FILES, &many).await;
    let server = &bare.server;
    let output = server.output();
    let (_, sessions) = output.split_once(" allows only ").unwrap();
    let (sessions, _) = sessions.split_once(' ').unwrap();
    let sessions: usize = sessions.parse().unwrap();
    let mut clients = Vec::new();
    while let Some(client) = polling(server.address()).await {
        clients.push(client);
        assert!(clients.len() <= sessions);
    }
    assert_eq!(clients.len(), sessions);
    // The descriptors that are reserved for other uses are free.
    for path in ["/healthz", "/metrics", "/api/v1/tokens"] {
        let answer = reqwest::get(format!("{}{path}", server.url())).await;
        assert_eq!(answer.unwrap().status(), 200, "{path}");
    }
    drop(clients);
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_without_a_request_times_out() {
    let bare = BareGateway::start("[server]\nheader_timeout_ms = 500").await;
    let mut silent = TcpStream::connect(bare.server.address()).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(TIMEOUT, silent.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "it is still open");
    bare.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_more_sessions_than_descriptors() {
    let bare = BareGateway::start("").await;
    let arguments = ["check", "--config", bare.config()];
    let (_, output, _) = run_to_end_with_files(FILES, &arguments).await;
    let warned = output
        .lines()
        .any(|line| line.starts_with("warn open files: gateway.limits.connections is 100000"));
    assert!(warned, "{output}");
    bare.server.stop().await;
}
