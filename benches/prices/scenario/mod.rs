//! One file for each scenario; each returns its table.

mod locked;
mod ticks;

use crate::{bench::Bench, section::Section};

/// Runs one of [`crate::report::PRICES`].
pub fn run(name: &str, bench: &Bench) -> Section {
    let run = match name {
        "ticks" => ticks::run,
        "locked" => locked::run,
        other => panic!("{other} is no scenario of this suite"),
    };
    run(bench)
}
