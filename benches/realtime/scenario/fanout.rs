//! One channel at full speed: frames per server-CPU-second.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    bench::{Bench, Contender},
    load::{Load, Wire},
    script::Script,
    section::Section,
    server::{Server, ServerKind},
    stats,
};

/// Updates at once in the batched run.
pub const BATCH: usize = 8;

pub const COLUMNS: &[&str] = &[
    "sessions",
    "server",
    "one at a time",
    "÷ floor",
    "8 at once",
    "÷ floor",
    "user / system µs a frame",
    "bytes a frame",
];

/// The result of a run at full speed.
#[derive(Debug, Clone, Copy)]
pub struct Flat {
    pub frames: u64,
    pub cpu: f64,
    pub wall: f64,
    pub bytes_a_frame: f64,
}

impl Flat {
    pub fn per_cpu_second(&self) -> f64 {
        self.frames as f64 / self.cpu
    }
}

/// The next `batch` updates are published once the previous ones have reached every session.
pub fn flat_out(server: &mut Server, load: &mut Load, updates: usize, batch: usize) -> Flat {
    let sessions = load.sessions() as u64;
    load.reset();
    let (cpu, start) = (server.cpu(), Instant::now());
    for round in 1..=(updates / batch) as u64 {
        server.burst(batch);
        if let Err(stalled) = load.receive(round * batch as u64 * sessions) {
            panic!("{stalled}; closed: {:?}", load.closed.first());
        }
    }
    Flat {
        frames: load.frames,
        cpu: server.cpu() - cpu,
        wall: start.elapsed().as_secs_f64(),
        bytes_a_frame: load.bytes as f64 / load.frames as f64,
    }
}

/// One contender in one round.
#[derive(Clone)]
struct Measured {
    single: Flat,
    batched: Flat,
    /// µs for a frame of the run with one update at a time.
    user: f64,
    system: f64,
}

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "fanout",
        "One channel, flat out",
        "Every session subscribes to one channel and receives every update. *One at a time*: the next update is \
         published when the last one has reached every session, so each frame is a separate write for each session. \
         *8 at once*: eight updates are published in a row, and a server may write them together; the floor then \
         sends eight frames in one `send()`. Figures are frames per second of server CPU; ratios are to the floor of \
         the same round and kind. Aims: WebSocket ≥ 0.95, Socket.IO ≥ 0.92.",
        COLUMNS,
    );
    let mut contenders = vec![
        Contender::new(ServerKind::Floor),
        Contender::product("WebSocket", Wire::WebSocket),
        Contender::product("Socket.IO", Wire::SocketIo),
    ];
    contenders.extend(bench.peers());
    section.rounds = compare(bench, &mut section, &contenders);
    section
}

/// Measures all alternately, the floor first, adds their rows and returns every round.
pub fn compare(bench: &Bench, section: &mut Section, contenders: &[Contender]) -> Value {
    let mut all = Vec::new();
    for sessions in bench.pick(vec![1_000, 5_000], vec![1_000]) {
        let mut results: Vec<Vec<Measured>> = vec![Vec::new(); contenders.len()];
        for round in 1..=bench.rounds {
            for (contender, results) in contenders.iter().zip(&mut results) {
                let measured = measure(bench, contender, sessions);
                bench.print_progress(&format!(
                    "round {round}, {sessions} sessions, {}: {:.0} frames per CPU-second, {BATCH} at once {:.0}",
                    contender.label,
                    measured.single.per_cpu_second(),
                    measured.batched.per_cpu_second(),
                ));
                results.push(measured);
            }
        }
        add_rows(section, sessions, contenders, &results);
        all.push(json!({ "sessions": sessions, "servers": raw(contenders, &results) }));
    }
    all.into()
}

fn measure(bench: &Bench, contender: &Contender, sessions: usize) -> Measured {
    // The peers are far from the floor: their figures need less precision.
    let is_peer = ServerKind::PEERS.contains(&contender.kind);
    let frames = bench.pick(if is_peer { 80_000 } else { 200_000 }, 50_000);
    let updates = frames / sessions / BATCH * BATCH;
    let mut server = contender.start(bench);
    let mut load = Load::new();
    load.connect(server.port, sessions, |_| {
        Script::listen(contender.wire, [0])
    });
    // Warms up allocators and caches, and finishes the work of connecting.
    flat_out(&mut server, &mut load, BATCH * 2, 1);
    let before = crate::process::user_and_system(server.pid());
    let single = flat_out(&mut server, &mut load, updates, 1);
    let after = crate::process::user_and_system(server.pid());
    let batched = flat_out(&mut server, &mut load, updates, BATCH);
    assert!(
        load.closed.is_empty(),
        "no session is closed: {:?}",
        load.closed
    );
    let per_frame = |before: f64, after: f64| (after - before) * 1e6 / single.frames as f64;
    Measured {
        single,
        batched,
        user: per_frame(before.0, after.0),
        system: per_frame(before.1, after.1),
    }
}

fn add_rows(
    section: &mut Section,
    sessions: usize,
    contenders: &[Contender],
    results: &[Vec<Measured>],
) {
    let singles = |index: usize| -> Vec<f64> {
        results[index]
            .iter()
            .map(|r| r.single.per_cpu_second())
            .collect()
    };
    let batches = |index: usize| -> Vec<f64> {
        results[index]
            .iter()
            .map(|r| r.batched.per_cpu_second())
            .collect()
    };
    for (index, contender) in contenders.iter().enumerate() {
        let middle = |pick: fn(&Measured) -> f64| {
            stats::median(&results[index].iter().map(pick).collect::<Vec<_>>())
        };
        section.row([
            sessions.to_string(),
            contender.label.clone(),
            format!("{:.0} k", stats::median(&singles(index)) / 1e3),
            format!("{:.2}", stats::ratio(&singles(index), &singles(0))),
            format!("{:.0} k", stats::median(&batches(index)) / 1e3),
            format!("{:.2}", stats::ratio(&batches(index), &batches(0))),
            format!("{:.1} / {:.1}", middle(|r| r.user), middle(|r| r.system)),
            format!("{:.0}", middle(|r| r.single.bytes_a_frame)),
        ]);
    }
}

fn raw(contenders: &[Contender], results: &[Vec<Measured>]) -> Value {
    let rows = contenders.iter().zip(results).map(|(contender, results)| {
        let rounds: Vec<Value> = results
            .iter()
            .map(
                |Measured {
                     single, batched, ..
                 }| {
                    json!({
                        "frames_per_cpu_second": single.per_cpu_second(),
                        "frames_per_second": single.frames as f64 / single.wall,
                        "batched_frames_per_cpu_second": batched.per_cpu_second(),
                        "bytes_a_frame": single.bytes_a_frame,
                    })
                },
            )
            .collect();
        json!({ "server": contender.label, "rounds": rounds })
    });
    rows.collect()
}
