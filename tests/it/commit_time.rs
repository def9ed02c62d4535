//! The time of a commit travels with it: what the gateway of another process measures from a commit to its clients is the
//! whole way, whether Redis carries the update itself or only says that there is one.

use std::time::{Duration, Instant};

use chaincast::{
    bus::{Bus, BusConfig, BusKind, Publisher},
    model::{Secret, Update},
    shutdown::Tasks,
};
use serde_json::{Value, json};

use crate::{
    observe::{metric, metric_becomes},
    processes::listen,
    support::{Bare, Redis, WsClient, eventually},
};

const KEY: &str = "a key for the bus of these tests, long enough";
const NAME: &str = "chaincast_gateway_fanout_seconds";
const CHANNEL: &str = "new-block";
/// How long Redis holds a message back.
const HELD: Duration = Duration::from_millis(300);

/// A writer in the test's process, Redis, and a gateway in another process with one client.
struct Stage {
    redis: Redis,
    gateway: Bare,
    publisher: Publisher,
    ws: WsClient,
    // Ends with the test.
    _tasks: Tasks,
    _bus: Bus,
}

impl Stage {
    async fn start(key: &str) -> Self {
        let redis = Redis::start().await;
        let url = redis.url();
        // What arrives at once did not come by the poll.
        let settings = format!(
            "[bus]\nkind = \"redis\"\nredis_url = {url:?}\nredis_key = {key:?}\npoll_interval_ms = 60000"
        );
        let gateway = Bare::start(&settings).await;
        let config = BusConfig {
            kind: BusKind::Redis,
            redis_url: Secret::new(&url),
            redis_key: Secret::new(key),
            ..BusConfig::default()
        };
        let (tasks, _) = Tasks::new();
        let store = gateway.ledger.store().clone();
        let bus = Bus::connect(&config, store, &tasks).await.unwrap();
        listen(&redis, None, 2).await;
        let mut ws = WsClient::connect(&gateway.server.realtime()).await;
        ws.subscribe(json!({ "channel": CHANNEL, "snapshot": false }))
            .await;
        Self {
            redis,
            gateway,
            publisher: bus.publisher(),
            ws,
            _tasks: tasks,
            _bus: bus,
        }
    }

    async fn commit(&mut self) -> Vec<Update> {
        self.gateway.ledger.commit(&[CHANNEL]).await
    }

    /// The data of the next update, which has this seq.
    async fn arrives(&mut self, seq: u64) -> Value {
        let message = self.ws.event("new-block").await;
        assert_eq!(message["seq"], seq, "{message}");
        message["data"].clone()
    }

    async fn sum(&self) -> f64 {
        let name = format!("{NAME}_sum");
        metric(&self.gateway.server, &name).await.unwrap()
    }
}

/// Sends an update of which Redis has other data than the store, and holds it back. Returns the data that arrives.
async fn late(key: &str) -> Value {
    let mut stage = Stage::start(key).await;
    let first = stage.commit().await;
    stage.publisher.publish(first);
    stage.arrives(1).await;
    let count = format!("{NAME}_count");
    metric_becomes(&stage.gateway.server, &count, |count| count == 1.0).await;
    let before = stage.sum().await;

    let client = redis::Client::open(stage.redis.url()).unwrap();
    let mut control = client.get_multiplexed_async_connection().await.unwrap();
    let mut pause = redis::cmd("CLIENT");
    let pause = pause.arg("PAUSE").arg(60_000).arg("WRITE");
    pause.query_async::<()>(&mut control).await.unwrap();
    let began = Instant::now();
    let mut updates = stage.commit().await;
    updates[0].data = json!({ "number": "of Redis" }).to_string().into();
    stage.publisher.publish(updates);
    let published = Instant::now();
    eventually("Redis is late", async || {
        (published.elapsed() >= HELD).then_some(())
    })
    .await;
    let held = published.elapsed();
    let mut unpause = redis::cmd("CLIENT");
    let unpause = unpause.arg("UNPAUSE");
    unpause.query_async::<()>(&mut control).await.unwrap();
    let data = stage.arrives(2).await;
    metric_becomes(&stage.gateway.server, &count, |count| count == 2.0).await;
    let (way, whole) = (stage.sum().await - before, began.elapsed());
    assert!(
        (held.as_secs_f64()..=whole.as_secs_f64()).contains(&way),
        "measured {way} s of a way that took {held:?} to {whole:?}"
    );
    stage.gateway.server.stop().await;
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_message_carries_update_and_commit_time() {
    assert_eq!(late(KEY).await["number"], "of Redis");
}

#[tokio::test(flavor = "multi_thread")]
async fn hint_leads_to_store_and_its_commit_time() {
    assert_eq!(late("").await["number"], 2);
}

/// Prints how long an update takes from its commit in this process to a client of a gateway in another.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: run it alone, with --nocapture"]
async fn measures_commit_to_client_through_redis() {
    const UPDATES: usize = 500;
    for (name, key) in [("with redis_key", KEY), ("without redis_key", "")] {
        let mut stage = Stage::start(key).await;
        let mut times = Vec::with_capacity(UPDATES);
        // The first ones warm up connections and plans.
        for seq in 1..=UPDATES as u64 + 20 {
            let updates = stage.commit().await;
            let committed = Instant::now();
            stage.publisher.publish(updates);
            stage.arrives(seq).await;
            if seq > 20 {
                times.push(committed.elapsed());
            }
        }
        times.sort_unstable();
        println!(
            "{name}: {UPDATES} updates, commit to client: median {:?}, p95 {:?}, longest {:?}",
            times[UPDATES / 2],
            times[UPDATES * 95 / 100],
            times[UPDATES - 1]
        );
        stage.gateway.server.stop().await;
    }
}
