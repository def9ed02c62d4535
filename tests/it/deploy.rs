//! A deploy: the old process is stopped while updates are committed, and its clients continue at the new one.

use std::{collections::BTreeMap, time::Duration};

use nix::sys::signal::Signal;
use tokio::{sync::watch, task::JoinSet};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{BareGateway, Follower, Mode, Subscription, Transport, WsClient};

const CHANNELS: [&str; 4] = ["new-block", "price:ETH", "price:BTC", "price:LINK"];
const WINDOW_MS: u64 = 4_000;
/// More than any replay in this test.
const REPLAYS: u64 = 10_000;

fn subscriptions(transport: Transport, number: usize) -> BTreeMap<String, Subscription> {
    let mode = [Mode::All, Mode::Latest, Mode::Every(100)][number % 3];
    CHANNELS
        .into_iter()
        .filter_map(|channel| {
            let mode = match (channel, transport) {
                ("new-block", Transport::EventStream) if mode != Mode::All => return None,
                ("new-block", _) => Mode::All,
                _ => mode,
            };
            Some((channel.to_owned(), Subscription { mode, since: None }))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_move_to_new_process_without_gap_or_duplicate() {
    let mut bare = BareGateway::start(&format!(
        "[server]\ndrain_timeout_ms = 8000\n[gateway]\nreconnect_window_ms = {WINDOW_MS}\nring_updates = 8"
    ))
    .await;
    let new = bare.start_another().await;
    let old = &mut bare.server;
    let bases = vec![old.url().to_owned(), new.url().to_owned()];

    // A client that subscribes to everything and reads nothing cannot delay the shutdown.
    let mut stuck = WsClient::connect(&old.realtime()).await;
    let all = r#"{"id":1,"event":"subscribe","data":{"channels":["new-block","price:ETH"],"mode":"all"}}"#;
    stuck.send_frame(Message::text(all)).await.unwrap();

    let (finals, newest) = watch::channel(None);
    let (started, mut began) = watch::channel(0);
    let mut clients = JoinSet::new();
    for (transport, count) in [
        (Transport::WebSocket, 20),
        (Transport::SocketIo, 5),
        (Transport::Polling, 4),
        (Transport::EventStream, 6),
    ] {
        for number in 0..count {
            let name = format!("{transport:?} {number}");
            let mut follower = Follower::new(name, transport, bases.clone(), REPLAYS);
            let (mut newest, started) = (newest.clone(), started.clone());
            clients.spawn(async move {
                follower.begin(&subscriptions(transport, number)).await;
                started.send_modify(|count| *count += 1);
                while newest.borrow_and_update().is_none() {
                    follower.receive_or_reconnect().await;
                }
                let newest = newest.borrow().clone().unwrap();
                follower.catch_up(&newest).await;
                follower
            });
        }
    }
    let count = clients.len();
    let mut signalled = 0;
    let mut after = 0;
    let mut commits = 0_u64;
    let mut ended = None;
    while after < 50 {
        bare.writer.commit(&CHANNELS).await;
        commits += 1;
        if let Some(early) = clients.try_join_next() {
            early.unwrap();
        }
        if signalled == 0 && commits >= 50 && *began.borrow_and_update() == count {
            old.signal(Signal::SIGTERM);
            signalled = commits;
        }
        if signalled > 0 && ended.is_none() {
            ended = old.has_ended();
        }
        after += u32::from(ended.is_some());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(ended.unwrap().success(), "its output:\n{}", old.output());
    assert!(commits - signalled >= 50);
    finals.send_replace(Some(bare.writer.newest.clone()));
    let followers = clients.join_all().await;
    drop(stuck);

    let mut delays: Vec<u64> = Vec::new();
    for follower in &followers {
        assert!(
            follower.resumed > 0,
            "{} did not move to the new process",
            follower.name
        );
        if follower.transport != Transport::Polling {
            assert_eq!(follower.retry_delays.len(), 1, "{}", follower.name);
        }
        delays.extend(&follower.retry_delays);
    }
    delays.sort_unstable();
    println!("retryAfterMs of {} clients: {delays:?}", delays.len());
    let (first, last) = (delays[0], delays[delays.len() - 1]);
    assert!(
        last <= WINDOW_MS && last - first > WINDOW_MS / 2,
        "{delays:?}"
    );
    delays.dedup();
    assert!(delays.len() > 20, "{delays:?}");
    new.stop().await;
}
