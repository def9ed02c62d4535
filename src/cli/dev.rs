//! `chaincast dev`: the whole system on one machine, without prior setup.

mod args;
mod banner;
mod environment;
mod settings;

use std::{io::Write, path::Path};

pub(super) use self::args::DevArgs;
use super::{Failure, terminal};
use crate::{
    app::{App, Role},
    config::{Config, Sources},
};
use chaincast_base::telemetry;
use chaincast_http::server;
use chaincast_store::Store;
use environment::Environment;

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
