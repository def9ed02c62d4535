//! `chaincast dev`: the whole system on one machine, without prior setup.

mod banner;
mod environment;
mod settings;

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{Failure, terminal};
use crate::{
    app::{App, Role},
    config::{Config, Sources},
};
use chaincast_base::telemetry;
use chaincast_http::server;
use chaincast_store::Store;
use environment::Environment;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Port of the HTTP server; 0 picks a free one
    #[arg(long, default_value_t = 3000, env = "PORT")]
    port: u16,
    /// Address to listen on; 0.0.0.0 for all interfaces, for example in a container
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Directory for the database, the chain and the keys
    #[arg(long, default_value = ".chaincast", value_name = "DIR")]
    data_dir: PathBuf,
    /// Seconds between anvil's blocks
    #[arg(long, default_value = "2", value_parser = block_time, value_name = "SECONDS")]
    block_time: Duration,
    /// Port of the embedded anvil; 0 picks a free one
    #[arg(long, default_value_t = 8545)]
    anvil_port: u16,
    /// Index this node instead of an embedded anvil. If it is another anvil, the demo contracts are deployed and traded
    /// there too; see --no-demo
    #[arg(long, value_name = "URL")]
    rpc_url: Option<String>,
    /// Use this database instead of the private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Seed of the demo market; the same seed repeats the same price moves
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Deploy no demo contracts and run no demo market: index blocks only
    #[arg(long)]
    no_demo: bool,
    /// Drop the index and index the current chain from the start. The banner shows the directory of the database; to
    /// delete the database itself, stop chaincast and remove that directory and the data directory
    #[arg(long)]
    reset: bool,
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

pub(super) async fn run(args: DevArgs) -> Result<(), Failure> {
    // Further signals while starting or draining are ignored: children must be stopped in order.
    let mut stop = Box::pin(terminal::stop_signal().map_err(Failure::failed)?);
    let telemetry_defaults = telemetry::TelemetryConfig::default();
    telemetry::init_logs(&telemetry_defaults).map_err(|error| Failure::Usage(error.to_string()))?;
    let metrics = telemetry::init_metrics().map_err(Failure::failed)?;
    // Bind first: a port in use is reported before anything else starts.
    let server_config = server::ServerConfig {
        host: args.host.clone(),
        port: args.port,
        ..server::ServerConfig::default()
    };
    let listener = server::bind(&server_config)
        .await
        .map_err(Failure::failed)?;

    let started = tokio::select! {
        () = &mut stop => return Ok(()),
        started = Environment::start(&args) => started,
    };
    let mut environment = started.map_err(Failure::failed)?;
    let (data_dir, elsewhere) = (
        environment.data_dir.clone(),
        environment.database_elsewhere().map(Path::to_owned),
    );
    let mut ready = false;
    let result = async {
        let file = settings::write(&args, &environment)
            .await
            .map_err(Failure::failed)?;
        let config = Config::load(&Sources::for_dev(&file))?;
        if args.reset {
            Store::reset(&config.database)
                .await
                .map_err(Failure::failed)?;
            match &elsewhere {
                Some(home) => tracing::info!(database = %home.display(), "index dropped; the empty database is kept"),
                None => tracing::info!("index dropped"),
            }
        }
        let app = tokio::select! {
            () = &mut stop => return Ok(()),
            app = App::start(config, Role::All, listener, metrics) => app.map_err(Failure::failed)?,
        };
        ready = true;
        println!("chaincast is ready on {}", app.url());
        banner::print(&app, &environment, &file);
        environment.open_market(args.seed, args.block_time);
        let mut failure = None;
        app.run_until(async {
            tokio::select! {
                () = &mut stop => {}
                error = environment.failure() => failure = Some(error),
            }
        })
        .await
        .map_err(Failure::failed)?;
        failure.map_or(Ok(()), |error| Err(Failure::Failed(error)))
    }
    .await;
    // Stop everything in every case.
    if result.is_err() && !ready {
        if let Err(error) = environment.abandon().await {
            tracing::warn!(%error, "cannot stop a component");
        }
        return result;
    }
    let stopped = environment.stop().await.map_err(Failure::failed);
    // The terminal may be closed.
    let kept = banner::kept(&data_dir, elsewhere.as_deref());
    writeln!(std::io::stdout(), "{kept}").ok();
    result.and(stopped)
}
