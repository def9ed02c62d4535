//! `chaincast dev`: the whole system on one machine, from nothing.

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
    server,
    store::Store,
    telemetry,
};
use environment::Environment;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Port of everything that is served; 0 for a free one
    #[arg(long, default_value_t = 3000, env = "PORT")]
    port: u16,
    /// Address to listen on; 0.0.0.0 for every interface, as in a container
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Where the database, the chain and the keys are kept
    #[arg(long, default_value = ".chaincast", value_name = "DIR")]
    data_dir: PathBuf,
    /// Seconds between anvil's blocks
    #[arg(long, default_value = "2", value_parser = block_time, value_name = "SECONDS")]
    block_time: Duration,
    /// Port of the embedded anvil; 0 for a free one
    #[arg(long, default_value_t = 8545)]
    anvil_port: u16,
    /// Index this node instead of an embedded anvil. On another anvil the demo contracts are deployed and traded on
    /// too, see --no-demo
    #[arg(long, value_name = "URL")]
    rpc_url: Option<String>,
    /// Use this database instead of a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Makes the demo market's moves repeatable
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Deploy no demo contracts and run no market: blocks only
    #[arg(long)]
    no_demo: bool,
    /// Drop what is indexed and start over with the chain that is there. The banner names the folder of the database: to
    /// remove that as well, stop, and delete it with the data dir
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
    // A second signal while starting or draining is ignored: children must be stopped in order.
    let mut stop = Box::pin(terminal::stop_signal().map_err(Failure::failed)?);
    let telemetry_defaults = telemetry::TelemetryConfig::default();
    telemetry::init_logs(&telemetry_defaults).map_err(|error| Failure::Usage(error.to_string()))?;
    let metrics = telemetry::init_metrics().map_err(Failure::failed)?;
    // Bound first: a taken port is told before anything else is started.
    let wanted = server::ServerConfig {
        host: args.host.clone(),
        port: args.port,
        ..server::ServerConfig::default()
    };
    let listener = server::bind(&wanted).await.map_err(Failure::failed)?;

    let started = tokio::select! {
        () = &mut stop => return Ok(()),
        started = Environment::start(&args) => started,
    };
    let mut environment = started.map_err(Failure::failed)?;
    let (data_dir, elsewhere) = (
        environment.data_dir.clone(),
        environment.database_elsewhere().map(Path::to_owned),
    );
    let mut served = false;
    let ended = async {
        let file = settings::write(&args, &environment)
            .await
            .map_err(Failure::failed)?;
        let config = Config::load(&Sources::for_dev(&file))?;
        if args.reset {
            Store::reset(&config.database)
                .await
                .map_err(Failure::failed)?;
            match &elsewhere {
                Some(home) => tracing::info!(database = %home.display(), "the index was dropped; the emptied database stays"),
                None => tracing::info!("the index was dropped"),
            }
        }
        let app = tokio::select! {
            () = &mut stop => return Ok(()),
            app = App::start(config, Role::All, listener, metrics) => app.map_err(Failure::failed)?,
        };
        served = true;
        println!("chaincast is ready on {}", app.url());
        banner::print(&app, &environment, &file);
        environment.open_market(args.seed, args.block_time);
        let mut failure = None;
        app.run_until(async {
            tokio::select! {
                () = &mut stop => {}
                error = environment.failed() => failure = Some(error),
            }
        })
        .await
        .map_err(Failure::failed)?;
        failure.map_or(Ok(()), |error| Err(Failure::Failed(error)))
    }
    .await;
    // Whatever happened, nothing is left running.
    if ended.is_err() && !served {
        if let Err(error) = environment.abandon().await {
            tracing::warn!(%error, "a part could not be stopped");
        }
        return ended;
    }
    let stopped = environment.stop().await.map_err(Failure::failed);
    // The terminal may be gone.
    let kept = banner::kept(&data_dir, elsewhere.as_deref());
    writeln!(std::io::stdout(), "{kept}").ok();
    ended.and(stopped)
}
