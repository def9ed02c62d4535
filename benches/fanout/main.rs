//! Fan-out of the real gateway against the floor: bare `send()` of prebuilt frames.
//!
//! Frames per server-CPU-second with 1,000 sessions on one channel, every update in a turn of its own, so that each
//! frame is one write on both sides. The server's CPU time is read from /proc, so a noisy machine blurs the rounds but
//! not what is compared: floor and gateway take turns. Results go to `target/bench/fanout.json`.

mod clients;
mod floor;
mod gateway;
mod report;

use report::{Measured, Round};

const SESSIONS: usize = 1_000;
const ROUNDS: usize = 3;
/// Updates a round.
const UPDATES: usize = 150;

fn main() {
    // The floor's server is this program again, so that its CPU time can be told from the clients'.
    if std::env::args().nth(1).as_deref() == Some(floor::ARGUMENT) {
        return floor::serve(SESSIONS, UPDATES);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        chaincast_bench_limits();
        let gateway = gateway::Gateway::start().await;
        let mut rounds = Vec::new();
        for number in 1..=ROUNDS {
            let floor = floor::measure(SESSIONS, UPDATES).await;
            let websocket = gateway
                .measure(clients::Wire::WebSocket, SESSIONS, UPDATES)
                .await;
            let socketio = gateway
                .measure(clients::Wire::SocketIo, SESSIONS, UPDATES)
                .await;
            let round = Round {
                floor,
                websocket,
                socketio,
            };
            println!("round {number}: {round}");
            rounds.push(round);
        }
        gateway.stop().await;
        report::write("fanout", &rounds);
    });
}

/// Both sides' sockets are in this process and its children.
fn chaincast_bench_limits() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// CPU time that a process has used, in seconds (proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

/// A server's work between two moments.
async fn measured(pid: u32, frames: usize, work: impl Future<Output = ()>) -> Measured {
    let before = cpu_seconds(pid);
    work.await;
    Measured {
        frames,
        cpu_seconds: cpu_seconds(pid) - before,
    }
}
