//! Measures the schema on a private PostgreSQL: load speed, size, and the plan of each read query. Fails if a query
//! reads a whole table.
//!
//! A block has 100 transactions, 200 logs and 100 transfers. `--write` replaces the text between the `<!-- growth -->`
//! and `<!-- explain -->` markers of the document and their end markers.

mod blocks;
mod known;
mod load;
#[allow(dead_code, reason = "a test explains a single statement")]
mod plans;
mod report;

use std::path::PathBuf;

use blocks::Shape;
use chaincast_base::Secret;
use chaincast_dev::PrivatePostgres;
use chaincast_store::{Store, StoreConfig};
use clap::Parser;
use known::known;
use load::Failure;

#[derive(Parser)]
struct Arguments {
    /// Blocks to load
    #[arg(long, default_value_t = 50_000)]
    blocks: u64,
    /// Keep the database in this directory; blocks that are already loaded there are not loaded again
    #[arg(long)]
    data: Option<PathBuf>,
    /// Load with existing indexes, instead of building them after the load
    #[arg(long)]
    keep_indexes: bool,
    /// Document to write the results to
    #[arg(long)]
    write: Option<PathBuf>,
}

/// Items of the longest page.
const MAX_ITEMS: u32 = 1_000;

const SHAPE: Shape = Shape {
    transactions: 100,
    logs: 200,
    transfers: 100,
};

// One thread, because plans arrive on the thread of the query; encoding has its own threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let temporary = std::env::temp_dir().join(format!("chaincast-explain-{}", std::process::id()));
    let directory = arguments.data.clone().unwrap_or(temporary);
    std::fs::create_dir_all(&directory)?;
    let postgres = PrivatePostgres::start(&directory).await?;
    let result = measure(postgres.url(), &arguments).await;
    postgres.stop().await?;
    if arguments.data.is_none() {
        std::fs::remove_dir_all(&directory)?;
    }
    result
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
        let timings = load::blocks(&store, arguments.blocks, SHAPE, defer).await?;
        load::other_tables(&store, 1_000_000.min(arguments.blocks * 20)).await?;
        let table = report::growth(&store).await?;
        println!("{table}\n{}", report::loaded(arguments.blocks, &timings));
        growth = Some(table);
    }
    store.close().await;

    plans::enable_auto_explain(url).await?;
    let store = Store::connect(&config).await?;
    let plans = plans::explain(&store, &known(arguments.blocks, MAX_ITEMS)).await?;
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
