//! One file for each scenario; each returns its table.

mod backfill;
mod catchup;
mod length;
mod live;
mod node;
mod transfers;

use crate::{bench::Bench, section::Section};

/// Runs one of [`crate::report::BACKFILL`].
pub fn run(name: &str, bench: &Bench) -> Section {
    let run = match name {
        "node" => node::run,
        "backfill" => backfill::run,
        "catchup" => catchup::run,
        "length" => length::run,
        "transfers" => transfers::run,
        "live" => live::run,
        other => panic!("{other} is no scenario of this suite"),
    };
    run(bench)
}
