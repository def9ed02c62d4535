//! One file for each scenario; each returns its table.

mod channels;
mod fanout;
mod latency;
mod memory;
mod offered;
mod slow;
mod storms;
mod whole;
mod writers;

use crate::{bench::Bench, section::Section};

/// Runs one of [`crate::report::REALTIME`].
pub fn run(name: &str, bench: &Bench) -> Section {
    let run = match name {
        "fanout" => fanout::run,
        "writers" => writers::run,
        "offered" => offered::run,
        "latency" => latency::run,
        "memory" => memory::run,
        "storms" => storms::run,
        "channels" => channels::run,
        "slow" => slow::run,
        "whole" => whole::run,
        other => panic!("{other} is no scenario of this suite"),
    };
    run(bench)
}
