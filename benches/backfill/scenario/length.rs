//! Peak memory by the length of a backfill.

use serde_json::json;

use super::backfill::Figures;
use crate::{
    bench::Bench,
    product::{self, LoadMode, Setting},
    section::Section,
};

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "length",
        "Memory by length",
        "Peak resident memory (`VmHWM`) of `chaincast backfill` with proof, for increasing numbers of blocks. Aim: ≤ \
         200 MB at any length.",
        &["blocks", "peak MB", "blocks a second", "rows a second"],
    );
    let longest = bench.pick(15_000, 1_000);
    let lengths = [longest / 10, longest / 3, longest];
    let node = bench.node(longest);
    let setting = Setting {
        mode: LoadMode::Backfill,
        proof: true,
        more: "",
    };
    let mut kept = Vec::new();
    for blocks in lengths {
        let load = match product::load(bench, &node, blocks, setting) {
            Ok(load) => load,
            Err(reason) => {
                section.notes.push(format!("Not available: {reason}."));
                break;
            }
        };
        let figures = Figures::of(&load, blocks);
        load.database.remove();
        bench.print_progress(&format!("{blocks} blocks: {:.0} MB", figures.peak_mb));
        section.row([
            blocks.to_string(),
            format!("{:.0}", figures.peak_mb),
            format!("{:.0}", figures.blocks_a_second),
            format!("{:.0} k", figures.rows_a_second / 1e3),
        ]);
        kept.push(figures.json());
    }
    section.rounds = json!({ "blocks": lengths, "loads": kept });
    section
}
