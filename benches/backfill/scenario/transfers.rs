//! Transfers alone, by `eth_getLogs`.

use serde_json::json;

use super::backfill::median_of;
use crate::{
    bench::Bench,
    node::TRANSACTIONS,
    product::{self, How, Setting},
    section::Section,
};

/// Transfers a second of rindexer 0.41 and Ponder 1.0.0, as the document says.
const RINDEXER: f64 = 120_000.0;
const PONDER: f64 = 8_100.0;

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "transfers",
        "Transfers alone",
        "`chaincast backfill` of a chain with `index = \"transfers\"`: no blocks and receipts, only what `eth_getLogs` says of \
         transfers. Ratios are to what rindexer 0.41 (120 k a second at best) and Ponder 1.0.0 (8.1 k) wrote on a machine of this \
         kind. Aim: ≥ 4 × rindexer.",
        &["transfers a second", "÷ rindexer", "÷ Ponder", "peak MB"],
    );
    let blocks = bench.blocks();
    let node = bench.node(blocks);
    let setting = Setting {
        how: How::Backfill,
        proof: true,
        more: "index = \"transfers\"",
    };
    let mut rounds = Vec::new();
    for round in 1..=bench.rounds {
        let load = match product::load(bench, &node, blocks, setting) {
            Ok(load) => load,
            Err(reason) => {
                section.notes.push(format!("Not available: {reason}."));
                return section;
            }
        };
        let transfers = load.rows[3];
        assert_eq!(
            transfers,
            (blocks * TRANSACTIONS as u64) as i64,
            "every transfer is there"
        );
        let rate = transfers as f64 / load.seconds;
        bench.say(&format!("round {round}: {:.0} k transfers/s", rate / 1e3));
        rounds.push((rate, load.peak as f64 / 1e6));
        load.database.remove();
    }
    let rate = median_of(&rounds, |round| round.0);
    section.row([
        format!("{:.0} k", rate / 1e3),
        format!("{:.1}", rate / RINDEXER),
        format!("{:.0}", rate / PONDER),
        format!("{:.0}", median_of(&rounds, |round| round.1)),
    ]);
    section.rounds = json!({ "blocks": blocks, "rate_and_peak_mb": rounds });
    section
}
