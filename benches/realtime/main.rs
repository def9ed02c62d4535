//! The performance suite of the realtime gateway: floors, peers and the product side by side.
//!
//! `cargo bench --bench realtime -- [--quick] [--rounds N] [SCENARIO…]`; see docs/performance.md for what is measured.
//! The servers that are measured are this program again, or the peers under `benches/peers`.

mod arrivals;
mod bench;
mod commands;
mod connection;
mod floor;
mod load;
mod machine;
mod message;
mod postgres;
mod process;
mod product;
mod report;
mod scenario;
mod script;
mod section;
mod server;
mod stats;

use bench::Bench;
use machine::Machine;
use postgres::Postgres;
use server::Who;

const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(server::SERVE_FLOOR) => return floor::serve(),
        Some(server::SERVE_PRODUCT) => {
            let tokens = arguments[2].parse().expect("a number of tokens");
            return product::serve(&arguments[1], tokens);
        }
        _ => {}
    }
    let mut quick = false;
    let mut rounds = None;
    let mut wanted = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--rounds" => rounds = rest.next().and_then(|number| number.parse().ok()),
            // cargo says it to every bench.
            "--bench" => {}
            name if scenario::ALL.iter().any(|(known, _)| *known == name) => wanted.push(name),
            other => {
                let known: Vec<&str> = scenario::ALL.iter().map(|(name, _)| *name).collect();
                eprintln!(
                    "{other}: choose from --quick, --rounds N, {}",
                    known.join(", ")
                );
                std::process::exit(2);
            }
        }
    }
    process::raise_file_limit();
    let postgres = Postgres::start();
    process::pin(process::CLIENT_CORE);
    let (peers, missing): (Vec<_>, Vec<_>) =
        Who::PEERS.into_iter().partition(|who| who.is_installed());
    for who in missing {
        eprintln!(
            "MISSING: {} is not installed and will not be measured; run scripts/setup bench",
            who.name()
        );
    }
    let rounds = rounds.unwrap_or(if quick { 1 } else { ROUNDS });
    let bench = Bench {
        postgres,
        quick,
        rounds,
        peers,
    };
    report::keep_machine(&Machine::read());
    for (name, run) in scenario::ALL {
        if wanted.is_empty() || wanted.contains(name) {
            println!("{name}");
            report::keep(run(&bench), quick);
        }
    }
    report::write_document();
}
