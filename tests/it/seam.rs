//! Many clients come, go and resume at random while updates are committed as fast as they can follow, and each checks
//! every message that it gets. Memory is kept so small that resuming crosses both seams: from Postgres to the ring,
//! and from the ring to what is live. The schedules are drawn from a seed and measured in messages and commits, not
//! in time; `SEAM_SEED=N` repeats one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chaincast::{
    bus::{Bus, BusConfig, Publisher},
    gateway::{Gateway, GatewayConfig, KnownChannels},
    server::{self, ServerConfig},
    shutdown::{Failures, Tasks},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::support::{Follower, Ledger, Mode, Over, PATIENCE, Wish, fresh_database};

const PRICES: [&str; 3] = ["price:ETH", "price:BTC", "price:LINK"];
const MODES: [Mode; 4] = [Mode::All, Mode::Latest, Mode::Every(100), Mode::Every(250)];
/// What each client does, one after the other.
const ACTIONS: usize = 30;
/// Most messages, or commits, between two actions.
const BETWEEN: u64 = 30;
/// Leaves the clients a share of the machine.
const BREATH: Duration = Duration::from_millis(3);

type Newest = HashMap<String, u64>;

/// A gateway of this process over a database of its own.
struct Stage {
    ledger: Ledger,
    publisher: Publisher,
    gateway: Gateway,
    base: String,
    tasks: Tasks,
    _failures: Failures,
}

impl Stage {
    async fn start(gateway: GatewayConfig, bus: BusConfig) -> Self {
        let ledger = Ledger::open(&fresh_database().await).await;
        let (tasks, failures) = Tasks::new();
        let bus = Bus::connect(&bus, ledger.store().clone(), &tasks)
            .await
            .unwrap();
        let known = KnownChannels {
            first_chain: 31_337,
            chain_ids: vec![31_337],
            tokens: ["ETH", "BTC", "LINK"].map(|t| t.parse().unwrap()).into(),
            transactions: true,
            contracts: Default::default(),
        };
        let feed = bus.feed().await.unwrap();
        let gateway = Gateway::start(gateway, known, feed, bus.history(), &tasks)
            .await
            .unwrap();
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
            ledger,
            publisher: bus.publisher(),
            gateway,
            base,
            tasks,
            _failures: failures,
        }
    }
}

/// How a run differs from others.
struct Run {
    ring_updates: usize,
    replay_updates: u64,
    backlog_bytes: usize,
    /// Commits that the bus holds for the hub, and in how many of ten the bus hears of a commit at all: the rest is
    /// found in the store.
    capacity: usize,
    announced: u32,
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
        // Clients answer pings when they read, which may be late where all share a slow machine.
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
    let mut stage = Stage::start(gateway, bus).await;
    let progress = Progress::default();
    let (finals, newest) = watch::channel(None::<Newest>);
    let mut clients = JoinSet::new();
    for (over, count) in [
        (Over::WebSocket, 8),
        (Over::SocketIo, 5),
        (Over::Polling, 3),
        (Over::EventStream, 6),
    ] {
        for number in 0..count {
            let name = format!("{over:?} {number} of SEAM_SEED={seed}");
            let base = vec![stage.base.clone()];
            let follower = Follower::new(name, over, base, run.replay_updates);
            let rng = StdRng::seed_from_u64(seed ^ (clients.len() as u64 + 1));
            clients.spawn(client(follower, rng, progress.clone(), newest.clone()));
        }
    }
    let mut rng = StdRng::seed_from_u64(seed);
    while progress.done.load(Ordering::Relaxed) < clients.len() as u64 {
        let names: Vec<&str> = (0..rng.random_range(1..=6))
            .map(|_| *PRICES.get(rng.random_range(0..4)).unwrap_or(&"new-block"))
            .collect();
        let updates = stage.ledger.commit(&names).await;
        if rng.random_range(0..10) < run.announced {
            stage.publisher.publish(updates);
        }
        progress.commits.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(BREATH).await;
        // Before it was told the newest, a client ends only by a failure.
        if let Some(ended) = clients.try_join_next() {
            ended.unwrap();
        }
    }
    finals.send_replace(Some(stage.ledger.newest.clone()));
    let followers: Vec<Follower> = clients.join_all().await;
    let sum = |count: fn(&Follower) -> u64| followers.iter().map(count).sum::<u64>();
    let (resumed, restarted) = (sum(|f| f.resumed), sum(|f| f.restarted));
    println!(
        "{} commits, {} messages, {resumed} resumed, {restarted} restarted",
        progress.commits.load(Ordering::Relaxed),
        sum(|f| f.messages)
    );
    assert!(resumed > 100, "only {resumed} resumed, that shows little");
    assert!(restarted > 0, "none was told that its history is foreign");
    drop(followers);
    stage.gateway.close(PATIENCE).await;
    assert!(stage.tasks.drain(PATIENCE).await);
}

/// How far all are.
#[derive(Clone, Default)]
struct Progress {
    commits: Arc<AtomicU64>,
    /// Clients that are through with their actions.
    done: Arc<AtomicU64>,
}

async fn client(
    mut follower: Follower,
    mut rng: StdRng,
    progress: Progress,
    newest: watch::Receiver<Option<Newest>>,
) -> Follower {
    let first = wishes(&follower, &mut rng);
    follower.begin(&first).await;
    for _ in 0..ACTIONS {
        let some = rng.random_range(0..=BETWEEN);
        let until = progress.commits.load(Ordering::Relaxed) + some;
        let enough = || progress.commits.load(Ordering::Relaxed) >= until;
        follower.read(some, enough).await;
        act(&mut follower, &mut rng).await;
    }
    progress.done.fetch_add(1, Ordering::Relaxed);
    loop {
        let known = newest.borrow().clone();
        match known {
            Some(newest) => {
                follower.catch_up(&newest).await;
                return follower;
            }
            None => follower.follow().await,
        }
    }
}

/// Some channels, each in a mode that it may have; an event stream has one mode for all. One that was listened to
/// before is resumed, or not.
fn wishes(follower: &Follower, rng: &mut StdRng) -> BTreeMap<String, Wish> {
    let mut wishes = BTreeMap::new();
    let common = (!follower.takes_requests()).then(|| MODES[rng.random_range(0..MODES.len())]);
    for channel in PRICES.into_iter().chain(["new-block"]) {
        let mode = common.unwrap_or(MODES[rng.random_range(0..MODES.len())]);
        let mode = match (channel, common) {
            ("new-block", Some(mode)) if mode != Mode::All => continue,
            ("new-block", _) => Mode::All,
            _ => mode,
        };
        if rng.random_bool(0.4) && !wishes.is_empty() {
            continue;
        }
        let known = follower.places.get(channel).map(|(_, last)| *last);
        let since = known.filter(|_| rng.random_bool(0.8));
        wishes.insert(channel.to_owned(), Wish { mode, since });
    }
    wishes
}

async fn act(follower: &mut Follower, rng: &mut StdRng) {
    let foreign = rng.random_bool(0.2).then_some("elsewhere");
    let listening = follower.listening();
    match rng.random_range(0..4) {
        // Anew, with other channels and options.
        0 if !follower.takes_requests() => {
            let wishes = wishes(follower, rng);
            follower.begin(&wishes).await;
        }
        0 | 1 if follower.takes_requests() => {
            let wishes = wishes(follower, rng);
            if !follower.subscribe(&wishes, foreign).await {
                follower.come_back(None).await;
            }
        }
        2 if follower.takes_requests() && listening.len() > 1 => {
            let channel = &listening[rng.random_range(0..listening.len())];
            if !follower.unsubscribe(channel).await {
                follower.come_back(None).await;
            }
        }
        _ => follower.come_back(foreign).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_at_random_gets_everything_once_and_in_order() {
    run(Run {
        ring_updates: 4,
        replay_updates: 1_000_000,
        backlog_bytes: 1_048_576,
        capacity: 4_096,
        announced: 10,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_hears_of_half_the_commits_and_forgets_most_leaves_no_gap_either() {
    run(Run {
        ring_updates: 16,
        replay_updates: 60,
        backlog_bytes: 32_768,
        capacity: 2,
        announced: 5,
    })
    .await;
}
