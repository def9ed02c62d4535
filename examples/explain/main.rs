//! Measures the schema on a private PostgreSQL: how fast it loads, how large it gets, and how each query of readers
//! is answered. Fails when one reads a whole table.
//!
//! ```text
//! cargo run --release --example explain -- [--blocks 50000] [--data DIR] [--write docs/schema.md]
//! ```
//! A block has 100 transactions, 200 logs and 100 transfers. `--write` puts the results between the markers
//! `<!-- growth -->` and `<!-- explain -->` of the document and their ends.

mod blocks;
mod load;
#[allow(dead_code, reason = "a test explains a single statement")]
mod plans;
mod queries;
mod report;

use std::path::PathBuf;

use blocks::Shape;
use chaincast::{
    dev::PrivatePostgres,
    model::Secret,
    store::{Store, StoreConfig},
};
use clap::Parser;
use load::Failure;
use queries::Known;

#[derive(Parser)]
struct Arguments {
    /// Blocks to load.
    #[arg(long, default_value_t = 50_000)]
    blocks: u64,
    /// Keeps the database in this directory; what is loaded there already is not loaded again.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Loads into indexes that are there, instead of building them after it.
    #[arg(long)]
    keep_indexes: bool,
    /// The document that gets the results.
    #[arg(long)]
    write: Option<PathBuf>,
}

/// Items of the longest page that is served.
const MOST: u32 = 1_000;

const SHAPE: Shape = Shape {
    transactions: 100,
    logs: 200,
    transfers: 100,
};

// One thread, as plans are heard on the thread that asks; encoding has threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let temporary = std::env::temp_dir().join(format!("chaincast-explain-{}", std::process::id()));
    let directory = arguments.data.clone().unwrap_or(temporary);
    std::fs::create_dir_all(&directory)?;
    let postgres = PrivatePostgres::start(&directory).await?;
    let measured = measure(postgres.url(), &arguments).await;
    postgres.stop().await?;
    if arguments.data.is_none() {
        std::fs::remove_dir_all(&directory)?;
    }
    measured
}

async fn measure(url: &str, arguments: &Arguments) -> Result<(), Failure> {
    let config = StoreConfig {
        url: Secret::new(url),
        statement_timeout_ms: 600_000,
        ..StoreConfig::default()
    };
    let store = Store::connect(&config).await?;
    let mut growth = None;
    if store.read_chains(&[blocks::CHAIN]).await?.is_empty() {
        let defer = if arguments.keep_indexes { 0 } else { 1 };
        let took = load::blocks(&store, arguments.blocks, SHAPE, defer).await?;
        load::the_rest(&store, 1_000_000.min(arguments.blocks * 20)).await?;
        let told = report::growth(&store).await?;
        println!("{told}\n{}", report::loaded(arguments.blocks, &took));
        growth = Some(told);
    }
    store.close().await;

    plans::tell_plans(url).await?;
    let store = Store::connect(&config).await?;
    let plans = plans::explain(&store, &Known::of(arguments.blocks, MOST)).await?;
    let explained = report::plans(&plans);
    println!("{explained}");
    store.close().await;
    if let Some(document) = &arguments.write {
        if let Some(growth) = &growth {
            report::write(document, "growth", growth)?;
        }
        report::write(document, "explain", &explained)?;
    }
    let faults = report::faults(&plans);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n").into())
    }
}
