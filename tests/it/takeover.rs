//! Two indexers of one database: who writes when the one that did is killed, hangs or is cut off from the database.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Pipe, Server, World, WsClient, eventually};

/// Two indexers, of which the first writes, and a client of the gateway beside them, which is the world's server.
struct Pair {
    world: World,
    first: Server,
    second: Server,
    client: WsClient,
    blocks: u64,
    prices: u64,
    dollars: i64,
}

/// The configuration of a world, changed.
fn changed(world: &World, name: &str, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
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

/// Waits until this process writes chain and prices, as `asked` knows it.
async fn writes(server: &Server, asked: &Server) {
    let process = format!("process {} ", server.pid());
    eventually("it writes both streams", async || {
        let status = status(asked).await?;
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
    /// The first goes through `pipe` to the database, if there is one.
    async fn start(lease_ms: i64, pipe: bool) -> (Self, Option<Pipe>) {
        let mut world = World::start().await;
        let pipe = match pipe {
            true => Some(Pipe::before(&world.database).await),
            false => None,
        };
        let first = changed(&world, "first.toml", |table| {
            set(table, "database", "lease_ms", lease_ms);
            if let Some(pipe) = &pipe {
                set(table, "database", "url", pipe.url());
            }
        });
        let second = changed(&world, "second.toml", |table| {
            set(table, "database", "lease_ms", lease_ms)
        });
        let polls = changed(&world, "gateway.toml", |table| {
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
        // It wrote until now.
        std::mem::replace(&mut world.server, gateway).stop().await;
        let first = indexer(&first).await;
        writes(&first, &world.server).await;
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
        (pair, pipe)
    }

    /// A block with a new price in it is mined, indexed, priced and delivered, each seq once.
    async fn goes_on(&mut self) {
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

    /// No block, log or seq is there twice, and none is missing.
    async fn is_whole(&self) {
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
    // Longer than the test lasts: the lock is free when its connection ends.
    let (mut pair, _) = Pair::start(600_000, false).await;
    pair.goes_on().await;
    let began = Instant::now();
    pair.first.signal(Signal::SIGKILL);
    pair.goes_on().await;
    let took = began.elapsed();
    eprintln!("takeover of a killed indexer: {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    writes(&pair.second, &pair.world.server).await;
    pair.is_whole().await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_takes_over_from_a_hung_indexer() {
    let (mut pair, _) = Pair::start(5_000, false).await;
    pair.goes_on().await;
    let began = Instant::now();
    pair.first.signal(Signal::SIGSTOP);
    pair.goes_on().await;
    let took = began.elapsed();
    eprintln!("takeover of a hung indexer: {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    lives_on(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_takes_over_from_an_indexer_cut_off() {
    let (mut pair, pipe) = Pair::start(5_000, true).await;
    let pipe = pipe.unwrap();
    pair.goes_on().await;
    let began = Instant::now();
    pipe.fall_silent();
    pair.goes_on().await;
    let took = began.elapsed();
    eprintln!("takeover of an indexer that is cut off: {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    // By its own clock it stopped to write.
    eventually("the first one lost its lease", async || {
        pair.first
            .said()
            .contains("the lease of chain 31337 is lost")
            .then_some(())
    })
    .await;
    pipe.heal();
    lives_on(pair).await;
    drop(pipe);
}

/// The first one goes on and stands by, and takes over when the second one ends.
async fn lives_on(mut pair: Pair) {
    writes(&pair.second, &pair.world.server).await;
    pair.first.signal(Signal::SIGCONT);
    let both = ["chain 31337 is written by", "the price feed is written by"];
    eventually("the first one stands by", async || {
        let said = pair.first.said();
        both.iter().all(|line| said.contains(line)).then_some(())
    })
    .await;
    pair.goes_on().await;
    writes(&pair.second, &pair.world.server).await;
    std::mem::swap(&mut pair.first, &mut pair.second);
    pair.first.signal(Signal::SIGTERM);
    assert!(pair.first.ended().await.success());
    pair.goes_on().await;
    writes(&pair.second, &pair.world.server).await;
    pair.is_whole().await;
    pair.stop().await;
}
