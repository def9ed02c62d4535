//! All clients connect at once; all clients subscribe at once.

use std::time::Instant;

use serde_json::json;

use crate::{
    bench::{Bench, Contender},
    load::{Load, Wire},
    script::{Script, subscribe},
    section::Section,
    stats,
};

/// Channels that each session subscribes to, in one request.
const CHANNELS: usize = 20;
/// All channels; sessions start at different ones.
const ALL: usize = 60;

/// Rates per second and per CPU-second.
#[derive(Debug, Clone, Copy)]
struct Rate {
    wall: f64,
    cpu: f64,
}

pub fn run(bench: &Bench) -> Section {
    let sessions = bench.pick(10_000, 2_000);
    let mut section = Section::new(
        "storms",
        "Connect storm and subscribe storm",
        "10,000 sessions connect, at most 100 of them concurrently; the time ends with the `101` for WebSocket, and \
         when the namespace is joined for Socket.IO. Then all sessions subscribe at once, each to 20 of 60 channels \
         in one request, until the last acknowledgement has arrived. Rates are per second of wall time, and per \
         second of server CPU.",
        &[
            "server",
            "connections a second",
            "per CPU-second",
            "subscriptions a second",
            "per CPU-second",
        ],
    );
    let mut contenders = vec![
        Contender::product("WebSocket", Wire::WebSocket),
        Contender::product("Socket.IO", Wire::SocketIo),
    ];
    contenders.extend(bench.peers());
    let mut results: Vec<Vec<(Rate, Rate)>> = vec![Vec::new(); contenders.len()];
    for round in 1..=bench.rounds {
        for (contender, results) in contenders.iter().zip(&mut results) {
            let (connects, subscribes) = measure(bench, contender, sessions);
            bench.print_progress(&format!(
                "round {round}, {}: {:.0} connections/s, {:.0} subscriptions/s",
                contender.label, connects.wall, subscribes.wall
            ));
            results.push((connects, subscribes));
        }
    }
    for (contender, results) in contenders.iter().zip(&results) {
        let middle = |pick: fn(&(Rate, Rate)) -> f64| {
            stats::median(&results.iter().map(pick).collect::<Vec<_>>())
        };
        section.row([
            contender.label.clone(),
            format!("{:.1} k", middle(|r| r.0.wall) / 1e3),
            format!("{:.1} k", middle(|r| r.0.cpu) / 1e3),
            format!("{:.0} k", middle(|r| r.1.wall) / 1e3),
            format!("{:.0} k", middle(|r| r.1.cpu) / 1e3),
        ]);
    }
    let rows = contenders.iter().zip(&results).map(|(contender, results)| {
        let rounds: Vec<_> = results
            .iter()
            .map(|(connects, subscribes)| {
                json!({
                    "connections_per_second": connects.wall,
                    "connections_per_cpu_second": connects.cpu,
                    "subscriptions_per_second": subscribes.wall,
                    "subscriptions_per_cpu_second": subscribes.cpu,
                })
            })
            .collect();
        json!({ "server": contender.label, "rounds": rounds })
    });
    section.rounds = rows.collect();
    section
}

fn measure(bench: &Bench, contender: &Contender, sessions: usize) -> (Rate, Rate) {
    let server = contender.start(bench);
    let mut load = Load::new();
    let connects = timed(&server, sessions, || {
        load.connect(server.port, sessions, |_| Script::open(contender.wire));
    });
    let subscribes = timed(&server, sessions * CHANNELS, || {
        load.run_step(|session| {
            let first = session % (ALL - CHANNELS);
            subscribe(contender.wire, first..first + CHANNELS)
                .expect("these wires have a request for it")
        });
    });
    assert!(
        load.closed.is_empty(),
        "no session is closed: {:?}",
        load.closed.first()
    );
    (connects, subscribes)
}

fn timed(server: &crate::server::Server, count: usize, work: impl FnOnce()) -> Rate {
    let (cpu, start) = (server.cpu(), Instant::now());
    work();
    Rate {
        wall: count as f64 / start.elapsed().as_secs_f64(),
        cpu: count as f64 / (server.cpu() - cpu),
    }
}
