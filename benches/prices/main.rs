//! The performance suite of prices: venues that tell ticks at a pace, the product and its PostgreSQL, and clients.
//!
//! `cargo bench --bench prices -- [--quick] [--rounds N] [SCENARIO…]`; see docs/performance.md for what is measured. The
//! venues are this program again. Variables such as `CHAINCAST__PRICES__TICK_QUEUE` reach the product's configuration,
//! so that an option can be tried.

mod bench;
mod clients;
mod database;
mod digits;
mod figures;
mod probe;
mod product;
mod scenario;
mod stage;
mod teller;
mod template;
mod venues;

/// What the suites share; each leaves some of it unused.
#[allow(dead_code, reason = "each suite uses a part of the common code")]
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use bench::Bench;
use common::{
    arguments::Arguments, machine::Machine, postgres::Postgres, process, report, running, section,
    stats, usage,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The venues are a process of their own, so that their CPU time can be told from the client's.
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
    report::keep_machine(&Machine::read(&postgres));
    let bench = Bench {
        postgres,
        quick: arguments.quick,
        rounds: arguments.rounds,
    };
    report::measure(arguments, |name| scenario::run(name, &bench));
}
