//! The synthetic node in a separate process.

use std::{
    io::{BufRead, Write},
    process::Command,
    sync::Arc,
    time::Duration,
};

use chaincast_testkit::{SyntheticChain, SyntheticNode, SyntheticNodeOptions, SyntheticOptions};

use crate::{child_process::ChildProcess, process};

/// The argument that makes this program a node.
pub const SERVE: &str = "--serve-node";

pub const CHAIN_ID: u64 = 1_337;
pub const TRANSACTIONS: usize = 100;

/// How long the node may take to move its head.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a chain with the number of blocks in the first argument until standard input is closed. `head N` moves the
/// head, and is answered with `at` and the instant in ns.
pub fn serve(arguments: &[String]) {
    let blocks = arguments[0].parse().expect("a number of blocks");
    let chain = SyntheticChain::generate(&SyntheticOptions {
        chain_id: CHAIN_ID,
        blocks,
        transactions: TRANSACTIONS,
        ..SyntheticOptions::default()
    });
    let megabytes = chain.bytes() / 1_000_000;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let options = SyntheticNodeOptions::default();
    let node = runtime
        .block_on(SyntheticNode::start(Arc::new(chain), options))
        .expect("ports are free");
    println!("ready {} {} {megabytes}", node.http_url(), node.ws_url());
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("commands are text");
        let head = line
            .strip_prefix("head ")
            .and_then(|head| head.parse().ok());
        let at = process::now_ns();
        node.set_head(head.expect("the command is a head"));
        println!("at {at}");
        std::io::stdout().flush().expect("the other process reads");
    }
}

pub struct NodeProcess {
    child: ChildProcess,
    pub http_url: String,
    pub ws_url: String,
    pub blocks: u64,
    /// Size of all blocks and receipts as JSON.
    pub megabytes: u64,
}

impl NodeProcess {
    pub fn start(blocks: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args([SERVE, &blocks.to_string()]);
        let (child, (http_url, ws_url, megabytes)) = ChildProcess::spawn(command, None, |line| {
            let mut words = line.strip_prefix("ready ")?.split(' ');
            let mut word = || words.next().map(str::to_owned);
            Some((word()?, word()?, word()?.parse().ok()?))
        });
        Self {
            child,
            http_url,
            ws_url,
            blocks,
            megabytes,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Moves the head; returns the instant just before, in ns.
    pub fn set_head(&mut self, number: u64) -> u64 {
        self.child.send_line(&format!("head {number}"));
        let line = self.child.lines.recv_timeout(TIMEOUT);
        let line = line.expect("the node answers");
        let at = line.strip_prefix("at ").and_then(|at| at.parse().ok());
        at.expect("an instant is a number")
    }
}
