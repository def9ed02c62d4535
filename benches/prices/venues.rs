//! Binance, Coinbase and Kraken in a separate process, and a node without traffic.

use std::{
    io::{BufRead, Write},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chaincast_testkit::{
    faulty_node::{BlockTree, Contents, FaultyNode},
    venue::VenueProtocol,
};
use tokio::net::TcpListener;

use crate::{child_process::ChildProcess, tick_sender};

/// The argument that makes this program the venues.
pub const SERVE: &str = "--serve-venues";

pub const CHAIN_ID: u64 = 31_337;

/// How long the venues may take to answer a command.
const TIMEOUT: Duration = Duration::from_secs(10);

/// State that all connections share.
#[derive(Default)]
pub struct Shared {
    /// Thousandths of a tick a second on each stream.
    pub pace: AtomicU64,
    /// Ticks sent since the start.
    pub sent: AtomicU64,
    /// Subscribed streams.
    pub streams: AtomicU64,
}

/// Ticks sent so far, and the number of streams.
#[derive(Debug, Clone, Copy)]
pub struct VenueCounts {
    pub sent: u64,
    pub streams: u64,
}

/// Serves until standard input is closed. `set_pace N` sets the pace in thousandths of a tick a second on each stream;
/// it,
/// and any other line, is answered with `sent TICKS STREAMS`.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be started");
    let shared = Arc::new(Shared::default());
    let tree = BlockTree::new(CHAIN_ID);
    tree.mine(&Contents::transfers(1, 1));
    let node = runtime.block_on(FaultyNode::from_tree(&tree));
    let node = node.expect("a port is free");
    let mut urls = vec![node.http_url()];
    for speaks in [
        VenueProtocol::Binance,
        VenueProtocol::Coinbase,
        VenueProtocol::Kraken,
    ] {
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
        let (sent, streams) = (&shared.sent, &shared.streams);
        println!(
            "sent {} {}",
            sent.load(Ordering::Relaxed),
            streams.load(Ordering::Relaxed)
        );
        std::io::stdout().flush().expect("the other process reads");
    }
}

async fn accept(listener: TcpListener, speaks: VenueProtocol, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A client that disconnects is not an error.
            tick_sender::serve(stream, speaks, &shared).await.ok();
        });
    }
}

pub struct Venues {
    child: ChildProcess,
    pub node_url: String,
    /// URLs of Binance, Coinbase, Kraken.
    pub urls: [String; 3],
}

impl Venues {
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg(SERVE);
        let (child, (node_url, urls)) = ChildProcess::spawn(command, None, |line| {
            let mut words = line.strip_prefix("ready ")?.split(' ').map(str::to_owned);
            let node_url = words.next()?;
            Some((node_url, [words.next()?, words.next()?, words.next()?]))
        });
        Self {
            child,
            node_url,
            urls,
        }
    }

    /// Sets the ticks a second on each stream, in thousandths.
    pub fn set_pace(&mut self, pace: u64) -> VenueCounts {
        self.send_command(&format!("pace {pace}"))
    }

    pub fn counts(&mut self) -> VenueCounts {
        self.send_command("look")
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn send_command(&mut self, command: &str) -> VenueCounts {
        self.child.send_line(command);
        let line = self.child.lines.recv_timeout(TIMEOUT);
        let line = line.expect("the venues answer");
        let mut words = line.split(' ').skip(1).map(|word| word.parse().ok());
        let mut number = || words.next().flatten().expect("it is two numbers");
        VenueCounts {
            sent: number(),
            streams: number(),
        }
    }
}
