//! A gateway without a chain behind it: what it serves, the test commits.

use std::path::PathBuf;

use toml::Table;

use super::{
    Ledger, Server, Temporary, fresh_database,
    world::{SECRET, merge},
};

pub struct Bare {
    pub server: Server,
    pub ledger: Ledger,
    config: PathBuf,
    _dir: Temporary,
}

impl Bare {
    /// With more TOML than every gateway here has.
    pub async fn start(given: &str) -> Self {
        Self::begin(given, None).await
    }

    /// With a limit of open files.
    pub async fn with_files(files: usize, given: &str) -> Self {
        Self::begin(given, Some(files)).await
    }

    async fn begin(given: &str, files: Option<usize>) -> Self {
        let (database, dir) = (fresh_database().await, Temporary::new("bare"));
        let tokens = ["ETH", "BTC", "LINK"]
            .map(|token| format!("[[prices.tokens]]\nsymbol = \"{token}\"\nname = \"{token}\"\n"))
            .concat();
        let mut settings: Table = toml::from_str(&format!(
            "[server]\nport = 0\n[database]\nurl = {database:?}\n[bus]\npoll_interval_ms = 20\n\
             [gateway]\nping_timeout_ms = 60000\n[gateway.auth]\nsecret = {SECRET:?}\n\
             [[chains]]\nchain_id = 31337\nrpc_url = \"http://127.0.0.1:9\"\n{tokens}"
        ))
        .unwrap();
        merge(&mut settings, toml::from_str(given).unwrap());
        let config = dir.path().join("chaincast.toml");
        std::fs::write(&config, settings.to_string()).unwrap();
        let ledger = Ledger::open(&database).await;
        Self {
            server: gateway(&config, files).await,
            ledger,
            config,
            _dir: dir,
        }
    }

    /// Another process with the same configuration, on a port of its own.
    pub async fn another(&self) -> Server {
        gateway(&self.config, None).await
    }

    pub fn config(&self) -> &str {
        self.config.to_str().unwrap()
    }
}

async fn gateway(config: &std::path::Path, files: Option<usize>) -> Server {
    let config = config.to_str().unwrap();
    let arguments = ["serve", "--role", "gateway", "--config", config];
    match files {
        Some(files) => Server::start_with_files(files, &arguments).await,
        None => Server::start(&arguments).await,
    }
}
