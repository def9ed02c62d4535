//! The product: `chaincast serve` as built, with three sources for each token.

use std::{fs, process::Command, time::Duration};

use crate::{bench::Bench, child_process::ChildProcess, venues::CHAIN_ID, venues::Venues};

/// How long `/metrics` may take on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Product {
    child: ChildProcess,
    pub port: u16,
}

/// A response of `/metrics`.
pub struct Metrics(String);

/// The symbol of a token.
pub fn symbol(number: usize) -> String {
    format!("T{number}")
}

impl Product {
    /// Starts it on a new database and waits until it serves.
    pub fn start(bench: &Bench, database: &str, venues: &Venues, tokens: usize) -> Self {
        let path = bench.postgres.dir.join("chaincast.toml");
        fs::write(&path, settings(database, venues, tokens)).expect("the directory can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaincast"));
        command.args(["serve", "--config"]).arg(path);
        let (child, port) = ChildProcess::spawn(command, None, |line| {
            let url = line.strip_prefix("chaincast is ready on ")?;
            url.rsplit(':').next()?.parse().ok()
        });
        Self { child, port }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub fn metrics(&self, bench: &Bench) -> Metrics {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let read = async { reqwest::get(url).await?.text().await };
        let read = async { tokio::time::timeout(TIMEOUT, read).await };
        let read = bench.postgres.runtime.block_on(read);
        Metrics(read.expect("it answers in time").expect("it answers"))
    }
}

impl Metrics {
    /// The sum of all series of a name.
    pub fn sum(&self, name: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        values.sum()
    }
}

fn settings(database: &str, venues: &Venues, tokens: usize) -> String {
    let mut text = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\n[telemetry]\nlog = \"warn\"\n\
         [[chains]]\nchain_id = {CHAIN_ID}\nrpc_url = {:?}\n",
        venues.node_url
    );
    let [binance, coinbase, kraken] = &venues.urls;
    for number in 0..tokens {
        let token = symbol(number);
        text += &format!("[[prices.tokens]]\nsymbol = \"{token}\"\n");
        for (kind, between, url) in [
            ("binance", "", binance),
            ("coinbase", "-", coinbase),
            ("kraken", "/", kraken),
        ] {
            text += &format!(
                "[[prices.sources]]\nkind = \"{kind}\"\ntoken = \"{token}\"\nsymbol = \"{token}{between}USD\"\n\
                 quote = \"USD\"\nurl = \"{url}\"\nmax_age_ms = 60000\n"
            );
        }
    }
    text
}
