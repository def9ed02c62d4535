//! Everything one test needs: a database, a chain with the demo contracts, and a chaincast between them.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use alloy::primitives::U256;
use chaincast_base::Secret;
use chaincast_dev::{
    Anvil, AnvilOptions, ChainControl, Deployment, Market, Node, deploy_or_load, price_settings,
};
use chaincast_gateway::{
    AuthConfig,
    auth::{self, TokenRequest},
};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use toml::Table;

use super::{Server, TempDir, WsClient, eventually, fresh_database, reusable_port};

/// Signs the JWTs of the tests.
pub(super) const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";

/// A JWT as `chaincast token` mints it.
pub fn mint(sub: &str, role: Option<&str>, channels: Option<&[&str]>, ttl: Duration) -> String {
    let request = TokenRequest {
        sub: sub.to_owned(),
        role: role.map(str::to_owned),
        channels: channels
            .map(|patterns| patterns.iter().map(|&pattern| pattern.to_owned()).collect()),
        publish: None,
        ttl,
    };
    mint_token(&request)
}

/// As [`mint`], with any claims.
pub fn mint_token(request: &TokenRequest) -> String {
    let config = AuthConfig {
        secret: Secret::new(SECRET),
        ..AuthConfig::default()
    };
    auth::mint(&config, request).unwrap()
}

pub struct World {
    pub server: Server,
    pub market: Market,
    pub control: ChainControl,
    pub deployment: Deployment,
    pub anvil: Anvil,
    pub database: String,
    pub config: std::path::PathBuf,
    pub dir: TempDir,
}

/// Options of a world that is not started yet.
struct WorldBuilder {
    settings: String,
    /// The database to use; by default a new one on the tests' server.
    database: Option<String>,
    /// Whether the chain is saved in `anvil.json` of the directory, on a port that stays reserved while it is stopped.
    keeps_chain: bool,
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// Starts with additional TOML, such as `[gateway]\nping_interval_ms = 200`.
    pub async fn with(settings: &str) -> Self {
        WorldBuilder {
            settings: settings.to_owned(),
            database: None,
            keeps_chain: false,
        }
        .start()
        .await
    }

    /// Starts in an empty database of the test.
    pub async fn on(database: &str) -> Self {
        WorldBuilder {
            settings: String::new(),
            database: Some(database.to_owned()),
            keeps_chain: false,
        }
        .start()
        .await
    }

    /// Starts with a node that can be stopped, and restarted with [`Self::persistent_anvil`].
    pub async fn with_persistent_chain(settings: &str) -> Self {
        WorldBuilder {
            settings: settings.to_owned(),
            database: None,
            keeps_chain: true,
        }
        .start()
        .await
    }

    /// The options of such a node.
    pub fn persistent_anvil(dir: &TempDir, port: u16) -> AnvilOptions {
        AnvilOptions {
            port,
            state_file: Some(dir.path().join("anvil.json")),
            ..chain()
        }
    }

    /// Stops chaincast with SIGTERM and restarts it on the same port.
    pub async fn restart(self) -> Self {
        self.restart_after_mining(0).await
    }

    /// As [`Self::restart`], with this many blocks mined while it is stopped.
    pub async fn restart_after_mining(self, blocks: u64) -> Self {
        let Self { server, config, .. } = self;
        let port = server.port();
        server.stop().await;
        if blocks > 0 {
            self.control.mine(blocks).await.unwrap();
        }
        let server = serve_on(&config, port).await;
        Self {
            server,
            config,
            ..self
        }
    }

    /// Kills chaincast and restarts it on the same port.
    pub async fn crash_and_restart(self) -> Self {
        let Self { server, config, .. } = self;
        let port = server.port();
        server.crash().await;
        let server = serve_on(&config, port).await;
        Self {
            server,
            config,
            ..self
        }
    }

    pub fn node(&self) -> &Node {
        self.market.node()
    }

    pub async fn ws(&self) -> WsClient {
        WsClient::connect(&self.server.realtime()).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = reqwest::get(self.url(path)).await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path} answered {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.database).await.unwrap()
    }

    /// Waits until the index has the node's head.
    pub async fn caught_up(&self) -> (u64, String) {
        eventually("the index reaches the node's head", || async {
            let (number, hash) = self.control.head().await.ok()?;
            let status = reqwest::get(self.url("/api/v1/status"))
                .await
                .ok()?
                .text()
                .await
                .ok()?;
            let status: Value = serde_json::from_str(&status).ok()?;
            let head = &status["chains"][0]["head"];
            let hash = format!("{hash:#x}");
            (head["number"] == number && head["hash"] == hash.as_str()).then_some((number, hash))
        })
        .await
    }

    /// Waits until every token has a price from all its sources: later prices are new.
    async fn wait_until_priced(&self) {
        eventually("every token is priced", || async {
            let prices = reqwest::get(self.url("/api/v1/prices"))
                .await
                .ok()?
                .text()
                .await
                .ok()?;
            let prices: Value = serde_json::from_str(&prices).ok()?;
            let sources = prices["data"]
                .as_array()?
                .iter()
                .map(|price| price["sources"].as_array().map_or(0, Vec::len));
            let deployed = self.deployment.feeds.len() + self.deployment.pairs.len();
            (sources.sum::<usize>() == deployed).then_some(())
        })
        .await
    }

    /// Sets a token's feed, in whole dollars with 8 decimals, in its own block.
    pub async fn set_feed(&self, token: &str, dollars: i64) {
        let sent = self
            .market
            .set_feed(token, dollars * 100_000_000)
            .await
            .unwrap();
        self.node().mined(&[sent]).await.unwrap();
    }

    pub async fn transfer(&self, token: &str, amount: u64) {
        let holders = self.market.holders();
        let amount = U256::from(amount);
        let sent = self
            .market
            .transfer(token, holders[0], holders[1], amount)
            .await
            .unwrap();
        self.node().mined(&[sent]).await.unwrap();
    }
}

async fn serve_on(config: &std::path::Path, port: u16) -> Server {
    let port = port.to_string();
    Server::start(&[
        "serve",
        "--config",
        config.to_str().unwrap(),
        "--port",
        &port,
    ])
    .await
}

impl WorldBuilder {
    async fn start(self) -> World {
        let dir = TempDir::new("world");
        // Without a state file: a killed node would still write it when the directory is removed.
        let options = match self.keeps_chain {
            true => World::persistent_anvil(&dir, reusable_port()),
            false => chain(),
        };
        let database = async {
            match self.database {
                Some(database) => database,
                None => fresh_database().await,
            }
        };
        let (database, anvil) = tokio::join!(database, Anvil::start(&options));
        let anvil = anvil.unwrap();
        let deployment = deploy_or_load(&anvil.http_url(), dir.path()).await.unwrap();
        let market = Market::new(&anvil.http_url(), &deployment, Some(1))
            .await
            .unwrap();
        let config = dir.path().join("chaincast.toml");
        std::fs::write(
            &config,
            settings(&self.settings, &database, &anvil, &deployment),
        )
        .unwrap();
        let server = Server::serve(&config).await;
        let control = ChainControl::new(market.node().clone());
        let world = World {
            server,
            market,
            control,
            deployment,
            anvil,
            database,
            config,
            dir,
        };
        world.caught_up().await;
        world.wait_until_priced().await;
        world
    }
}

fn chain() -> AnvilOptions {
    AnvilOptions {
        slots_in_an_epoch: 1_000,
        ..AnvilOptions::default()
    }
}

/// The given settings, merged over the defaults of every world.
fn settings(given: &str, database: &str, anvil: &Anvil, deployment: &Deployment) -> String {
    let mut settings: Table = toml::from_str(given).unwrap();
    let mut base: Table = toml::from_str(&format!(
        // Pings and handshakes have long time limits, for tests that are not about them.
        "[server]\nhost = \"{}\"\nport = 0\n[database]\nurl = {database:?}\n\
         [gateway]\nping_timeout_ms = 60000\n[gateway.limits]\nconnections = 500\nhandshake_timeout_ms = 60000\n\
         [gateway.auth]\nsecret = {SECRET:?}\n\
         [[chains]]\nchain_id = 31337\nrpc_url = {:?}\nws_url = {:?}\npoll_interval_ms = 200\n",
        own_host(),
        anvil.http_url(),
        anvil.ws_url(),
    ))
    .unwrap();
    let mut prices = price_settings(deployment);
    // Tests set prices freely; tests of price checks enable those.
    prices.insert("max_jump_bps".into(), 0.into());
    prices.insert("max_confidence_bps".into(), 0.into());
    base.insert("prices".into(), prices.into());
    // `[chain]` is merged into the entry of the one chain.
    if let Some(toml::Value::Table(chain)) = settings.remove("chain")
        && let Some(toml::Value::Array(chains)) = base.get_mut("chains")
        && let Some(toml::Value::Table(first)) = chains.first_mut()
    {
        merge(first, chain);
    }
    merge(&mut base, std::mem::take(&mut settings));
    base.to_string()
}

/// A loopback address that no other world uses, so that no other process takes the port while its chaincast restarts.
fn own_host() -> Ipv4Addr {
    static WORLDS: AtomicU16 = AtomicU16::new(0);
    let [high, low] = WORLDS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    match cfg!(target_os = "linux") {
        true => Ipv4Addr::new(127, 1, high, low),
        false => Ipv4Addr::LOCALHOST,
    }
}

pub(super) fn merge(base: &mut Table, overrides: Table) {
    for (key, value) in overrides {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(overrides)) => {
                merge(base, overrides)
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
