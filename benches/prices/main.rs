//! The performance suite of prices: venues that send ticks at a given rate, the product and its PostgreSQL, and
//! clients.
//!
//! `cargo bench --bench prices -- [--quick] [--rounds N] [SCENARIO…]`; docs/performance.md describes the measurements.
//! The venues are this program, started again. Variables such as `CHAINCAST__PRICES__TICK_QUEUE` override the product's
//! configuration, to try an option.

mod bench;
mod clients;
mod database;
mod figures;
mod probe;
mod product;
mod scenario;
mod setup;
mod template;
mod tick_sender;
mod timestamped_price;
mod venues;

/// Code that the suites share; each leaves some of it unused.
#[allow(dead_code, reason = "each suite uses a part of the common code")]
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use bench::Bench;
use common::{
    arguments::Arguments, child_process, machine::Machine, postgres::Postgres, process, report,
    section, stats, usage,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The venues are a separate process, so that their CPU time is separate from the client's.
    if arguments
        .first()
        .is_some_and(|first| first == venues::SERVE)
    {
        venues::serve();
        return ExitCode::SUCCESS;
    }
    match Arguments::parse(&arguments, report::PRICES.scenarios) {
        Ok(arguments) => measure(&arguments),
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn measure(arguments: &Arguments) {
    if arguments.scenarios().next().is_none() {
        return;
    }
    process::raise_file_limit();
    let postgres = Postgres::start();
    report::save_machine(&Machine::read(&postgres));
    let bench = Bench {
        postgres,
        quick: arguments.quick,
        rounds: arguments.rounds,
    };
    report::measure(arguments, |name| scenario::run(name, &bench));
}
