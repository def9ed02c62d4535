//! The whole product: commits in PostgreSQL on one side, `chaincast serve --role gateway` on the other.

use std::{process::Command, time::Duration};

use chaincast_protocol::{
    Channel, Event, JsonNumber, NewUpdate, PriceStatus, PriceUpdate, USD, now_ms,
};
use chaincast_store::updates;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::{
    bench::{Bench, Contender},
    load::{Load, Wire},
    message, process,
    script::Script,
    section::Section,
    server::{Options, Server, ServerKind},
    stats,
};

const SESSIONS: usize = 1_000;
/// How often the gateway polls the store, and so how long an update may wait for it.
const POLL_MS: u64 = 20;

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "whole",
        "The whole product, commits included",
        "`chaincast serve --role gateway` as shipped, with PostgreSQL between it and the writer. Each update is \
         committed once the previous one has reached all of 1,000 sessions; the gateway reads it by polling the store \
         every 20 ms, as it does without Redis. Figures are frames per second of the gateway's CPU, polling included; \
         the floor sends at that rate (an update every 25 ms).",
        &[
            "server",
            "frames per CPU-second",
            "÷ floor",
            "commit → last of 1,000, p50 ms",
        ],
    );
    let mut results = [Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=bench.rounds {
        for (results, wire) in results
            .iter_mut()
            .zip([Wire::Raw, Wire::WebSocket, Wire::SocketIo])
        {
            let (rate, p50) = match wire {
                Wire::Raw => floor(bench),
                wire => whole(bench, wire),
            };
            bench.print_progress(&format!(
                "round {round}, {wire:?}: {rate:.0} frames per CPU-second"
            ));
            results.push((rate, p50));
        }
    }
    let rates =
        |index: usize| -> Vec<f64> { results[index].iter().map(|result| result.0).collect() };
    let labels = [
        ServerKind::Floor.name(),
        "chaincast serve, WebSocket",
        "chaincast serve, Socket.IO",
    ];
    for (index, label) in labels.iter().enumerate() {
        let p50: Vec<f64> = results[index].iter().map(|result| result.1).collect();
        section.row([
            (*label).to_owned(),
            format!("{:.0} k", stats::median(&rates(index)) / 1e3),
            format!("{:.2}", stats::ratio(&rates(index), &rates(0))),
            format!("{:.1}", stats::median(&p50)),
        ]);
    }
    section.rounds = json!({ "servers": labels, "frames_per_cpu_second_and_p50_ms": results });
    section
}

fn updates_a_run(bench: &Bench) -> usize {
    bench.pick(150, 40)
}

/// Frames per CPU-second, and the median latency in ms.
fn floor(bench: &Bench) -> (f64, f64) {
    let mut server = Contender::new(ServerKind::Floor).start(bench);
    let mut load = Load::new();
    load.connect(server.port, SESSIONS, |_| Script::listen(Wire::Raw, [0]));
    let mut times = Vec::new();
    let measured = counted(&server.pid(), bench, |number| {
        let start = process::now_ns();
        server.burst(1);
        load.receive((number * SESSIONS) as u64)
            .expect("every update arrives");
        times.push((process::now_ns() - start) as f64 / 1e6);
        load.read_for(Duration::from_millis(25));
    });
    (measured, stats::median(&times))
}

fn whole(bench: &Bench, wire: Wire) -> (f64, f64) {
    let database = bench.postgres.database();
    let more = format!(
        "[bus]\npoll_interval_ms = {POLL_MS}\n[[prices.tokens]]\nsymbol = {:?}\n",
        message::token(0)
    );
    let config = bench
        .postgres
        .write_config(&database, Options::default(), &more);
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaincast"));
    command
        .args(["serve", "--role", "gateway", "--config"])
        .arg(config);
    let server = Server::spawn(command, |line| {
        line.strip_prefix("chaincast is ready on ")?
            .rsplit(':')
            .next()?
            .parse()
            .ok()
    });
    let mut load = Load::new();
    load.connect(server.port, SESSIONS, |_| Script::listen(wire, [0]));
    load.read_for(Duration::from_millis(200));
    load.reset();
    let runtime = &bench.postgres.runtime;
    let mut connection = runtime
        .block_on(PgConnection::connect(&database))
        .expect("the database is there");
    let mut times = Vec::new();
    let measured = counted(&server.pid(), bench, |number| {
        runtime
            .block_on(commit(&mut connection))
            .expect("an update can be stored");
        let start = process::now_ns();
        load.receive((number * SESSIONS) as u64)
            .expect("every update arrives");
        times.push((process::now_ns() - start) as f64 / 1e6);
    });
    assert!(
        load.closed.is_empty(),
        "no session is closed: {:?}",
        load.closed.first()
    );
    (measured, stats::median(&times))
}

fn counted(pid: &u32, bench: &Bench, mut update: impl FnMut(usize)) -> f64 {
    let cpu = process::cpu_seconds(*pid);
    let updates = updates_a_run(bench);
    for number in 1..=updates {
        update(number);
    }
    (updates * SESSIONS) as f64 / (process::cpu_seconds(*pid) - cpu)
}

async fn commit(database: &mut PgConnection) -> Result<(), Box<dyn std::error::Error>> {
    let token: chaincast_protocol::Token = message::token(0).parse()?;
    let price = PriceUpdate {
        token: token.clone(),
        price: JsonNumber("3456.120000000000000001".parse()?),
        timestamp: now_ms(),
        quote: USD.into(),
        confidence: JsonNumber("0.42".parse()?),
        sources: vec!["chainlink".into(), "uniswap-v2".into()],
        age_ms: 120,
        status: PriceStatus::Ok,
        reason: None,
        details: Vec::new(),
    };
    let mut transaction = database.begin().await?;
    let update = NewUpdate {
        channel: Channel::Price(token),
        event: Event::PriceUpdate(price),
    };
    updates::append(&mut transaction, vec![update]).await?;
    transaction.commit().await?;
    Ok(())
}
