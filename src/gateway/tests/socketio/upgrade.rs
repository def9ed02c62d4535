use serde_json::Value;

use super::client::{Poller, Socket, event};
use crate::gateway::tests::support::World;

fn seqs(packets: &[String], into: &mut Vec<u64>) {
    for packet in packets {
        if let Some(json) = packet.strip_prefix(r#"42/realtime,["new-block","#) {
            let data: Value = serde_json::from_str(json.strip_suffix(']').unwrap()).unwrap();
            into.push(data["seq"].as_u64().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_loses_nothing_and_doubles_nothing() {
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
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    let released = waiting.await.unwrap();
    assert_eq!(released, ["6"], "the waiting poll is sent back");
    // Until the client says so, everything still goes by polling.
    world.block(2);
    world.block(3);
    while seen.len() < 3 {
        seqs(&poller.packets().await, &mut seen);
    }
    world.block(4);
    socket.say("5").await;
    socket.say(r#"42/realtime,7["ping"]"#).await;
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
    assert_eq!(status, 400, "the id is for polling, which is over");
    assert_eq!(poller.post("2").await.0, 400);
    socket.say(r#"42/realtime,8["ping"]"#).await;
    assert!(
        socket.text().await.starts_with(r#"42/realtime,["pong""#),
        "and the socket lives on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_is_given_up_leaves_polling_as_it_was() {
    let world = World::start().await;
    let poller = Poller::open(&world, "").await;
    poller.join("").await;
    for spoilt in ["2", "2other", "5", "4hello", "9", "2probe"] {
        let mut socket = Socket::open(&world, Some(&poller.sid)).await;
        socket.say(spoilt).await;
        if spoilt == "2probe" {
            assert_eq!(socket.text().await, "3probe");
        }
        drop(socket);
        world.block(1);
        poller.until(r#"42/realtime,["new-block","#).await;
    }
    let mut socket = Socket::open(&world, Some(&poller.sid)).await;
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket.say("5").await;
    world.block(1);
    event(&socket.text().await, "new-block");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_not_finished_in_time_is_dropped() {
    let world = World::with(|config| config.limits.handshake_timeout_ms = 5_000).await;
    let poller = Poller::open(&world, "").await;
    poller.join(r#"{"autoSubscribe":false}"#).await;
    let mut socket = Socket::open(&world, Some(&poller.sid)).await;
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    assert_eq!(socket.closed().await, None, "hung up on");
    poller.post(r#"42/realtime,1["ping"]"#).await;
    poller.until("43/realtime,1[").await;
}
