//! Binance, Coinbase and Kraken in a process of their own, and a node without traffic beside them.

use std::{
    io::{BufRead, Write},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chaincast::dev::{
    faulty_node::{Contents, FaultyNode, Tree},
    venue::Speaks,
};
use tokio::net::TcpListener;

use crate::{running::Running, teller};

/// The argument that makes this program the venues.
pub const SERVE: &str = "--serve-venues";

pub const CHAIN_ID: u64 = 31_337;

/// How long the venues may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(10);

/// What all connections go by.
#[derive(Default)]
pub struct Shared {
    /// Thousandths of a tick a second on each stream.
    pub pace: AtomicU64,
    /// Ticks told since the start.
    pub told: AtomicU64,
    /// Streams that are told.
    pub streams: AtomicU64,
}

/// What was told so far, and on how many streams.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub told: u64,
    pub streams: u64,
}

/// Serves until standard input is closed. `pace N` sets the pace in thousandths of a tick a second on each stream; it, and
/// any other line, is answered with `told TICKS STREAMS`.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be started");
    let shared = Arc::new(Shared::default());
    let tree = Tree::new(CHAIN_ID);
    tree.mine(&Contents::transfers(1, 1));
    let node = runtime.block_on(FaultyNode::of_tree(&tree));
    let node = node.expect("a port is free");
    let mut urls = vec![node.http_url()];
    for speaks in [Speaks::Binance, Speaks::Coinbase, Speaks::Kraken] {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        urls.push(format!("ws://{address}"));
        runtime.spawn(accept(listener, speaks, shared.clone()));
    }
    println!("ready {}", urls.join(" "));
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("commands are text");
        if let Some(pace) = line.strip_prefix("pace ") {
            let pace = pace.parse().expect("a pace is a number");
            shared.pace.store(pace, Ordering::Relaxed);
        }
        let (told, streams) = (&shared.told, &shared.streams);
        println!(
            "told {} {}",
            told.load(Ordering::Relaxed),
            streams.load(Ordering::Relaxed)
        );
        std::io::stdout().flush().expect("the other side reads");
    }
}

async fn accept(listener: TcpListener, speaks: Speaks, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A client that goes is none of ours to complain of.
            teller::serve(stream, speaks, &shared).await.ok();
        });
    }
}

pub struct Venues {
    running: Running,
    pub node_url: String,
    /// Binance, Coinbase, Kraken.
    pub urls: [String; 3],
}

impl Venues {
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(SERVE);
        let (running, (node_url, urls)) = Running::spawn(command, None, |line| {
            let mut words = line.strip_prefix("ready ")?.split(' ').map(str::to_owned);
            let node_url = words.next()?;
            Some((node_url, [words.next()?, words.next()?, words.next()?]))
        });
        Self {
            running,
            node_url,
            urls,
        }
    }

    /// So many ticks a second on each stream, in thousandths.
    pub fn pace(&mut self, pace: u64) -> Look {
        self.ask(&format!("pace {pace}"))
    }

    pub fn look(&mut self) -> Look {
        self.ask("look")
    }

    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    fn ask(&mut self, command: &str) -> Look {
        self.running.tell(command);
        let line = self.running.lines.recv_timeout(PATIENCE);
        let line = line.expect("the venues answer");
        let mut words = line.split(' ').skip(1).map(|word| word.parse().ok());
        let mut number = || words.next().flatten().expect("it is two numbers");
        Look {
            told: number(),
            streams: number(),
        }
    }
}
