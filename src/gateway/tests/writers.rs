//! Every way of writing to many sockets: nothing is lost, whoever reads slowly or leaves.

use std::io::ErrorKind;

use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::support::{Client, PATIENCE, World, narrow, seq};
use crate::gateway::{
    encode::{Packet, Wire},
    writer::Writer,
};

const CLIENTS: usize = 70;
const UPDATES: u64 = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn several_flushers_give_everyone_everything_in_order() {
    everyone_gets_everything(3, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn io_uring_gives_everyone_everything_in_order() {
    // Containers often forbid it; that the configuration is then refused is shown by the words of its error.
    match Writer::new(true) {
        Ok(_) => everyone_gets_everything(1, true).await,
        Err(error) => eprintln!("io_uring cannot be used here: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_found_full_before_another_wrote_all_is_written_to_again() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let hub = world.gateway.context.hub();
    let session = hub.open(Wire::Json, None, None).unwrap();
    session.own(server).unwrap();
    session.written(session.outbox.lock(), 0, Some(ErrorKind::WouldBlock));
    session.queue(Packet::raw("more"));
    let mut read = [0; 4];
    let reading = tokio::time::timeout(PATIENCE, client.read_exact(&mut read));
    reading.await.expect("it is written").unwrap();
    assert_eq!(&read, b"more");
}

async fn everyone_gets_everything(flushers: usize, io_uring: bool) {
    let world = World::with(|config| {
        config.flushers = flushers;
        config.io_uring = io_uring;
        config.limits.backlog_bytes = 65_536;
        config.send_buffer_bytes = 4_096;
    })
    .await;
    let mut readers = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut client = world.ws().await;
        client
            .subscribe(json!({"channels": ["price:ETH", "price:BTC"], "snapshot": false}))
            .await;
        readers.spawn(read(client));
    }
    let (mut stuck, leaving) = (narrow(&world).await, world.ws().await);
    stuck
        .subscribe(json!({"channel": "price:ETH", "snapshot": false}))
        .await;
    let mut leaving = Some(leaving);
    leaving
        .as_mut()
        .unwrap()
        .subscribe(json!({"channel": "price:ETH", "mode": "all"}))
        .await;
    let padding = "x".repeat(200);
    for number in 1..=UPDATES {
        let data = json!({"price": number, "padding": padding});
        world.publish("price:ETH", "price-update", &data);
        if number % 3 == 0 {
            world.publish("price:BTC", "price-update", &data);
        }
        if number == UPDATES / 2 {
            drop(leaving.take());
        }
        // In bursts, so that sessions have one packet at times and many at others.
        if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
    let mut last = 0;
    while last < UPDATES {
        let next = stuck.next().await;
        assert_eq!(next["prev"], last, "it skipped what it was not told of");
        last = seq(&next);
    }
}

/// Reads to the end; each message follows the one before it in its channel.
async fn read(mut client: Client) {
    let (mut eth, mut btc) = (0, 0);
    while (eth, btc) != (UPDATES, UPDATES / 3) {
        let next = client.next().await;
        let last = if next["channel"] == "price:ETH" {
            &mut eth
        } else {
            &mut btc
        };
        assert_eq!(next["prev"], *last, "{next}");
        *last = seq(&next);
    }
}
