//! The memory of an idle session.

use std::time::Duration;

use serde_json::json;

use crate::{
    bench::{Bench, Contender},
    load::{Load, Wire},
    process,
    script::Script,
    section::Section,
    server::ServerKind,
    stats,
};

/// Longer than the servers' ping interval of 10 s.
const PING_WAIT: Duration = Duration::from_secs(11);
/// One server in one round: KB for a session, the same after a ping, and MB of the process before.
struct Measured {
    kb: f64,
    pinged: Option<f64>,
    before: f64,
}

const SETTLE: Duration = Duration::from_secs(2);

pub fn run(bench: &Bench) -> Section {
    let sessions = bench.pick(10_000, 2_000);
    let mut section = Section::new(
        "memory",
        "Idle sessions",
        "Growth of the server's resident memory while 10,000 sessions connect and subscribe to one channel, per \
         session: two seconds after the last one, and for chaincast again after all were pinged. Aim: ≤ 4 KB a \
         session, any transport.",
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
    let mut results: Vec<Vec<Measured>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=bench.rounds {
        for (contender, results) in contenders.iter().zip(&mut results) {
            // The wait is long: once, and for the product only.
            let ping = round == 1 && !bench.quick && contender.kind == ServerKind::Product;
            let measured = measure(bench, contender, sessions, ping);
            bench.print_progress(&format!(
                "round {round}, {}: {:.2} KB a session",
                contender.label, measured.kb
            ));
            results.push(measured);
        }
    }
    for (contender, results) in contenders.iter().zip(&results) {
        let middle = |pick: fn(&Measured) -> Option<f64>| {
            stats::median(&results.iter().filter_map(pick).collect::<Vec<_>>())
        };
        let pinged = middle(|result| result.pinged);
        section.row([
            contender.label.clone(),
            sessions.to_string(),
            format!("{:.1}", middle(|result| Some(result.kb))),
            if pinged.is_nan() {
                "–".to_owned()
            } else {
                format!("{pinged:.1}")
            },
            format!("{:.0}", middle(|result| Some(result.before))),
        ]);
    }
    let rows = contenders.iter().zip(&results).map(|(contender, results)| {
        let rounds: Vec<_> = results
            .iter()
            .map(|Measured { kb, pinged, before }| json!({ "kb": kb, "kb_after_a_ping": pinged, "mb_before": before }))
            .collect();
        json!({ "server": contender.label, "rounds": rounds })
    });
    section.rounds = rows.collect();
    section
}

fn measure(bench: &Bench, contender: &Contender, sessions: usize, ping: bool) -> Measured {
    let server = contender.start(bench);
    // A few sessions first, so that the costs of the first one are not divided among all.
    let mut first = Load::new();
    first.connect(server.port, 100, |_| script(contender));
    first.read_idle_for(Duration::from_millis(200));
    let before = process::resident(server.pid());
    let mut load = Load::new();
    load.connect(server.port, sessions, |_| script(contender));
    let each = |load: &mut Load, wait| {
        load.read_idle_for(wait);
        assert!(
            load.closed.is_empty() || contender.kind != ServerKind::Product,
            "no session is closed"
        );
        (process::resident(server.pid()) as f64 - before as f64) / sessions as f64 / 1_024.0
    };
    let soon = each(&mut load, SETTLE);
    let pinged = ping.then(|| each(&mut load, PING_WAIT));
    Measured {
        kb: soon,
        pinged,
        before: before as f64 / (1_024.0 * 1_024.0),
    }
}

fn script(contender: &Contender) -> Script {
    match contender.wire {
        // Subscribed by its URL.
        Wire::Sse => Script::open(Wire::Sse),
        wire => Script::listen(wire, [0]),
    }
}
