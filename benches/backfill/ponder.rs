//! Ponder, indexing the transfers of the synthetic node: see `benches/peers/ponder`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    bench::Bench,
    catalog::Database,
    child_process::ChildProcess,
    node::{NodeProcess, TRANSACTIONS},
    usage::peak_memory,
};

/// Blocks below the node's head that Ponder leaves to its live mode, with a margin: they are not measured.
const LIVE: u64 = 100;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(240);

pub struct PonderLoad {
    pub transfers_a_second: f64,
    pub peak_mb: f64,
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/ponder")
}

pub fn is_installed() -> bool {
    dir().join("node_modules/.setup-stamp").exists()
}

pub fn name() -> String {
    let package = dir().join("node_modules/ponder/package.json");
    let text = fs::read_to_string(package).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    format!("Ponder {}", json["version"].as_str().unwrap_or("unknown"))
}

/// Indexes the blocks of the node except the last ones. Timed from the start of Ponder's historical sync, so without
/// its startup, until the last transfer is committed.
pub fn load(bench: &Bench, node: &NodeProcess, blocks: u64) -> PonderLoad {
    let last = blocks - LIVE;
    let mut database = Database::new(&bench.postgres);
    let mut command = Command::new("node");
    command
        .current_dir(dir())
        .args(["node_modules/ponder/dist/esm/bin/ponder.js", "start"])
        .args(["--schema", "bench", "--port", "0", "--log-format", "json"])
        .env("RPC_URL", &node.http_url)
        .env("DATABASE_URL", &database.url)
        .env("BLOCKS", last.to_string())
        .env("PONDER_TELEMETRY_DISABLED", "true");
    let (child, ()) = ChildProcess::spawn(command, None, |line| {
        line.contains("historical sync with").then_some(())
    });
    let start = Instant::now();
    let expected = (last * TRANSACTIONS as u64) as i64;
    let mut peak = 0;
    while database.number("SELECT count(*) FROM bench.transfers") < expected {
        peak = peak_memory(child.pid()).expect("Ponder runs").max(peak);
        assert!(
            start.elapsed() < TIMEOUT,
            "Ponder did not index {last} blocks in {TIMEOUT:?}"
        );
        thread::sleep(SAMPLE_INTERVAL);
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(child);
    database.remove();
    PonderLoad {
        transfers_a_second: expected as f64 / seconds,
        peak_mb: peak as f64 / 1e6,
    }
}
