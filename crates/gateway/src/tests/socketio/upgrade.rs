use serde_json::Value;

use super::client::{Poller, Socket, event};
use crate::tests::support::World;

fn seqs(packets: &[String], into: &mut Vec<u64>) {
    for packet in packets {
        if let Some(json) = packet.strip_prefix(r#"42/realtime,["new-block","#) {
            let data: Value = serde_json::from_str(json.strip_suffix(']').unwrap()).unwrap();
            into.push(data["seq"].as_u64().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_loses_and_repeats_nothing() {
    let world = World::start().await;
    world.block(1);
    let poller = Poller::open(&world, "").await;
    poller.post("40/realtime,").await;
    let mut seen = Vec::new();
    while seen.is_empty() {
        seqs(&poller.packets().await, &mut seen);
    }
    let waiting = tokio::spawn({
        let poller = poller.clone();
        async move { poller.packets().await }
    });
    let mut socket = Socket::open(&world, Some(&poller.sid)).await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    let released = waiting.await.unwrap();
    assert_eq!(released, ["6"], "the waiting poll returns");
    // Until the client sends `upgrade`, all packets go out by polling.
    world.block(2);
    world.block(3);
    while seen.len() < 3 {
        seqs(&poller.packets().await, &mut seen);
    }
    world.block(4);
    socket.send("5").await;
    socket.send(r#"42/realtime,7["ping"]"#).await;
    let mut texts = Vec::new();
    while !texts
        .last()
        .is_some_and(|text: &String| text.starts_with("43/realtime,7["))
    {
        texts.push(socket.text().await);
    }
    world.block(5);
    texts.push(socket.text().await);
    seqs(&texts, &mut seen);
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let (status, _) = poller.get().await;
    assert_eq!(status, 400, "polling has ended for this id");
    assert_eq!(poller.post("2").await.0, 400);
    socket.send(r#"42/realtime,8["ping"]"#).await;
    assert!(
        socket.text().await.starts_with(r#"42/realtime,["pong""#),
        "the socket stays open"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_probe_keeps_polling() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    poller.join("").await;
    for spoilt in ["2", "2other", "5", "4hello", "9", "2probe"] {
        let mut socket = Socket::open(&world, Some(&poller.sid)).await;
        socket.send(spoilt).await;
        if spoilt == "2probe" {
            assert_eq!(socket.text().await, "3probe");
        }
        drop(socket);
        world.block(1);
        poller.until(r#"42/realtime,["new-block","#).await;
    }
    let mut socket = Socket::open(&world, Some(&poller.sid)).await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket.send("5").await;
    world.block(1);
    event(&socket.text().await, "new-block");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_upgrade_times_out() {
    let world = World::with(|config| config.limits.handshake_timeout_ms = 5_000).await;
    let poller = Poller::open(&world, "").await;
    poller.join(r#"{"autoSubscribe":false}"#).await;
    let mut socket = Socket::open(&world, Some(&poller.sid)).await;
    socket.send("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    assert_eq!(socket.closed().await, None, "closed without a close frame");
    poller.post(r#"42/realtime,1["ping"]"#).await;
    poller.until("43/realtime,1[").await;
}
