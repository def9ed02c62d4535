//! One file a scenario; each returns its table.

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

pub type Scenario = (&'static str, fn(&Bench) -> Section);

/// In the order of the report.
pub const ALL: &[Scenario] = &[
    ("fanout", fanout::run),
    ("writers", writers::run),
    ("offered", offered::run),
    ("latency", latency::run),
    ("memory", memory::run),
    ("storms", storms::run),
    ("channels", channels::run),
    ("slow", slow::run),
    ("whole", whole::run),
];
