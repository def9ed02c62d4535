//! From publication to the last of 1,000 sockets.

use std::time::Duration;

use serde_json::json;

use super::fanout::flat_out;
use crate::{
    bench::{Bench, Contender},
    load::{Load, Wire},
    script::Script,
    section::Section,
    server::{Server, ServerKind},
    stats,
};

pub const SESSIONS: usize = 1_000;

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "latency",
        "Latency at half of saturation",
        "Measured from the publication of an update inside the server (for chaincast: on the bus) until the last of \
         1,000 WebSocket sessions has read it, by the clock that the processes share. Updates come evenly, at half \
         the rate that chaincast reaches flat out (one at a time) in the same round; the floor sends at the same \
         rate. Ratios are to the floor of the same round. Aim: p99 ≤ 1.25 × the floor's.",
        &[
            "server",
            "updates a second",
            "p50 ms",
            "÷ floor",
            "p99 ms",
            "÷ floor",
        ],
    );
    let mut contenders = vec![
        Contender::new(ServerKind::Floor),
        Contender::product("WebSocket", Wire::WebSocket),
        Contender::product("Socket.IO", Wire::SocketIo),
    ];
    contenders.extend(bench.peers());
    let mut results = vec![Vec::new(); contenders.len()];
    let mut rates = Vec::new();
    for round in 1..=bench.rounds {
        let hz = half_of_saturation(bench);
        rates.push(hz as f64);
        for (contender, results) in contenders.iter().zip(&mut results) {
            let latencies = measure(bench, contender, hz);
            let (p50, p99) = match &latencies {
                Some(all) => (
                    stats::percentile(all, 50.0) / 1e3,
                    stats::percentile(all, 99.0) / 1e3,
                ),
                // The server cannot keep up with this rate at all.
                None => (f64::INFINITY, f64::INFINITY),
            };
            bench.print_progress(&format!(
                "round {round}, {}: p50 {p50:.2} ms, p99 {p99:.2} ms at {hz}/s",
                contender.label
            ));
            results.push((p50, p99));
        }
    }
    let column = |index: usize, pick: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        results[index].iter().map(pick).collect()
    };
    for (index, contender) in contenders.iter().enumerate() {
        let cell = |pick: fn(&(f64, f64)) -> f64| {
            let value = stats::median(&column(index, pick));
            if value.is_finite() {
                let ratio = stats::ratio(&column(index, pick), &column(0, pick));
                (format!("{value:.2}"), format!("{ratio:.2}"))
            } else {
                ("falls behind".to_owned(), "–".to_owned())
            }
        };
        let ((p50, p50_ratio), (p99, p99_ratio)) = (cell(|r| r.0), cell(|r| r.1));
        let rate = format!("{:.0}", stats::median(&rates));
        section.row([
            contender.label.clone(),
            rate,
            p50,
            p50_ratio,
            p99,
            p99_ratio,
        ]);
    }
    let rows = contenders
        .iter()
        .zip(&results)
        .map(|(contender, results)| json!({ "server": contender.label, "p50_p99_ms": results }));
    section.rounds = json!({ "updates_a_second": rates, "servers": rows.collect::<Vec<_>>() });
    section
}

/// Updates a second.
pub fn half_of_saturation(bench: &Bench) -> usize {
    let contender = Contender::product("WebSocket", Wire::WebSocket);
    let mut server = contender.start(bench);
    let mut load = Load::new();
    load.connect(server.port, SESSIONS, |_| {
        Script::listen(contender.wire, [0])
    });
    flat_out(&mut server, &mut load, 20, 1);
    let flat = flat_out(&mut server, &mut load, 100, 1);
    (flat.frames as f64 / flat.wall / SESSIONS as f64 / 2.0).max(1.0) as usize
}

/// Latency of each update, in µs; `None` when not all arrived.
fn measure(bench: &Bench, contender: &Contender, hz: usize) -> Option<Vec<f64>> {
    let mut server = contender.start(bench);
    let mut load = Load::new();
    load.connect(server.port, SESSIONS, |_| {
        Script::listen(contender.wire, [0])
    });
    flat_out(&mut server, &mut load, 20, 1);
    let updates = hz * bench.pick(5, 2);
    observe(&mut server, &mut load, SESSIONS, hz, updates, |_| true)
}

/// Publishes evenly, and waits until every update of a subscribed channel has arrived.
pub fn observe(
    server: &mut Server,
    load: &mut Load,
    sessions: usize,
    hz: usize,
    updates: usize,
    is_subscribed: impl Fn(usize) -> bool,
) -> Option<Vec<f64>> {
    let count = (0..updates).filter(|number| is_subscribed(*number)).count();
    load.watch(sessions, count);
    server.rate(hz, updates);
    let time = Duration::from_secs_f64(updates as f64 / hz as f64 + 2.0);
    let end = std::time::Instant::now() + time;
    let mut published = None;
    loop {
        load.read_for(Duration::from_millis(5));
        published = published.or_else(|| server.instants());
        let complete = load
            .arrivals
            .as_ref()
            .is_some_and(|arrivals| arrivals.is_complete());
        if published.is_some() && (complete || std::time::Instant::now() > end) {
            break;
        }
        assert!(
            std::time::Instant::now() < end + Duration::from_secs(20),
            "the server stopped publishing"
        );
    }
    let instants: Vec<u64> = published?
        .into_iter()
        .enumerate()
        .filter_map(|(number, instant)| is_subscribed(number).then_some(instant))
        .collect();
    load.arrivals.take()?.latencies(&instants)
}
