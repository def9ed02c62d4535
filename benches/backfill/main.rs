//! The performance suite of the indexer: the node, binary COPY and the product side by side.
//!
//! `cargo bench --bench backfill -- [--quick] [--rounds N] [SCENARIO…]`; see docs/performance.md for what is measured.
//! The node is this program again. Variables such as `CHAINCAST__CHAINS__0__CONCURRENCY` reach the product's
//! configuration, so that an option can be tried.

mod bench;
mod catalog;
mod floor;
mod node;
mod ponder;
mod product;
mod reader;
mod scenario;

/// What the suites share; each leaves some of it unused.
#[allow(dead_code, reason = "each suite uses a part of the common code")]
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use bench::Bench;
use common::{
    arguments::Arguments,
    machine::Machine,
    postgres::{self, Postgres},
    process, report, running, section, stats, usage,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The node is a process of its own, so that its CPU time can be told from the client's.
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
    report::keep_machine(&Machine::read(&postgres));
    let bench = Bench::new(postgres, arguments.quick, arguments.rounds);
    report::measure(arguments, |name| scenario::run(name, &bench));
}
