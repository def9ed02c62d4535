//! `chaincast serve`: the service in production.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Failure, terminal};
use crate::{
    app::{App, Role},
    config::{Config, Sources},
};
use chaincast_base::telemetry;
use chaincast_http::server;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Configuration file (TOML); config/default.toml documents every key
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Part of the service that this process runs
    #[arg(long, value_enum, default_value_t = RoleArg::All)]
    role: RoleArg,
    /// Port to listen on; overrides server.port
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    All,
    Indexer,
    Gateway,
}

pub(super) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let sources = Sources::from_process(Some(&args.config));
    let mut config = Config::load(&sources)?;
    if let Some(port) = args.port {
        config.server.port = port;
    }
    telemetry::init_logs(&config.telemetry).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(overrides) = sources.overrides_text() {
        tracing::info!("environment variables override the configuration file: {overrides}");
    }
    let role = match args.role {
        RoleArg::All => Role::All,
        RoleArg::Indexer => Role::Indexer,
        RoleArg::Gateway => Role::Gateway,
    };
    let metrics = telemetry::init_metrics().map_err(Failure::failed)?;
    let mut stop = Box::pin(terminal::stop_signal().map_err(Failure::failed)?);
    let listener = server::bind(&config.server)
        .await
        .map_err(Failure::failed)?;
    // An unreachable database or node may delay the start: a signal cancels it.
    let app = tokio::select! {
        () = &mut stop => return Ok(()),
        app = App::start(config, role, listener, metrics) => app.map_err(Failure::failed)?,
    };
    println!("chaincast is ready on {}", app.url());
    app.run_until(stop).await.map_err(Failure::failed)
}
