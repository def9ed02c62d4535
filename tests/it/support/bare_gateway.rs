//! A gateway without a chain: it serves what the test commits.

use std::path::PathBuf;

use toml::Table;

use super::{
    Server, TempDir, TestWriter, fresh_database,
    world::{SECRET, merge},
};

pub struct BareGateway {
    pub server: Server,
    pub writer: TestWriter,
    config: PathBuf,
    _dir: TempDir,
}

impl BareGateway {
    /// Starts it with additional TOML.
    pub async fn start(more: &str) -> Self {
        Self::start_process(more, None).await
    }

    /// Starts it with a limit of open files.
    pub async fn with_files(files: usize, more: &str) -> Self {
        Self::start_process(more, Some(files)).await
    }

    async fn start_process(more: &str, files: Option<usize>) -> Self {
        let (database, dir) = (fresh_database().await, TempDir::new("bare"));
        let tokens = ["ETH", "BTC", "LINK"]
            .map(|token| format!("[[prices.tokens]]\nsymbol = \"{token}\"\nname = \"{token}\"\n"))
            .concat();
        let mut settings: Table = toml::from_str(&format!(
            "[server]\nport = 0\n[database]\nurl = {database:?}\n[bus]\npoll_interval_ms = 20\n\
             [gateway]\nping_timeout_ms = 60000\n[gateway.auth]\nsecret = {SECRET:?}\n\
             [[chains]]\nchain_id = 31337\nrpc_url = \"http://127.0.0.1:9\"\n{tokens}"
        ))
        .unwrap();
        merge(&mut settings, toml::from_str(more).unwrap());
        let config = dir.path().join("chaincast.toml");
        std::fs::write(&config, settings.to_string()).unwrap();
        let writer = TestWriter::open(&database).await;
        Self {
            server: gateway(&config, files).await,
            writer,
            config,
            _dir: dir,
        }
    }

    /// Starts another process with the same configuration, on its own port.
    pub async fn start_another(&self) -> Server {
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
