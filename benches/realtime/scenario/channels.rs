//! The cost of an update when there are many other channels.

use std::time::Duration;

use serde_json::json;

use crate::{
    bench::{Bench, Contender},
    commands::Pattern,
    load::{Load, Wire},
    script::Script,
    section::Section,
    server::{Options, Server},
    stats,
};

/// Sessions on every channel.
const SUBSCRIBERS: usize = 10;
/// Updates at once, each to other sessions than the rest, so that every frame is its own write.
const BURST: usize = 100;
/// Less than `bus.capacity`.
const WAKE_BURST: usize = 1_000;

pub fn run(bench: &Bench) -> Section {
    let sessions = bench.pick(10_000, 1_000);
    let mut section = Section::new(
        "channels",
        "Cost of an update with many channels",
        "10,000 sessions share 1,000, 10,000 and 100,000 channels so that each channel has ten subscribers: a session \
         has 1, 10 or 100 subscriptions. Updates are published on all channels in turn, a hundred at once, each to \
         ten other sessions. An update costs its ten writes, independent of the number of channels.",
        &[
            "channels",
            "sessions",
            "subscriptions",
            "server CPU an update, µs",
            "÷ fewest channels",
            "server, MB",
        ],
    );
    let counts = bench.pick([1_000, 10_000, 100_000], [100, 1_000, 10_000]);
    let mut results = vec![Vec::new(); counts.len()];
    for round in 1..=bench.rounds {
        for (&channels, results) in counts.iter().zip(&mut results) {
            let (micros, megabytes) = measure(bench, sessions, channels);
            bench.print_progress(&format!(
                "round {round}, {channels} channels: {micros:.1} µs of CPU an update"
            ));
            results.push((micros, megabytes));
        }
    }
    let micros =
        |index: usize| -> Vec<f64> { results[index].iter().map(|result| result.0).collect() };
    for (index, channels) in counts.iter().enumerate() {
        let megabytes: Vec<f64> = results[index].iter().map(|result| result.1).collect();
        section.row([
            channels.to_string(),
            sessions.to_string(),
            (channels * SUBSCRIBERS).to_string(),
            format!("{:.1}", stats::median(&micros(index))),
            format!("{:.2}", stats::ratio(&micros(index), &micros(0))),
            format!("{:.0}", stats::median(&megabytes)),
        ]);
    }
    let rows = counts.iter().zip(&results);
    section.rounds = rows
        .map(|(channels, results)| json!({ "channels": channels, "micros_megabytes": results }))
        .collect();
    section
}

/// µs of server CPU for an update, and the process's memory in MB.
fn measure(bench: &Bench, sessions: usize, channels: usize) -> (f64, f64) {
    let each = channels * SUBSCRIBERS / sessions;
    let mut contender = Contender::product("WebSocket", Wire::WebSocket);
    contender.options = Options {
        tokens: channels,
        channels_in_memory: channels * 2,
        ..contender.options
    };
    let mut server = contender.start(bench);
    warm_up_channels(&mut server, channels);
    let mut load = Load::new();
    load.connect(server.port, sessions, |session| {
        let first = session * each % channels;
        Script::listen(Wire::WebSocket, first..first + each)
    });
    load.read_for(Duration::from_millis(500));
    server.pattern(Pattern {
        channels,
        stride: each,
    });
    let updates = bench.pick(10_000, 2_000);
    let frames_a_burst = (BURST * SUBSCRIBERS) as u64;
    let mut cpu = 0.0;
    for counted in [false, true] {
        load.reset();
        let before = server.cpu();
        for burst in 1..=(updates / BURST) as u64 {
            server.burst(BURST);
            load.receive(burst * frames_a_burst)
                .expect("every update arrives");
        }
        if counted {
            cpu = server.cpu() - before;
        }
    }
    assert!(
        load.closed.is_empty(),
        "no session is closed: {:?}",
        load.closed.first()
    );
    (
        cpu * 1e6 / updates as f64,
        crate::process::resident(server.pid()) as f64 / (1_024.0 * 1_024.0),
    )
}

/// One update of each channel before anyone subscribes, so that no subscription has to read the store. A session that
/// receives the last update of each burst shows that the burst was processed, as the bus holds a limited number for a
/// busy hub.
fn warm_up_channels(server: &mut Server, channels: usize) {
    let burst = channels.min(WAKE_BURST);
    let mut probe = Load::new();
    probe.connect(server.port, 1, |_| {
        Script::listen(Wire::WebSocket, (burst - 1..channels).step_by(burst))
    });
    probe.read_idle_for(Duration::from_millis(100));
    probe.reset();
    server.pattern(Pattern {
        channels,
        stride: 1,
    });
    for number in 1..=(channels / burst) as u64 {
        server.burst(burst);
        probe.receive(number).expect("every burst is processed");
    }
}
