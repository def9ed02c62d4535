//! Many clients connect, disconnect and resume at random while updates are committed as fast as they can follow, and
//! each checks every message it receives. Memory is so small that resuming crosses both seams: from PostgreSQL to the
//! ring, and from the ring to live updates. The schedules come from a seed and are measured in messages and commits,
//! not in time; `SEAM_SEED=N` repeats one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chaincast_base::shutdown::{Failures, Tasks};
use chaincast_bus::{Bus, BusConfig, Publisher};
use chaincast_gateway::{Gateway, GatewayConfig, GatewayInputs, KnownChannels};
use chaincast_http::server::{self, ServerConfig};
use chaincast_rooms::{MessageQuota, MessageWriter};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::support::{
    Follower, Mode, Subscription, TIMEOUT, TestWriter, Transport, fresh_database,
};

const PRICES: [&str; 3] = ["price:ETH", "price:BTC", "price:LINK"];
const MODES: [Mode; 4] = [Mode::All, Mode::Latest, Mode::Every(100), Mode::Every(250)];
/// Actions of each client, in sequence.
const ACTIONS: usize = 30;
/// Maximum number of messages, or commits, between two actions.
const MAX_BETWEEN_ACTIONS: u64 = 30;
/// A pause that leaves the clients a share of the CPU.
const COMMIT_PAUSE: Duration = Duration::from_millis(3);

type Newest = HashMap<String, u64>;

/// A gateway of this process over its own database.
struct Setup {
    writer: TestWriter,
    publisher: Publisher,
    gateway: Gateway,
    base: String,
    tasks: Tasks,
    _failures: Failures,
}

impl Setup {
    async fn start(gateway: GatewayConfig, bus: BusConfig) -> Self {
        let writer = TestWriter::open(&fresh_database().await).await;
        let (tasks, failures) = Tasks::new();
        let bus = Bus::connect(&bus, writer.store().clone(), &tasks)
            .await
            .unwrap();
        let known = KnownChannels {
            first_chain: 31_337,
            chain_ids: vec![31_337],
            tokens: ["ETH", "BTC", "LINK"].map(|t| t.parse().unwrap()).into(),
            transactions: true,
            contracts: Default::default(),
        };
        let (store, messages) = (writer.store(), &gateway.messages);
        let inputs = GatewayInputs {
            channels: known,
            commits: bus.commit_stream().await.unwrap(),
            update_log: bus.update_log(),
            messages: MessageWriter::start(store, bus.publisher(), messages, &tasks),
            quota: MessageQuota::new(messages),
            live: bus.live(),
        };
        let gateway = Gateway::start(gateway, inputs, &tasks).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = server::serve(
            listener,
            gateway.router(),
            ServerConfig::default(),
            tasks.clone(),
            tasks.token(),
        );
        tasks.spawn_critical("http server", serving);
        Self {
            writer,
            publisher: bus.publisher(),
            gateway,
            base,
            tasks,
            _failures: failures,
        }
    }
}

/// The parameters of a run.
struct Run {
    ring_updates: usize,
    replay_updates: u64,
    backlog_bytes: usize,
    /// The capacity of the bus for the hub, in commits, and how many commits of ten are published at all: the others
    /// are found in the store.
    capacity: usize,
    published_of_ten: u32,
}

fn seed() -> u64 {
    let given = std::env::var("SEAM_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("SEAM_SEED={seed}");
    seed
}

async fn run(run: Run) {
    let seed = seed();
    let mut gateway = GatewayConfig {
        ring_updates: run.ring_updates,
        replay_updates: run.replay_updates,
        // Clients answer pings when they read, which may be late on a slow machine.
        ping_timeout_ms: 120_000,
        ..GatewayConfig::default()
    };
    gateway.limits.requests = 10_000;
    gateway.limits.backlog_bytes = run.backlog_bytes;
    let bus = BusConfig {
        capacity: run.capacity,
        poll_interval_ms: 50,
        ..BusConfig::default()
    };
    let mut fixture = Setup::start(gateway, bus).await;
    let progress = Progress::default();
    let (finals, newest) = watch::channel(None::<Newest>);
    let mut clients = JoinSet::new();
    for (transport, count) in [
        (Transport::WebSocket, 8),
        (Transport::SocketIo, 5),
        (Transport::Polling, 3),
        (Transport::EventStream, 6),
    ] {
        for number in 0..count {
            let name = format!("{transport:?} {number} of SEAM_SEED={seed}");
            let base = vec![fixture.base.clone()];
            let follower = Follower::new(name, transport, base, run.replay_updates);
            let rng = StdRng::seed_from_u64(seed ^ (clients.len() as u64 + 1));
            clients.spawn(client(follower, rng, progress.clone(), newest.clone()));
        }
    }
    let mut rng = StdRng::seed_from_u64(seed);
    while progress.done.load(Ordering::Relaxed) < clients.len() as u64 {
        let names: Vec<&str> = (0..rng.random_range(1..=6))
            .map(|_| *PRICES.get(rng.random_range(0..4)).unwrap_or(&"new-block"))
            .collect();
        let updates = fixture.writer.commit(&names).await;
        if rng.random_range(0..10) < run.published_of_ten {
            fixture.publisher.publish(updates);
        }
        progress.commits.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(COMMIT_PAUSE).await;
        // Before it gets the final seqs, a client ends only by a failure.
        if let Some(ended) = clients.try_join_next() {
            ended.unwrap();
        }
    }
    finals.send_replace(Some(fixture.writer.newest.clone()));
    let followers: Vec<Follower> = clients.join_all().await;
    let sum = |count: fn(&Follower) -> u64| followers.iter().map(count).sum::<u64>();
    let (resumed, restarted) = (sum(|f| f.resumed), sum(|f| f.restarted));
    println!(
        "{} commits, {} messages, {resumed} resumed, {restarted} restarted",
        progress.commits.load(Ordering::Relaxed),
        sum(|f| f.messages)
    );
    assert!(
        resumed > 100,
        "only {resumed} resumed, too few for this test"
    );
    assert!(restarted > 0, "no client resumed with a foreign epoch");
    drop(followers);
    fixture.gateway.close(TIMEOUT).await;
    assert!(fixture.tasks.drain(TIMEOUT).await);
}

/// The progress of all clients.
#[derive(Clone, Default)]
struct Progress {
    commits: Arc<AtomicU64>,
    /// Clients that have finished their actions.
    done: Arc<AtomicU64>,
}

async fn client(
    mut follower: Follower,
    mut rng: StdRng,
    progress: Progress,
    newest: watch::Receiver<Option<Newest>>,
) -> Follower {
    let first = random_subscriptions(&follower, &mut rng);
    follower.begin(&first).await;
    for _ in 0..ACTIONS {
        let some = rng.random_range(0..=MAX_BETWEEN_ACTIONS);
        let until = progress.commits.load(Ordering::Relaxed) + some;
        let is_over = || progress.commits.load(Ordering::Relaxed) >= until;
        follower.read(some, is_over).await;
        random_action(&mut follower, &mut rng).await;
    }
    progress.done.fetch_add(1, Ordering::Relaxed);
    loop {
        let known = newest.borrow().clone();
        match known {
            Some(newest) => {
                follower.catch_up(&newest).await;
                return follower;
            }
            None => follower.receive_or_reconnect().await,
        }
    }
}

/// A random set of channels, each in a mode that it supports; an event stream has one mode for all. A channel that was
/// subscribed before is resumed, or not.
fn random_subscriptions(follower: &Follower, rng: &mut StdRng) -> BTreeMap<String, Subscription> {
    let mut subscriptions = BTreeMap::new();
    let common = (!follower.accepts_requests()).then(|| MODES[rng.random_range(0..MODES.len())]);
    for channel in PRICES.into_iter().chain(["new-block"]) {
        let mode = common.unwrap_or(MODES[rng.random_range(0..MODES.len())]);
        let mode = match (channel, common) {
            ("new-block", Some(mode)) if mode != Mode::All => continue,
            ("new-block", _) => Mode::All,
            _ => mode,
        };
        if rng.random_bool(0.4) && !subscriptions.is_empty() {
            continue;
        }
        let known = follower.positions.get(channel).map(|(_, last)| *last);
        let since = known.filter(|_| rng.random_bool(0.8));
        subscriptions.insert(channel.to_owned(), Subscription { mode, since });
    }
    subscriptions
}

async fn random_action(follower: &mut Follower, rng: &mut StdRng) {
    let foreign = rng.random_bool(0.2).then_some("elsewhere");
    let subscribed_channels = follower.subscribed_channels();
    match rng.random_range(0..4) {
        // Reconnect with other channels and options.
        0 if !follower.accepts_requests() => {
            let subscriptions = random_subscriptions(follower, rng);
            follower.begin(&subscriptions).await;
        }
        0 | 1 if follower.accepts_requests() => {
            let subscriptions = random_subscriptions(follower, rng);
            if !follower.subscribe(&subscriptions, foreign).await {
                follower.reconnect(None).await;
            }
        }
        2 if follower.accepts_requests() && subscribed_channels.len() > 1 => {
            let channel = &subscribed_channels[rng.random_range(0..subscribed_channels.len())];
            if !follower.unsubscribe(channel).await {
                follower.reconnect(None).await;
            }
        }
        _ => follower.reconnect(foreign).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_resumes_deliver_everything_once_in_order() {
    run(Run {
        ring_updates: 4,
        replay_updates: 1_000_000,
        backlog_bytes: 1_048_576,
        capacity: 4_096,
        published_of_ten: 10,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_resumes_without_gap_on_a_lossy_bus() {
    run(Run {
        ring_updates: 16,
        replay_updates: 60,
        backlog_bytes: 32_768,
        capacity: 2,
        published_of_ten: 5,
    })
    .await;
}
