//! The command line: one file per subcommand.

mod backfill;
mod check;
mod config_args;
mod dev;
mod failure;
mod health;
mod migrate;
mod serve;
mod terminal;
mod token;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::{config_args::ConfigArgs, failure::Failure};

/// Index EVM chains and token prices into Postgres, and stream both live and without gaps
#[derive(Debug, Parser)]
#[command(name = "chaincast", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system locally: private Postgres, anvil, demo contracts and market, indexer, gateway, web page
    Dev(dev::DevArgs),
    /// Run the service (for production)
    Serve(serve::ServeArgs),
    /// Apply the database migrations
    Migrate(ConfigArgs),
    /// Index a range of past blocks, with a progress bar; resumable
    Backfill(backfill::BackfillArgs),
    /// Validate the configuration, test every connection in it, and read each price source once
    Check(ConfigArgs),
    /// Compare the database with the node block by block, check its internal consistency, and recover every sender
    ///
    /// Reads every block from the node again with the configured checks, recovers the sender of every transaction from
    /// its signature (the slowest part), and lists every difference. A block that the node returns incorrectly is
    /// listed, and the comparison continues. Read-only.
    Verify(verify::VerifyArgs),
    /// Check whether a running server is ready; exit code 0 if it is
    Health(health::HealthArgs),
    /// Create a JWT with the configured key
    Token(token::TokenArgs),
    /// Print updates of channels as they arrive
    Watch(watch::WatchArgs),
}

/// Runs the command of this process. Exit codes: 0 success, 1 failure, 2 usage or configuration error.
pub fn run() -> ExitCode {
    // clap itself prints usage errors and exits with 2.
    let cli = Cli::parse();
    chaincast_base::tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("chaincast: cannot start the async runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let result = runtime.block_on(async {
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
    // Do not wait for blocking threads that still read input.
    runtime.shutdown_background();
    match result {
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
