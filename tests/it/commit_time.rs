//! The commit time travels with an update: a gateway in another process measures the whole latency from the commit to
//! its clients, whether Redis carries the update itself or only a hint.

use std::time::{Duration, Instant};

use chaincast_base::{Secret, shutdown::Tasks};
use chaincast_bus::{Bus, BusConfig, BusKind, Publisher};
use chaincast_protocol::Update;
use serde_json::{Value, json};

use crate::{
    observability::{metric, metric_becomes},
    processes::wait_for_subscribers,
    support::{BareGateway, Redis, WsClient, eventually},
};

const KEY: &str = "a key for the bus of these tests, long enough";
const NAME: &str = "chaincast_gateway_fanout_seconds";
const CHANNEL: &str = "new-block";
/// The number of the second block as Redis carries it; the store has 2.
const NUMBER_IN_REDIS: u64 = 2_000_000;
/// How long Redis delays a message.
const DELAY: Duration = Duration::from_millis(300);

/// A writer in the test's process, Redis, and a gateway in another process with one client.
struct Setup {
    redis: Redis,
    gateway: BareGateway,
    publisher: Publisher,
    ws: WsClient,
    // Dropped with the test.
    _tasks: Tasks,
    _bus: Bus,
}

impl Setup {
    async fn start(key: &str) -> Self {
        let redis = Redis::start().await;
        let url = redis.url();
        // The poll is slow, so a prompt update did not come by polling.
        let settings = format!(
            "[bus]\nkind = \"redis\"\nredis_url = {url:?}\nredis_key = {key:?}\npoll_interval_ms = 60000"
        );
        let gateway = BareGateway::start(&settings).await;
        let config = BusConfig {
            kind: BusKind::Redis,
            redis_url: Secret::new(&url),
            redis_key: Secret::new(key),
            ..BusConfig::default()
        };
        let (tasks, _) = Tasks::new();
        let store = gateway.writer.store().clone();
        let bus = Bus::connect(&config, store, &tasks).await.unwrap();
        wait_for_subscribers(&redis, None, 2).await;
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
        self.gateway.writer.commit(&[CHANNEL]).await
    }

    /// The data of the next update, which must have this seq.
    async fn receive(&mut self, seq: u64) -> Value {
        let message = self.ws.event("new-block").await;
        assert_eq!(message["seq"], seq, "{message}");
        message["data"].clone()
    }

    async fn sum(&self) -> f64 {
        let name = format!("{NAME}_sum");
        metric(&self.gateway.server, &name).await.unwrap()
    }
}

/// Sends an update whose data in Redis differs from the store, and delays it. Returns the data that arrives.
async fn send_delayed(key: &str) -> Value {
    let mut fixture = Setup::start(key).await;
    let first = fixture.commit().await;
    fixture.publisher.publish(first);
    fixture.receive(1).await;
    let count = format!("{NAME}_count");
    metric_becomes(&fixture.gateway.server, &count, |count| count == 1.0).await;
    let before = fixture.sum().await;

    let client = redis::Client::open(fixture.redis.url()).unwrap();
    let mut control = client.get_multiplexed_async_connection().await.unwrap();
    let mut pause = redis::cmd("CLIENT");
    let pause = pause.arg("PAUSE").arg(60_000).arg("WRITE");
    pause.query_async::<()>(&mut control).await.unwrap();
    let began = Instant::now();
    let mut updates = fixture.commit().await;
    let in_redis = format!("\"number\":{NUMBER_IN_REDIS},");
    updates[0].data = updates[0].data.replace("\"number\":2,", &in_redis).into();
    fixture.publisher.publish(updates);
    let published = Instant::now();
    eventually("Redis is late", async || {
        (published.elapsed() >= DELAY).then_some(())
    })
    .await;
    let held = published.elapsed();
    let mut unpause = redis::cmd("CLIENT");
    let unpause = unpause.arg("UNPAUSE");
    unpause.query_async::<()>(&mut control).await.unwrap();
    let data = fixture.receive(2).await;
    metric_becomes(&fixture.gateway.server, &count, |count| count == 2.0).await;
    let (measured, elapsed) = (fixture.sum().await - before, began.elapsed());
    assert!(
        (held.as_secs_f64()..=elapsed.as_secs_f64()).contains(&measured),
        "measured {measured} s, expected {held:?} to {elapsed:?}"
    );
    fixture.gateway.server.stop().await;
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_message_carries_update_and_commit_time() {
    assert_eq!(send_delayed(KEY).await["number"], NUMBER_IN_REDIS);
}

#[tokio::test(flavor = "multi_thread")]
async fn hint_leads_to_store_and_its_commit_time() {
    assert_eq!(send_delayed("").await["number"], 2);
}

/// Prints the latency from a commit in this process to a client of a gateway in another.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: run it alone, with --nocapture"]
async fn measures_commit_to_client_through_redis() {
    const UPDATES: usize = 500;
    for (name, key) in [("with redis_key", KEY), ("without redis_key", "")] {
        let mut fixture = Setup::start(key).await;
        let mut times = Vec::with_capacity(UPDATES);
        // The first updates warm up connections and query plans.
        for seq in 1..=UPDATES as u64 + 20 {
            let updates = fixture.commit().await;
            let committed = Instant::now();
            fixture.publisher.publish(updates);
            fixture.receive(seq).await;
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
        fixture.gateway.server.stop().await;
    }
}
