//! Transfers only, by `eth_getLogs`.

use serde::Serialize;
use serde_json::{Value, json};

use super::backfill::median_of;
use crate::{
    bench::Bench,
    floor::Rows,
    node::TRANSACTIONS,
    ponder,
    product::{self, LoadMode, Setting},
    section::Section,
};

/// Transfers a second of rindexer 0.41 at its best, as its documentation states.
const RINDEXER: f64 = 120_000.0;
/// Ponder gets fewer blocks, as it takes long.
const PONDER_BLOCKS: u64 = 2_000;

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "transfers",
        "Transfers only",
        "`chaincast backfill` of a chain with `index = \"transfers\"`: no blocks and receipts, only headers and the \
         transfers in the answers of `eth_getLogs`. The floor is binary COPY of the same rows into the same tables, \
         with the indexes that were there during the load. Ponder runs in its default configuration but without a \
         limit of requests a second: it fetches logs and the blocks that have some, and passes each event to a \
         function that inserts a row. It is timed from the start of its history, once, over fewer blocks. rindexer's \
         figure is quoted, from a run on this machine. Aim: ≥ 4 × rindexer.",
        &[
            "what",
            "transfers a second",
            "chaincast ÷ it",
            "CPU ms a thousand: node / chaincast / PostgreSQL",
            "peak MB",
        ],
    );
    let measured = chaincast(bench, &mut section);
    let own = measured
        .as_ref()
        .map(|rounds| median_of(rounds, |round| round.rate));
    let times = |rate: f64| own.map_or("–".to_owned(), |own| format!("{:.2}", own / rate));
    if let (Some(own), Some(rounds)) = (own, &measured) {
        let floor = median_of(rounds, |round| round.floor);
        section.row([
            "floor: binary COPY by psql".to_owned(),
            format!("{:.0} k", floor / 1e3),
            times(floor),
            format!("– / – / {:.1}", median_of(rounds, |round| round.floor_cpu)),
            "–".to_owned(),
        ]);
        let cpu = |index: usize| median_of(rounds, |round| round.cpu[index]);
        section.row([
            "chaincast".to_owned(),
            format!("{:.0} k", own / 1e3),
            "1.00".to_owned(),
            format!("{:.1} / {:.1} / {:.1}", cpu(0), cpu(1), cpu(2)),
            format!("{:.0}", median_of(rounds, |round| round.peak_mb)),
        ]);
    }
    section.row([
        "rindexer 0.41, quoted".to_owned(),
        format!("{:.0} k", RINDEXER / 1e3),
        times(RINDEXER),
        "–".to_owned(),
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
            "–".to_owned(),
            format!("{:.0}", load.peak_mb),
        ]);
        peer =
            json!({ "blocks": blocks, "rate": load.transfers_a_second, "peak_mb": load.peak_mb });
    } else {
        section
            .notes
            .push("Ponder is not installed; scripts/setup bench installs it.".to_owned());
    }
    section.rounds = json!({ "chaincast": measured, "ponder": peer });
    section
}

/// The measurements of one round.
#[derive(Debug, Serialize)]
struct Round {
    /// Transfers a second.
    rate: f64,
    floor: f64,
    /// CPU time of node, product and PostgreSQL, in ms for a thousand transfers.
    cpu: [f64; 3],
    floor_cpu: f64,
    peak_mb: f64,
}

/// `None` when this product has no such mode.
fn chaincast(bench: &Bench, section: &mut Section) -> Option<Vec<Round>> {
    let blocks = bench.blocks();
    let node = bench.node(blocks);
    let transfers = blocks as f64 * TRANSACTIONS as f64;
    let setting = Setting {
        mode: LoadMode::Backfill,
        proof: true,
        more: "index = \"transfers\"",
    };
    let load = || -> Result<product::Load<'_>, String> {
        let load = product::load(bench, &node, blocks, setting)?;
        assert_eq!(load.rows[3] as f64, transfers, "every transfer is stored");
        Ok(load)
    };
    let rows = match Rows::export_first(bench, load()) {
        Ok(rows) => rows,
        Err(reason) => {
            section.notes.push(format!("Not available: {reason}."));
            return None;
        }
    };
    let mut rounds = Vec::new();
    for round in 1..=bench.rounds {
        let floor = rows.load(bench);
        let load = load().expect("it was available");
        let usage = load.usage;
        let done = Round {
            rate: transfers / load.seconds,
            floor: transfers / floor.seconds,
            cpu: [usage.node, usage.product, usage.postgres]
                .map(|seconds| seconds * 1e6 / transfers),
            floor_cpu: floor.postgres * 1e6 / transfers,
            peak_mb: load.peak as f64 / 1e6,
        };
        load.database.remove();
        bench.print_progress(&format!(
            "round {round}: floor {:.0} k, chaincast {:.0} k transfers/s",
            done.floor / 1e3,
            done.rate / 1e3
        ));
        rounds.push(done);
    }
    Some(rounds)
}
