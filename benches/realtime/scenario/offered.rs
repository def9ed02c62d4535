//! A million deliveries a second: 1,000 sessions × 50 channels × 20 Hz.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    bench::{Bench, Contender},
    commands::Pattern,
    load::{Load, Wire},
    script::Script,
    section::Section,
    server::{Options, ServerKind},
    stats,
};

const SESSIONS: usize = 1_000;
const CHANNELS: usize = 50;
const HZ: usize = 20;
/// After the last update, a server that fell behind has this long to send its backlog.
const BACKLOG_WAIT: Duration = Duration::from_secs(1);

struct Outcome {
    delivered: f64,
    a_second: f64,
    cpu: f64,
    per_cpu_second: f64,
    closed: usize,
}

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "offered",
        "1,000 sessions × 50 channels × 20 Hz",
        "Every session subscribes to all of 50 channels, each with 20 updates a second, spread evenly: a million \
         deliveries a second are offered for some seconds. *Delivered* is the share that arrived within one second \
         after the last update; the rate is over the time until then, or until all had arrived. *CPU* is the share of \
         the server's core. `linger_ms` is the product's `gateway.linger_ms`: how long frames may be delayed under \
         load to be written together. Aims: all delivered on one core; ≥ 1.1 × uWebSockets and ≥ 13 × NestJS in \
         frames per server-CPU-second.",
        &[
            "server",
            "delivered",
            "a second",
            "CPU",
            "frames per CPU-second",
            "closed",
        ],
    );
    let with_linger = |label: &str, wire, linger_ms| {
        let mut contender = Contender::product(label, wire);
        contender.options = Options {
            linger_ms,
            ..contender.options
        };
        contender
    };
    let mut contenders = vec![
        with_linger("WebSocket, linger_ms = 0", Wire::WebSocket, 0),
        with_linger("WebSocket, linger_ms = 5", Wire::WebSocket, 5),
        with_linger("Socket.IO, linger_ms = 0", Wire::SocketIo, 0),
        with_linger("Socket.IO, linger_ms = 5", Wire::SocketIo, 5),
    ];
    contenders.extend(
        bench
            .peers()
            .filter(|peer| peer.kind != ServerKind::SocketIo),
    );
    let mut results: Vec<Vec<Outcome>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=bench.rounds {
        for (contender, results) in contenders.iter().zip(&mut results) {
            let outcome = measure(bench, contender);
            bench.print_progress(&format!(
                "round {round}, {}: {:.1} % delivered, {:.0} frames per CPU-second",
                contender.label,
                outcome.delivered * 100.0,
                outcome.per_cpu_second
            ));
            results.push(outcome);
        }
    }
    for (contender, outcomes) in contenders.iter().zip(&results) {
        let middle = |pick: fn(&Outcome) -> f64| {
            stats::median(&outcomes.iter().map(pick).collect::<Vec<_>>())
        };
        section.row([
            contender.label.clone(),
            format!("{:.1} %", middle(|o| o.delivered) * 100.0),
            format!("{:.0} k", middle(|o| o.a_second) / 1e3),
            format!("{:.0} %", middle(|o| o.cpu) * 100.0),
            format!("{:.0} k", middle(|o| o.per_cpu_second) / 1e3),
            format!("{:.0}", middle(|o| o.closed as f64)),
        ]);
    }
    compare(&mut section, &contenders, &results);
    section.rounds = contenders.iter().zip(&results).map(raw).collect();
    section
}

/// The product's ratio to each peer, as sentences under the table.
fn compare(section: &mut Section, contenders: &[Contender], results: &[Vec<Outcome>]) {
    let rates =
        |index: usize| -> Vec<f64> { results[index].iter().map(|o| o.per_cpu_second).collect() };
    for (peer, contender) in contenders.iter().enumerate() {
        if contender.kind == ServerKind::Product {
            continue;
        }
        // Each peer is compared with the product on the same wire format.
        let (without, with) = if contender.wire == Wire::WebSocket {
            (0, 1)
        } else {
            (2, 3)
        };
        section.notes.push(format!(
            "chaincast on the same wire makes {:.2} × the frames per CPU-second of {} with `linger_ms` 0, {:.2} × with 5.",
            stats::ratio(&rates(without), &rates(peer)),
            contender.label,
            stats::ratio(&rates(with), &rates(peer)),
        ));
    }
}

fn measure(bench: &Bench, contender: &Contender) -> Outcome {
    let seconds = bench.pick(4, 2);
    let updates = CHANNELS * HZ * seconds;
    let offered = (updates * SESSIONS) as f64;
    let mut server = contender.start(bench);
    let mut load = Load::new();
    load.connect(server.port, SESSIONS, |_| {
        Script::listen(contender.wire, 0..CHANNELS)
    });
    server.pattern(Pattern {
        channels: CHANNELS,
        stride: 1,
    });
    server.burst(CHANNELS);
    load.read_for(Duration::from_millis(500));
    load.reset();
    let (cpu, start) = (server.cpu(), Instant::now());
    server.rate(CHANNELS * HZ, updates);
    let end = start + Duration::from_secs(seconds as u64) + BACKLOG_WAIT;
    while Instant::now() < end && (load.frames as f64) < offered {
        load.read_for(Duration::from_millis(10));
    }
    let (cpu, wall) = (server.cpu() - cpu, start.elapsed().as_secs_f64());
    if contender.kind == ServerKind::Product {
        assert!(
            load.closed.is_empty(),
            "no session is closed: {:?}",
            load.closed.first()
        );
    }
    Outcome {
        delivered: load.frames as f64 / offered,
        a_second: load.frames as f64 / wall,
        cpu: cpu / wall,
        per_cpu_second: load.frames as f64 / cpu,
        closed: load.closed.len(),
    }
}

fn raw((contender, outcomes): (&Contender, &Vec<Outcome>)) -> Value {
    let rounds: Vec<Value> = outcomes
        .iter()
        .map(|o| {
            json!({
                "delivered": o.delivered, "frames_per_second": o.a_second, "cpu": o.cpu,
                "frames_per_cpu_second": o.per_cpu_second, "closed": o.closed,
            })
        })
        .collect();
    json!({ "server": contender.label, "rounds": rounds })
}
