//! What an idle session costs in memory.

use std::time::Duration;

use serde_json::json;

use crate::{
    bench::{Bench, Contender},
    load::{Load, Wire},
    process,
    script::Script,
    section::Section,
    server::Who,
    stats,
};

/// Longer than the servers' ping interval of 10 s.
const A_PING: Duration = Duration::from_secs(11);
const SETTLE: Duration = Duration::from_secs(2);

pub fn run(bench: &Bench) -> Section {
    let sessions = bench.pick(10_000, 2_000);
    let mut section = Section::new(
        "memory",
        "Idle sessions",
        "Resident memory of the server process before and after 10,000 sessions connected and subscribed to one \
         channel, divided by the sessions: two seconds after the last of them, and once more after all were pinged. \
         Aim: ≤ 4 KB a session, any transport.",
        &[
            "server",
            "sessions",
            "KB a session",
            "after a ping",
            "process before, MB",
        ],
    );
    let mut contenders = vec![
        Contender::product("WebSocket", Wire::WebSocket),
        Contender::product("Socket.IO", Wire::SocketIo),
        Contender::product("server-sent events", Wire::Sse),
    ];
    contenders.extend(bench.peers());
    let mut results = vec![Vec::new(); contenders.len()];
    for round in 1..=bench.rounds {
        for (contender, results) in contenders.iter().zip(&mut results) {
            let measured = measure(bench, contender, sessions, round == 1 && !bench.quick);
            bench.say(&format!(
                "round {round}, {}: {:.2} KB a session",
                contender.label, measured.0
            ));
            results.push(measured);
        }
    }
    for (contender, results) in contenders.iter().zip(&results) {
        let middle = |pick: fn(&(f64, Option<f64>, f64)) -> Option<f64>| {
            stats::median(&results.iter().filter_map(pick).collect::<Vec<_>>())
        };
        let pinged = middle(|result| result.1);
        section.row([
            contender.label.clone(),
            sessions.to_string(),
            format!("{:.1}", middle(|result| Some(result.0))),
            if pinged.is_nan() {
                "–".to_owned()
            } else {
                format!("{pinged:.1}")
            },
            format!("{:.0}", middle(|result| Some(result.2))),
        ]);
    }
    let rows = contenders.iter().zip(&results).map(|(contender, results)| {
        let rounds: Vec<_> = results
            .iter()
            .map(|(kb, pinged, before)| json!({ "kb": kb, "kb_after_a_ping": pinged, "mb_before": before }))
            .collect();
        json!({ "server": contender.label, "rounds": rounds })
    });
    section.rounds = rows.collect();
    section
}

/// KB a session soon, KB a session after a ping, and MB of the process before.
fn measure(
    bench: &Bench,
    contender: &Contender,
    sessions: usize,
    ping: bool,
) -> (f64, Option<f64>, f64) {
    let server = contender.start(bench);
    // A few sessions first, so that what the first one needs is not divided among all.
    let mut first = Load::new();
    first.connect(server.port, 100, |_| script(contender));
    first.rest_for(Duration::from_millis(200));
    let before = process::resident(server.pid());
    let mut load = Load::new();
    load.connect(server.port, sessions, |_| script(contender));
    let each = |load: &mut Load, wait| {
        load.rest_for(wait);
        assert!(
            load.closed.is_empty() || contender.who != Who::Product,
            "no session is closed"
        );
        (process::resident(server.pid()) as f64 - before as f64) / sessions as f64 / 1_024.0
    };
    let soon = each(&mut load, SETTLE);
    let pinged = ping.then(|| each(&mut load, A_PING));
    (soon, pinged, before as f64 / (1_024.0 * 1_024.0))
}

fn script(contender: &Contender) -> Script {
    match contender.wire {
        // Subscribed by its URL.
        Wire::Sse => Script::open(Wire::Sse),
        wire => Script::listen(wire, [0]),
    }
}
