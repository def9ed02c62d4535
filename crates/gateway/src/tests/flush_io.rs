//! Every way of writing to many sockets: no update is lost if some clients are slow or disconnect.

use std::io::ErrorKind;

use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::support::{Client, TIMEOUT, World, narrow, seq};
use crate::{
    hub::{FlushIo, FlushMethod},
    session::Opener,
};
use chaincast_protocol::encode::{Packet, Wire};

const CLIENTS: usize = 70;
const UPDATES: u64 = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn several_flushers_deliver_all_in_order() {
    all_clients_get_all_updates(3, FlushMethod::Send).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn io_uring_delivers_all_in_order() {
    // Containers often forbid io_uring; then the test only prints the error.
    match FlushIo::new(FlushMethod::IoUring) {
        Ok(_) => all_clients_get_all_updates(1, FlushMethod::IoUring).await,
        Err(error) => eprintln!("io_uring is not available: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_socket_is_written_again() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let hub = &world.gateway.hub;
    let session = hub.open(Wire::Json, Opener::default()).unwrap();
    session.attach_socket(server).unwrap();
    session.fail_direct_write(ErrorKind::WouldBlock);
    session.queue(Packet::raw("more"));
    let mut read = [0; 4];
    let reading = tokio::time::timeout(TIMEOUT, client.read_exact(&mut read));
    reading.await.expect("the packet is written").unwrap();
    assert_eq!(&read, b"more");
}

async fn all_clients_get_all_updates(flushers: usize, method: FlushMethod) {
    let world = World::with(|config| {
        config.flushers = flushers;
        config.io_uring = method == FlushMethod::IoUring;
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
        // In bursts, so sessions have sometimes one packet and sometimes many.
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
        assert_eq!(next["prev"], last, "prev names the last received seq");
        last = seq(&next);
    }
}

/// Reads all updates and checks the `prev` of each.
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
