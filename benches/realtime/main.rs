//! The performance suite of the realtime gateway: floors, peers and the product side by side.
//!
//! `cargo bench --bench realtime -- [--quick] [--rounds N] [SCENARIO…]`; docs/performance.md describes the
//! measurements. The measured servers are this program, started again, or the peers under `benches/peers`. Variables
//! such as `CHAINCAST__GATEWAY__LINGER_MS` override the product's configuration, to try an option.

mod arrivals;
mod bench;
mod commands;
mod config;
mod connection;
mod floor;
mod load;
mod message;
mod peers;
mod product;
mod scenario;
mod script;
mod server;

/// Code that the suites share; each leaves some of it unused.
#[allow(dead_code, reason = "each suite uses a part of the common code")]
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use bench::Bench;
use common::{
    arguments::Arguments,
    child_process,
    machine::{self, Machine},
    postgres::{self, Postgres},
    process, report, section, stats,
};
use server::ServerKind;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The measured servers are separate processes, so that their CPU time is separate from the client's.
    match arguments.first().map(String::as_str) {
        Some(server::SERVE_FLOOR) => floor::serve(),
        Some(server::SERVE_PRODUCT) => {
            let tokens = arguments[2].parse().expect("a number of tokens");
            product::serve(&arguments[1], tokens);
        }
        _ => match Arguments::parse(&arguments, report::REALTIME.scenarios) {
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
    if arguments.scenarios().next().is_none() {
        return;
    }
    process::raise_file_limit();
    // Before pinning: PostgreSQL is not pinned to a core.
    let postgres = Postgres::start();
    process::pin(process::CLIENT_CORE);
    let (peers, missing): (Vec<_>, Vec<_>) = ServerKind::PEERS
        .into_iter()
        .partition(|kind| kind.is_installed());
    for kind in missing {
        eprintln!(
            "MISSING: {} is not installed and is not measured; run scripts/setup bench",
            kind.name()
        );
    }
    let bench = Bench {
        postgres,
        quick: arguments.quick,
        rounds: arguments.rounds,
        peers,
    };
    report::save_machine(&Machine::read(&bench.postgres));
    report::save_peers(&peers::versions());
    report::measure(arguments, |name| scenario::run(name, &bench));
}
