//! The performance suite of the realtime gateway: floors, peers and the product side by side.
//!
//! `cargo bench --bench realtime -- [--quick] [--rounds N] [SCENARIO…]`; see docs/performance.md for what is measured.
//! The servers that are measured are this program again, or the peers under `benches/peers`. Variables such as
//! `CHAINCAST__GATEWAY__LINGER_MS` reach the product's configuration, so that an option can be tried.

mod arguments;
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

use std::process::ExitCode;

use arguments::Arguments;
use bench::Bench;
use machine::Machine;
use postgres::Postgres;
use server::Who;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The servers that are measured are processes of their own, so that their CPU time can be told from the client's.
    match arguments.first().map(String::as_str) {
        Some(server::SERVE_FLOOR) => floor::serve(),
        Some(server::SERVE_PRODUCT) => {
            let tokens = arguments[2].parse().expect("a number of tokens");
            product::serve(&arguments[1], tokens);
        }
        _ => match Arguments::parse(&arguments) {
            Ok(arguments) => measure(&arguments),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
}

fn measure(arguments: &Arguments) {
    process::raise_file_limit();
    // Before pinning: PostgreSQL stays off nobody's core in particular.
    let postgres = Postgres::start();
    process::pin(process::CLIENT_CORE);
    let (peers, missing): (Vec<_>, Vec<_>) =
        Who::PEERS.into_iter().partition(|who| who.is_installed());
    for who in missing {
        eprintln!(
            "MISSING: {} is not installed and is not measured; run scripts/setup bench",
            who.name()
        );
    }
    let bench = Bench {
        postgres,
        quick: arguments.quick,
        rounds: arguments.rounds,
        peers,
    };
    report::keep_machine(&Machine::read());
    for (name, run) in arguments.scenarios() {
        println!("{name}");
        report::keep(run(&bench), bench.quick);
    }
    // A short run is to see that everything works; its figures are not for the document.
    if !bench.quick {
        report::write_document();
    }
}
