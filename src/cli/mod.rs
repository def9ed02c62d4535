//! The command line, a file a subcommand.

mod backfill;
mod check;
mod dev;
mod health;
mod migrate;
mod serve;
mod terminal;
mod token;
mod verify;
mod watch;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Sources};

/// Index an EVM chain and token prices into Postgres; stream both, live and without gaps.
#[derive(Debug, Parser)]
#[command(name = "chaincast", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: private Postgres, anvil, demo contracts and market, indexer, gateway, page
    Dev(dev::DevArgs),
    /// Run in production
    Serve(serve::ServeArgs),
    /// Apply the database's migrations
    Migrate(ConfigArgs),
    /// Index a range of history, with a progress bar; resumable
    Backfill(backfill::BackfillArgs),
    /// Validate the configuration and every connection it names; tries each price source once
    Check(ConfigArgs),
    /// Compare the database with the node, block by block, and with itself; recovers every sender from its signature
    ///
    /// Reads every block from the node again with the configured checks, recovers the sender of every transaction
    /// from its signature, which takes most of the time, and lists every difference. A block that the node gives
    /// wrongly is listed, and the next ones are compared. Changes nothing.
    Verify(verify::VerifyArgs),
    /// Ask a running server whether it is ready; exit code 0 when it is
    Health(health::HealthArgs),
    /// Mint a JWT with the configured key
    Token(token::TokenArgs),
    /// Watch channels live
    Watch(watch::WatchArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// TOML file; config/default.toml documents every key
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&Sources::from_process(Some(&self.config)))
    }
}

/// How a command ended when it did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// Exit code 1.
    Failed(String),
    /// Exit code 2: the command line or the configuration is wrong.
    Usage(String),
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs the command that the process was started with: 0 done, 1 failed, 2 usage or configuration.
pub fn run() -> ExitCode {
    // clap itself prints usage errors and exits with 2.
    let cli = Cli::parse();
    crate::tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("chaincast: cannot start its threads: {error}");
            return ExitCode::from(1);
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Migrate(args) => migrate::run(args).await,
            Command::Backfill(args) => backfill::run(args).await,
            Command::Check(args) => check::run(args).await,
            Command::Verify(args) => verify::run(args).await,
            Command::Health(args) => health::run(args).await,
            Command::Token(args) => token::run(args),
            Command::Watch(args) => watch::run(args).await,
        }
    });
    // Blocking threads that wait for input must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("chaincast: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("chaincast: {message}");
            ExitCode::from(2)
        }
    }
}
