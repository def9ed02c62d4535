//! Transfers alone, by `eth_getLogs`.

use serde_json::{Value, json};

use super::backfill::median_of;
use crate::{
    bench::Bench,
    node::TRANSACTIONS,
    ponder,
    product::{self, How, Setting},
    section::Section,
};

/// Transfers a second of rindexer 0.41 at its best, as the document says.
const RINDEXER: f64 = 120_000.0;
/// Ponder is given fewer blocks: it takes long.
const PONDER_BLOCKS: u64 = 2_000;

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "transfers",
        "Transfers alone",
        "`chaincast backfill` of a chain with `index = \"transfers\"`: no blocks and receipts, only what `eth_getLogs` says of \
         transfers. Ponder, in its default configuration but without a limit of requests a second, fetches logs and the blocks that \
         have some, and gives each event to a function that inserts a row; it is timed from where it begins with its history, \
         once, over fewer blocks. rindexer's figure is quoted. Aim: ≥ 4 × rindexer.",
        &["what", "transfers a second", "chaincast ÷ it", "peak MB"],
    );
    let measured = chaincast(bench, &mut section);
    let own = measured
        .as_ref()
        .map(|rounds| median_of(rounds, |round| round.0));
    let times = |rate: f64| own.map_or("–".to_owned(), |own| format!("{:.1}", own / rate));
    if let (Some(own), Some(rounds)) = (own, &measured) {
        section.row([
            "chaincast".to_owned(),
            format!("{:.0} k", own / 1e3),
            "1.0".to_owned(),
            format!("{:.0}", median_of(rounds, |round| round.1)),
        ]);
    }
    section.row([
        "rindexer 0.41, quoted".to_owned(),
        format!("{:.0} k", RINDEXER / 1e3),
        times(RINDEXER),
        "90".to_owned(),
    ]);
    let mut peer = Value::Null;
    if ponder::is_installed() {
        let blocks = bench.pick(PONDER_BLOCKS, 500);
        let load = ponder::load(bench, &bench.node(blocks), blocks);
        section.row([
            ponder::name(),
            format!("{:.1} k", load.transfers_a_second / 1e3),
            times(load.transfers_a_second),
            format!("{:.0}", load.peak_mb),
        ]);
        peer =
            json!({ "blocks": blocks, "rate": load.transfers_a_second, "peak_mb": load.peak_mb });
    } else {
        section
            .notes
            .push("Ponder is not installed; scripts/setup bench installs it.".to_owned());
    }
    section.rounds = json!({ "rate_and_peak_mb": measured, "ponder": peer });
    section
}

/// Transfers a second and peak memory in MB, by round; `None` when this product has no such mode.
fn chaincast(bench: &Bench, section: &mut Section) -> Option<Vec<(f64, f64)>> {
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
                return None;
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
    Some(rounds)
}
