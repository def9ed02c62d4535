//! Two indexers of one database: which one writes when the writing one is killed, hangs or loses the database.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Server, TcpProxy, World, WsClient, eventually};

/// Two indexers, of which the first writes, and a client of the world's server, which is the gateway.
struct Pair {
    world: World,
    first: Server,
    second: Server,
    client: WsClient,
    blocks: u64,
    prices: u64,
    dollars: i64,
}

/// Writes a modified copy of a world's configuration.
fn write_changed_config(
    world: &World,
    name: &str,
    change: impl FnOnce(&mut toml::Table),
) -> PathBuf {
    let text = std::fs::read_to_string(&world.config).unwrap();
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    change(&mut table);
    let file = world.dir.path().join(name);
    std::fs::write(&file, table.to_string()).unwrap();
    file
}

fn set(table: &mut toml::Table, section: &str, key: &str, value: impl Into<toml::Value>) {
    let section = table
        .entry(section)
        .or_insert_with(|| toml::Table::new().into());
    section
        .as_table_mut()
        .unwrap()
        .insert(key.into(), value.into());
}

async fn indexer(config: &std::path::Path) -> Server {
    let config = config.to_str().unwrap();
    Server::start(&["serve", "--role", "indexer", "--config", config]).await
}

async fn status(server: &Server) -> Option<Value> {
    let answer = reqwest::get(format!("{}/api/v1/status", server.url()))
        .await
        .ok()?;
    serde_json::from_str(&answer.text().await.ok()?).ok()
}

/// Waits until `server` writes both streams, according to the status of `observer`.
async fn wait_until_writing(server: &Server, observer: &Server) {
    let process = format!("process {} ", server.pid());
    eventually("it writes both streams", async || {
        let status = status(observer).await?;
        let both = [&status["chains"][0]["writer"], &status["prices"]["writer"]];
        let ours = |writer: &&Value| {
            writer["alive"] == true
                && writer["holder"]
                    .as_str()
                    .is_some_and(|holder| holder.contains(&process))
        };
        both.iter().all(ours).then_some(())
    })
    .await;
}

impl Pair {
    /// With a proxy, the first indexer reaches the database through it.
    async fn start(lease_ms: i64, proxy: bool) -> (Self, Option<TcpProxy>) {
        let mut world = World::start().await;
        let proxy = match proxy {
            true => Some(TcpProxy::in_front_of_database(&world.database).await),
            false => None,
        };
        let first = write_changed_config(&world, "first.toml", |table| {
            set(table, "database", "lease_ms", lease_ms);
            if let Some(proxy) = &proxy {
                set(table, "database", "url", proxy.url());
            }
        });
        let second = write_changed_config(&world, "second.toml", |table| {
            set(table, "database", "lease_ms", lease_ms)
        });
        let polls = write_changed_config(&world, "gateway.toml", |table| {
            set(table, "bus", "poll_interval_ms", 50)
        });
        let gateway = [
            "serve",
            "--role",
            "gateway",
            "--config",
            polls.to_str().unwrap(),
        ];
        let gateway = Server::start(&gateway).await;
        // It was the writer until now.
        std::mem::replace(&mut world.server, gateway).stop().await;
        let first = indexer(&first).await;
        wait_until_writing(&first, &world.server).await;
        let second = indexer(&second).await;
        let mut client = world.ws().await;
        let token = world.deployment.feeds[0].token.clone();
        let of = async |client: &mut WsClient, channel: String| {
            let at = client
                .subscribe(json!({ "channel": channel, "snapshot": false }))
                .await;
            at["seq"].as_u64().unwrap()
        };
        let blocks = of(&mut client, "new-block".to_owned()).await;
        let prices = of(&mut client, format!("price:{token}")).await;
        let pair = Self {
            world,
            first,
            second,
            client,
            blocks,
            prices,
            dollars: 3_000,
        };
        (pair, proxy)
    }

    /// Mines a block with a new price, and expects it indexed, priced and delivered, each seq once.
    async fn expect_block_and_price(&mut self) {
        self.dollars += 1;
        let token = self.world.deployment.feeds[0].token.clone();
        let mined = self.world.control.head().await.unwrap().0;
        self.world.set_feed(&token, self.dollars).await;
        let (mut block, mut price) = (false, false);
        while !(block && price) {
            let message = self.client.next("a block and its price").await;
            match message["event"].as_str().unwrap() {
                "new-block" => {
                    self.blocks += 1;
                    assert_eq!(message["seq"], self.blocks, "{message}");
                    block |= message["data"]["number"].as_u64().unwrap() > mined;
                }
                "price-update" => {
                    self.prices += 1;
                    assert_eq!(message["seq"], self.prices, "{message}");
                    let sources = message["data"]["details"].as_array().unwrap();
                    price |= sources
                        .iter()
                        .any(|source| source["block"]["number"].as_u64() > Some(mined));
                }
                _ => {}
            }
        }
    }

    /// No block, log or seq is duplicated or missing.
    async fn assert_complete(&self) {
        self.world.caught_up().await;
        let mut database = self.world.database().await;
        let holes: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT c.seq, count(u.seq) AS stored, count(DISTINCT u.data::text) AS different
                 FROM channels c JOIN updates u ON u.channel_id = c.id
                 WHERE c.name = 'new-block' OR c.name LIKE 'price:%' GROUP BY c.id, c.seq) t
             WHERE t.seq <> t.stored OR t.seq <> t.different",
        )
        .fetch_one(&mut database)
        .await
        .unwrap();
        assert_eq!(holes, 0);
        let unlinked: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM blocks b JOIN chains c USING (chain_id) WHERE b.number > c.start_block AND NOT EXISTS
                 (SELECT FROM blocks p WHERE p.chain_id = b.chain_id AND p.number = b.number - 1 AND p.hash = b.parent_hash)",
        )
        .fetch_one(&mut database)
        .await
        .unwrap();
        assert_eq!(unlinked, 0);
    }

    async fn stop(self) {
        self.second.stop().await;
        self.world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_takes_over_from_a_killed_indexer() {
    // Longer than the test: the lock is free as soon as its connection ends.
    let (mut pair, _) = Pair::start(600_000, false).await;
    pair.expect_block_and_price().await;
    let began = Instant::now();
    pair.first.signal(Signal::SIGKILL);
    pair.expect_block_and_price().await;
    let took = began.elapsed();
    eprintln!("takeover of a killed indexer: {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    wait_until_writing(&pair.second, &pair.world.server).await;
    pair.assert_complete().await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_takes_over_from_a_hung_indexer() {
    let (mut pair, _) = Pair::start(5_000, false).await;
    pair.expect_block_and_price().await;
    let began = Instant::now();
    pair.first.signal(Signal::SIGSTOP);
    pair.expect_block_and_price().await;
    let took = began.elapsed();
    eprintln!("takeover of a hung indexer: {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    becomes_standby(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_takes_over_from_a_disconnected_indexer() {
    let (mut pair, proxy) = Pair::start(5_000, true).await;
    let proxy = proxy.unwrap();
    pair.expect_block_and_price().await;
    let began = Instant::now();
    proxy.stall();
    pair.expect_block_and_price().await;
    let took = began.elapsed();
    eprintln!("takeover of a disconnected indexer: {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    // It stopped writing by its own clock.
    eventually("the first indexer lost its lease", async || {
        pair.first
            .output()
            .contains("the lease of chain 31337 is lost")
            .then_some(())
    })
    .await;
    proxy.resume();
    becomes_standby(pair).await;
    drop(proxy);
}

/// The first indexer keeps running as the standby, and takes over when the second one ends.
async fn becomes_standby(mut pair: Pair) {
    wait_until_writing(&pair.second, &pair.world.server).await;
    pair.first.signal(Signal::SIGCONT);
    let both = [
        "chain 31337 is written by",
        "the price stream is written by",
    ];
    eventually("the first indexer is the standby", async || {
        let output = pair.first.output();
        both.iter().all(|line| output.contains(line)).then_some(())
    })
    .await;
    pair.expect_block_and_price().await;
    wait_until_writing(&pair.second, &pair.world.server).await;
    std::mem::swap(&mut pair.first, &mut pair.second);
    pair.first.signal(Signal::SIGTERM);
    assert!(pair.first.ended().await.success());
    pair.expect_block_and_price().await;
    wait_until_writing(&pair.second, &pair.world.server).await;
    pair.assert_complete().await;
    pair.stop().await;
}
