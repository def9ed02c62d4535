//! The arguments of `chaincast dev`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct DevArgs {
    /// Port of the HTTP server; 0 picks a free one
    #[arg(long, default_value_t = 3000, env = "PORT")]
    pub(super) port: u16,
    /// Address to listen on; 0.0.0.0 for all interfaces, for example in a container
    #[arg(long, default_value = "127.0.0.1")]
    pub(super) host: String,
    /// Directory for the database, the chain and the keys
    #[arg(long, default_value = ".chaincast", value_name = "DIR")]
    pub(super) data_dir: PathBuf,
    /// Seconds between anvil's blocks
    #[arg(long, default_value = "2", value_parser = block_time, value_name = "SECONDS")]
    pub(super) block_time: Duration,
    /// Port of the embedded anvil; 0 picks a free one
    #[arg(long, default_value_t = 8545)]
    pub(super) anvil_port: u16,
    /// Index this node instead of an embedded anvil. If it is another anvil, the demo contracts are deployed and traded
    /// there too; see --no-demo
    #[arg(long, value_name = "URL")]
    pub(super) rpc_url: Option<String>,
    /// Use this database instead of the private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// Seed of the demo market; the same seed repeats the same price moves
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Deploy no demo contracts and run no demo market: index blocks only
    #[arg(long)]
    pub(super) no_demo: bool,
    /// Drop the index and index the current chain from the start. The banner shows the directory of the database; to
    /// delete the database itself, stop chaincast and remove that directory and the data directory
    #[arg(long)]
    pub(super) reset: bool,
}

fn block_time(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is not a number of seconds"))?;
    if !(0.1..=3600.0).contains(&seconds) {
        return Err("must be 0.1 to 3600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}
