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

/// How often a load is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is left out is asked once in so many looks.
const NAMES_EVERY: usize = 50;
/// A load that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(900);

/// A load of so many blocks is large, so that its secondary indexes are built after it, as those of a real history are.
const LARGE: u64 = 200;

/// Exit code for a configuration that is not understood, or an unknown subcommand.
const USAGE: i32 = 2;

/// How the product is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `chaincast backfill --from 0 --to N`
    Backfill,
    /// `chaincast serve --role indexer` until it has caught up.
    Serve,
}

#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub how: How,
    pub proof: bool,
    /// Lines for `[[chains]]`.
    pub more: &'static str,
}

/// What a load took.
pub struct Load<'a> {
    pub database: Database<'a>,
    /// Rows of each of [`TABLES`].
    pub rows: [i64; 4],
    /// From the start of the process until the last block was committed.
    pub seconds: f64,
    /// From then until it ended: indexes.
    pub after: f64,
    pub usage: Usage,
    /// The most resident memory of the process, in bytes.
    pub peak: u64,
    /// Share of the load in which PostgreSQL worked rather than waited for chaincast.
    pub postgres_busy: f64,
    /// Constraints and indexes that were there while it loaded.
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

/// Loads blocks 0 to `blocks`; the error says why this product cannot.
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
    let mut command = match setting.how {
        How::Backfill => chaincast(&["backfill", "--from", "0", "--to", &to], &config),
        How::Serve => chaincast(&["serve", "--role", "indexer"], &config),
    };
    let said = bench.postgres.dir.join("chaincast.log");
    let log = fs::File::create(&said).expect("the directory can be written");
    command.stdout(Stdio::null()).stderr(log);
    let start = Instant::now();
    let mut child = command.spawn().expect("chaincast was built");
    let mut watch = Watch::new(blocks);
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            break Some(status);
        }
        watch.look(child.id(), &mut database, start, postmaster);
        if watch.reached.is_some() && setting.how == How::Serve {
            stop(&mut child);
            break None;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "chaincast did not load {blocks} blocks in {PATIENCE:?}"
        );
        thread::sleep(LOOK_EVERY);
    };
    let total = start.elapsed().as_secs_f64();
    if let Some(status) = status.filter(|status| !status.success()) {
        let log = fs::read_to_string(&said).unwrap_or_default();
        let reason = log
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("nothing was said");
        assert_eq!(status.code(), Some(USAGE), "chaincast failed: {log}");
        database.remove();
        return Err(reason.to_owned());
    }
    // What was committed after the last look, it committed before it ended.
    let seconds = watch.reached.unwrap_or(total);
    let usage = Usage {
        node: crate::process::cpu_seconds(node.pid()) - before.0,
        product: watch.cpu,
        postgres: watch
            .postgres
            .unwrap_or_else(|| postgres_seconds(postmaster))
            - before.1,
    };
    let rows = database.rows();
    // A load between two looks left no trace of what it left out.
    let kept = match watch.kept {
        kept if kept.is_empty() => database.names(),
        kept => kept,
    };
    Ok(Load {
        database,
        rows,
        seconds,
        after: total - seconds,
        usage,
        peak: watch.peak,
        postgres_busy: watch.busy as f64 / watch.looks.max(1) as f64,
        kept,
    })
}

/// What was seen of a load so far.
struct Watch {
    target: i64,
    looks: usize,
    busy: usize,
    reached: Option<f64>,
    cpu: f64,
    /// CPU time of the server when the last block was there: what comes later builds indexes.
    postgres: Option<f64>,
    peak: u64,
    kept: BTreeSet<String>,
}

impl Watch {
    fn new(blocks: u64) -> Self {
        Self {
            target: blocks as i64,
            looks: 0,
            busy: 0,
            reached: None,
            cpu: 0.0,
            postgres: None,
            peak: 0,
            kept: BTreeSet::new(),
        }
    }

    fn look(&mut self, pid: u32, database: &mut Database, start: Instant, postmaster: u32) {
        self.peak = peak_memory(pid).unwrap_or(0).max(self.peak);
        if self.reached.is_some() {
            return;
        }
        self.cpu = cpu_seconds(pid).unwrap_or(0.0).max(self.cpu);
        let moment = database.look();
        if moment.height.is_some() {
            if self.looks.is_multiple_of(NAMES_EVERY) {
                let names = database.names();
                if self.kept.is_empty() || names.len() < self.kept.len() {
                    self.kept = names;
                }
            }
            self.looks += 1;
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

/// Rows that blocks 0 to `blocks` are.
pub fn expected_rows(blocks: u64, per_block: u64) -> [i64; 4] {
    let each = (blocks * per_block) as i64;
    let rows = [blocks as i64 + 1, each, each, each];
    assert_eq!(rows.len(), TABLES.len());
    rows
}
