//! The product: `chaincast` as built, indexing the synthetic chain into a new database.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    bench::Bench,
    catalog::{Database, TABLES},
    node::{CHAIN_ID, NodeProcess},
    usage::{Usage, cpu_seconds, peak_memory, postgres_seconds},
};

/// How often a load is observed.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// The constraints and indexes are read once in this many observations.
const NAMES_EVERY: usize = 50;
/// A load that takes longer is considered hung.
const TIMEOUT: Duration = Duration::from_secs(900);

/// A load of more blocks counts as large, so its secondary indexes are built after it, as those of a real history are.
const LARGE: u64 = 200;

/// Exit code for an invalid configuration or an unknown subcommand.
const USAGE: i32 = 2;

/// The command that loads the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadMode {
    /// `chaincast backfill --from 0 --to N`
    Backfill,
    /// `chaincast serve --role indexer` until it has caught up.
    Serve,
}

#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub mode: LoadMode,
    pub proof: bool,
    /// Lines for `[[chains]]`.
    pub more: &'static str,
}

/// The measurements of a load.
pub struct Load<'a> {
    pub database: Database<'a>,
    /// Rows of each of [`TABLES`].
    pub rows: [i64; 4],
    /// From the start of the process until the last block was committed.
    pub seconds: f64,
    /// From then until it ended: building indexes.
    pub after: f64,
    pub usage: Usage,
    /// Peak resident memory of the process, in bytes.
    pub peak: u64,
    /// Share of the load in which PostgreSQL worked rather than waited for chaincast.
    pub postgres_busy: f64,
    /// Constraints and indexes that existed during the load.
    pub kept: BTreeSet<String>,
}

impl Load<'_> {
    pub fn all_rows(&self) -> f64 {
        self.rows.iter().sum::<i64>() as f64
    }
}

/// A new, migrated database.
pub fn migrated<'a>(bench: &'a Bench) -> (Database<'a>, PathBuf) {
    let database = Database::new(&bench.postgres);
    let config = write_config(bench, &database.url, "http://127.0.0.1:1", "", true);
    let mut migrate = chaincast(&["migrate"], &config);
    let status = migrate
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status();
    assert!(
        status.expect("chaincast was built").success(),
        "migrate failed"
    );
    (database, config)
}

/// Loads blocks 0 to `blocks`; the error explains why this product cannot.
pub fn load<'a>(
    bench: &'a Bench,
    node: &NodeProcess,
    blocks: u64,
    setting: Setting,
) -> Result<Load<'a>, String> {
    let (mut database, _) = migrated(bench);
    let config = write_config(
        bench,
        &database.url,
        &node.http_url,
        setting.more,
        setting.proof,
    );
    database.execute("CHECKPOINT");
    let postmaster = database.postmaster();
    let before = (
        crate::process::cpu_seconds(node.pid()),
        postgres_seconds(postmaster),
    );
    let to = blocks.to_string();
    let mut command = match setting.mode {
        LoadMode::Backfill => chaincast(&["backfill", "--from", "0", "--to", &to], &config),
        LoadMode::Serve => chaincast(&["serve", "--role", "indexer"], &config),
    };
    let log_path = bench.postgres.dir.join("chaincast.log");
    let log = fs::File::create(&log_path).expect("the directory can be written");
    command.stdout(Stdio::null()).stderr(log);
    let start = Instant::now();
    let mut child = command.spawn().expect("chaincast was built");
    let mut observer = LoadObserver::new(blocks);
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            break Some(status);
        }
        observer.observe(child.id(), &mut database, start, postmaster);
        if observer.reached.is_some() && setting.mode == LoadMode::Serve {
            stop(&mut child);
            break None;
        }
        assert!(
            start.elapsed() < TIMEOUT,
            "chaincast did not load {blocks} blocks in {TIMEOUT:?}"
        );
        thread::sleep(SAMPLE_INTERVAL);
    };
    let total = start.elapsed().as_secs_f64();
    if let Some(status) = status.filter(|status| !status.success()) {
        let log = fs::read_to_string(&log_path).unwrap_or_default();
        let reason = log
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no output");
        assert_eq!(status.code(), Some(USAGE), "chaincast failed: {log}");
        database.remove();
        return Err(reason.to_owned());
    }
    // Blocks that were committed after the last observation.
    let seconds = observer.reached.unwrap_or(total);
    let usage = Usage {
        node: crate::process::cpu_seconds(node.pid()) - before.0,
        product: observer.cpu,
        postgres: observer
            .postgres
            .unwrap_or_else(|| postgres_seconds(postmaster))
            - before.1,
    };
    let rows = database.rows();
    // A load between two observations left no trace of what it dropped.
    let kept = match observer.kept {
        kept if kept.is_empty() => database.names(),
        kept => kept,
    };
    Ok(Load {
        database,
        rows,
        seconds,
        after: total - seconds,
        usage,
        peak: observer.peak,
        postgres_busy: observer.busy as f64 / observer.samples.max(1) as f64,
        kept,
    })
}

/// The observations of a load so far.
struct LoadObserver {
    target: i64,
    samples: usize,
    busy: usize,
    reached: Option<f64>,
    cpu: f64,
    /// CPU time of the server when the last block was stored: later CPU time is for indexes.
    postgres: Option<f64>,
    peak: u64,
    kept: BTreeSet<String>,
}

impl LoadObserver {
    fn new(blocks: u64) -> Self {
        Self {
            target: blocks as i64,
            samples: 0,
            busy: 0,
            reached: None,
            cpu: 0.0,
            postgres: None,
            peak: 0,
            kept: BTreeSet::new(),
        }
    }

    fn observe(&mut self, pid: u32, database: &mut Database, start: Instant, postmaster: u32) {
        self.peak = peak_memory(pid).unwrap_or(0).max(self.peak);
        if self.reached.is_some() {
            return;
        }
        self.cpu = cpu_seconds(pid).unwrap_or(0.0).max(self.cpu);
        let moment = database.sample();
        if moment.height.is_some() {
            if self.samples.is_multiple_of(NAMES_EVERY) {
                let names = database.names();
                if self.kept.is_empty() || names.len() < self.kept.len() {
                    self.kept = names;
                }
            }
            self.samples += 1;
            self.busy += usize::from(moment.busy);
        }
        if moment.height >= Some(self.target) {
            self.reached = Some(start.elapsed().as_secs_f64());
            self.postgres = Some(postgres_seconds(postmaster));
        }
    }
}

fn stop(child: &mut Child) {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("it runs");
    child.wait().expect("it is a child");
}

pub fn chaincast(arguments: &[&str], config: &PathBuf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaincast"));
    command.args(arguments).arg("--config").arg(config);
    command
}

pub fn write_config(
    bench: &Bench,
    database: &str,
    rpc_url: &str,
    more: &str,
    proof: bool,
) -> PathBuf {
    let path = bench.postgres.dir.join("chaincast.toml");
    let mut text = format!(
        "[server]\nport = 0\n[database]\nurl = {database:?}\ndefer_indexes_blocks = {LARGE}\n[telemetry]\nlog = \"warn\"\n\
         [[chains]]\nchain_id = {CHAIN_ID}\nrpc_url = {rpc_url:?}\n{more}\n"
    );
    if !proof {
        text.push_str(
            "[chains.checks]\nblock_hash = false\ntransactions_root = false\nreceipts_root = false\nlogs_bloom = false\nderived = false\n\
             senders = \"off\"\n",
        );
    }
    fs::write(&path, text).expect("the directory can be written");
    path
}

/// Number of rows of blocks 0 to `blocks`.
pub fn expected_rows(blocks: u64, per_block: u64) -> [i64; 4] {
    let each = (blocks * per_block) as i64;
    let rows = [blocks as i64 + 1, each, each, each];
    assert_eq!(rows.len(), TABLES.len());
    rows
}
