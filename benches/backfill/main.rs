//! The performance suite of the indexer: the node, binary COPY and the product side by side.
//!
//! `cargo bench --bench backfill -- [--quick] [--rounds N] [SCENARIO…]`; docs/performance.md describes the
//! measurements. The node is this program, started again. Variables such as `CHAINCAST__CHAINS__0__CONCURRENCY`
//! override the product's configuration, to try an option.

mod bench;
mod catalog;
mod floor;
mod node;
mod ponder;
mod product;
mod reader;
mod scenario;

/// Code that the suites share; each leaves some of it unused.
#[allow(dead_code, reason = "each suite uses a part of the common code")]
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use bench::Bench;
use common::{
    arguments::Arguments,
    child_process,
    machine::Machine,
    postgres::{self, Postgres},
    process, report, section, stats, usage,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The node is a separate process, so that its CPU time is separate from the client's.
    if arguments.first().is_some_and(|first| first == node::SERVE) {
        node::serve(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    match Arguments::parse(&arguments, report::BACKFILL.scenarios) {
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
    let postgres = Postgres::start();
    report::save_machine(&Machine::read(&postgres));
    let bench = Bench::new(postgres, arguments.quick, arguments.rounds);
    report::measure(arguments, |name| scenario::run(name, &bench));
}
