//! Clients that never read, together with clients that do.

use std::time::Duration;

use serde_json::json;

use super::latency::{SESSIONS, half_of_saturation, observe};
use crate::{
    bench::{Bench, Contender},
    commands::Pattern,
    load::{Load, Wire},
    message, process,
    script::Script,
    section::Section,
    stats,
};

const SLOW: usize = 20;
/// Channels of the slow sessions; the others subscribe to the first of them.
const CHANNELS: usize = 21;

/// Bytes sent to each slow client: more than the kernel's buffers and the default backlog of 1 MiB together.
const MISSED: usize = 4_000_000;

/// The slow sessions are read again for this long, to see how they were closed: longer than closing may take.
const AFTERWARDS: Duration = Duration::from_secs(3);

struct Outcome {
    p50: f64,
    p99: f64,
    /// Growth in MB of the process, and of the kernel's memory for sockets.
    process: f64,
    kernel: f64,
    /// Slow sessions that were closed with 4008.
    closed: usize,
    closed_4008: usize,
}

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "slow",
        "Effect of slow clients on others",
        "1,000 WebSocket sessions subscribe to one channel, updated evenly at half of saturation. 20 more subscribe \
         to it and to 20 other channels of the same rate, every update, and never read. The table has the latency to \
         the last of the thousand, with and without the slow clients; the largest growth of the process and of the \
         kernel's socket memory during that time; and how many slow clients the server closed. A client that never \
         reads detects the close when it reads again: by the code 4008 if there was still room for the close frame, \
         otherwise by the end of the connection.",
        &[
            "slow clients",
            "p50 ms",
            "p99 ms",
            "÷ without",
            "process + MB",
            "kernel + MB",
            "closed",
            "with 4008",
        ],
    );
    let mut results: [Vec<Outcome>; 2] = [Vec::new(), Vec::new()];
    for round in 1..=bench.rounds {
        let hz = half_of_saturation(bench);
        for (slow, results) in [0, SLOW].into_iter().zip(&mut results) {
            let outcome = measure(bench, slow, hz);
            bench.print_progress(&format!(
                "round {round}, {slow} slow: p99 {:.2} ms, {} closed",
                outcome.p99, outcome.closed
            ));
            results.push(outcome);
        }
    }
    for (slow, outcomes) in [0, SLOW].iter().zip(&results) {
        let column =
            |pick: fn(&Outcome) -> f64| -> Vec<f64> { outcomes.iter().map(pick).collect() };
        let without: Vec<f64> = results[0].iter().map(|o| o.p99).collect();
        section.row([
            slow.to_string(),
            format!("{:.2}", stats::median(&column(|o| o.p50))),
            format!("{:.2}", stats::median(&column(|o| o.p99))),
            format!("{:.2}", stats::ratio(&column(|o| o.p99), &without)),
            format!("{:.1}", stats::median(&column(|o| o.process))),
            format!("{:.1}", stats::median(&column(|o| o.kernel))),
            format!("{:.0}", stats::median(&column(|o| o.closed as f64))),
            format!("{:.0}", stats::median(&column(|o| o.closed_4008 as f64))),
        ]);
    }
    let rows = [0, SLOW].iter().zip(&results).map(|(slow, outcomes)| {
        let rounds: Vec<_> = outcomes
            .iter()
            .map(|o| json!({ "p50_ms": o.p50, "p99_ms": o.p99, "process_mb": o.process, "kernel_mb": o.kernel, "closed": o.closed }))
            .collect();
        json!({ "slow": slow, "rounds": rounds })
    });
    section.rounds = rows.collect();
    section
}

fn measure(bench: &Bench, slow: usize, hz: usize) -> Outcome {
    const MB: f64 = 1_024.0 * 1_024.0;
    let contender = Contender::product("WebSocket", Wire::WebSocket);
    let mut server = contender.start(bench);
    let mut load = Load::new();
    load.connect(server.port, SESSIONS, |_| {
        Script::listen(Wire::WebSocket, [0])
    });
    load.connect(server.port, slow, |_| {
        Script::listen(Wire::WebSocket, 0..CHANNELS)
    });
    load.read_for(Duration::from_millis(300));
    load.stop_reading(SESSIONS);
    server.pattern(Pattern {
        channels: CHANNELS,
        stride: 1,
    });
    let before = (
        process::resident(server.pid()) as f64,
        process::tcp_memory() as f64,
    );
    let (mut latencies, mut peak) = (Vec::new(), before);
    // A second at a time, to sample the peak memory, until the slow sessions have missed enough to be closed.
    let seconds = MISSED / (hz * CHANNELS * message::websocket(0, 100).len()) + 1;
    for _ in 0..seconds.min(bench.pick(20, 3)) {
        let updates = hz * CHANNELS;
        let observed = observe(
            &mut server,
            &mut load,
            SESSIONS,
            hz * CHANNELS,
            updates,
            |number| number % CHANNELS == 0,
        );
        latencies.extend(observed.expect("sessions that read get everything"));
        peak.0 = peak.0.max(process::resident(server.pid()) as f64);
        peak.1 = peak.1.max(process::tcp_memory() as f64);
    }
    load.resume_reading(SESSIONS);
    load.read_idle_for(AFTERWARDS);
    let closed_4008 = load
        .closed
        .iter()
        .filter(|code| **code == Some(4008))
        .count();
    Outcome {
        p50: stats::percentile(&latencies, 50.0) / 1e3,
        p99: stats::percentile(&latencies, 99.0) / 1e3,
        process: (peak.0 - before.0) / MB,
        kernel: (peak.1 - before.1) / MB,
        closed: load.closed.len(),
        closed_4008,
    }
}
