//! `chaincast backfill` compared with binary COPY of the same rows.

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    floor::{FloorLoad, Rows},
    node::TRANSACTIONS,
    product::{self, Load, LoadMode, Setting},
    section::Section,
    stats,
};

pub const COLUMNS: &[&str] = &[
    "what",
    "blocks a second",
    "rows a second",
    "÷ floor",
    "÷ floor, indexes built",
    "CPU ms a block: node / chaincast / PostgreSQL",
    "PostgreSQL busy",
    "peak MB",
];

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "backfill",
        "Backfill of whole blocks",
        "`chaincast backfill --from 0` into an empty database with every check on (the default) and off. *÷ floor* \
         compares the time until the last row is committed. *Indexes built* compares the time until the process has \
         ended with every index built; the floor's time then includes building the same indexes afterwards. \
         *PostgreSQL busy* is the share of the load in which PostgreSQL worked instead of waiting for chaincast. \
         Aims: ≥ 0.75 × the floor with proof off, ≥ 0.5 × with proof on, above 120 k rows a second, ≤ 200 MB.",
        COLUMNS,
    );
    section.rounds = compare(bench, &mut section, LoadMode::Backfill);
    section
}

/// Runs floor and product alternately, and fills the table.
pub fn compare(bench: &Bench, section: &mut Section, mode: LoadMode) -> Value {
    let blocks = bench.blocks();
    let node = bench.node(blocks);
    let setting = |proof: bool| Setting {
        mode,
        proof,
        more: "",
    };
    let load = |proof: bool| -> Result<Load<'_>, String> {
        let load = product::load(bench, &node, blocks, setting(proof))?;
        let expected = product::expected_rows(blocks, TRANSACTIONS as u64);
        assert_eq!(load.rows, expected, "every row is stored");
        Ok(load)
    };
    let rows = match Rows::export_first(bench, load(true)) {
        Ok(rows) => rows,
        Err(reason) => {
            section.notes.push(format!("Not available: {reason}."));
            return json!({ "not_available": reason });
        }
    };
    let mut floors = Vec::new();
    let mut loads = [Vec::new(), Vec::new()];
    for round in 1..=bench.rounds {
        let floor = rows.load(bench);
        bench.print_progress(&format!(
            "round {round}, floor: {:.0} k rows/s",
            floor.rows / floor.seconds / 1e3
        ));
        floors.push(floor);
        for (loads, proof) in loads.iter_mut().zip([false, true]) {
            let load = load(proof).expect("it was available");
            let figures = Figures::of(&load, blocks);
            load.database.remove();
            bench.print_progress(&format!(
                "round {round}, proof {}: {:.0} k rows/s",
                if proof { "on" } else { "off" },
                figures.rows_a_second / 1e3
            ));
            loads.push(figures);
        }
    }
    add_floor_row(section, &floors, blocks);
    let whole = mode == LoadMode::Backfill;
    add_row(section, "chaincast, proof off", &loads[0], &floors, whole);
    add_row(section, "chaincast, proof on", &loads[1], &floors, whole);
    let cpu = |loads: &[Figures]| median_of(loads, |figures| figures.cpu_ms[1]);
    let (off, on) = (cpu(&loads[0]), cpu(&loads[1]));
    section.notes.push(format!(
        "Proof takes {:.2} ms of chaincast's CPU a block, {:.0} % of all; fetching, decoding and encoding take {off:.2} ms.",
        on - off,
        (on - off) / on * 100.0
    ));
    if whole {
        let indexes = median_of(&loads[1], |figures| figures.after);
        let of_floor: Vec<f64> = floors.iter().map(|floor| floor.after).collect();
        section.notes.push(format!(
            "From the last row until chaincast ended, indexes included: {indexes:.1} s; the same indexes after the floor: {:.1} s.",
            stats::median(&of_floor)
        ));
    }
    let kept = |floor: &FloorLoad| json!({ "seconds": floor.seconds, "indexes": floor.after, "postgres_cpu": floor.postgres });
    json!({
        "blocks": blocks,
        "floor": floors.iter().map(kept).collect::<Vec<_>>(),
        "proof_off": loads[0].iter().map(Figures::json).collect::<Vec<_>>(),
        "proof_on": loads[1].iter().map(Figures::json).collect::<Vec<_>>(),
    })
}

/// The figures of one load.
pub struct Figures {
    pub blocks_a_second: f64,
    pub rows_a_second: f64,
    rows: f64,
    seconds: f64,
    after: f64,
    /// CPU time of node, chaincast and PostgreSQL, a block.
    cpu_ms: [f64; 3],
    busy: f64,
    pub peak_mb: f64,
}

impl Figures {
    pub fn of(load: &Load, blocks: u64) -> Self {
        let usage = load.usage;
        // Block 0 counts, too.
        let blocks = (blocks + 1) as f64;
        Self {
            blocks_a_second: blocks / load.seconds,
            rows_a_second: load.all_rows() / load.seconds,
            rows: load.all_rows(),
            seconds: load.seconds,
            after: load.after,
            cpu_ms: [usage.node, usage.product, usage.postgres]
                .map(|seconds| seconds * 1e3 / blocks),
            busy: load.postgres_busy,
            peak_mb: load.peak as f64 / 1e6,
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "rows": self.rows,
            "seconds": self.seconds,
            "after": self.after,
            "cpu_ms_a_block_of_node_chaincast_postgres": self.cpu_ms,
            "postgres_busy": self.busy,
            "peak_mb": self.peak_mb,
        })
    }
}

pub fn median_of<T>(all: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let values: Vec<f64> = all.iter().map(of).collect();
    stats::median(&values)
}

fn add_floor_row(section: &mut Section, floors: &[FloorLoad], blocks: u64) {
    let blocks = (blocks + 1) as f64;
    section.row([
        "floor: binary COPY by psql".to_owned(),
        format!("{:.0}", median_of(floors, |floor| blocks / floor.seconds)),
        format!(
            "{:.0} k",
            median_of(floors, |floor| floor.rows / floor.seconds / 1e3)
        ),
        "1.00".to_owned(),
        "1.00".to_owned(),
        format!(
            "– / – / {:.2}",
            median_of(floors, |floor| floor.postgres * 1e3 / blocks)
        ),
        "–".to_owned(),
        "–".to_owned(),
    ]);
}

/// `whole` means that the process ran to its end, indexes included.
fn add_row(
    section: &mut Section,
    what: &str,
    loads: &[Figures],
    floors: &[FloorLoad],
    whole: bool,
) {
    let ratio = |of_load: fn(&Figures) -> f64, of_floor: fn(&FloorLoad) -> f64| {
        let loads: Vec<f64> = loads.iter().map(of_load).collect();
        let floors: Vec<f64> = floors.iter().map(of_floor).collect();
        stats::ratio(&loads, &floors)
    };
    let with_indexes = || {
        ratio(
            |load| load.rows / (load.seconds + load.after),
            |floor| floor.rows / (floor.seconds + floor.after),
        )
    };
    let cpu = |index: usize| median_of(loads, |figures| figures.cpu_ms[index]);
    section.row([
        what.to_owned(),
        format!("{:.0}", median_of(loads, |figures| figures.blocks_a_second)),
        format!(
            "{:.0} k",
            median_of(loads, |figures| figures.rows_a_second / 1e3)
        ),
        format!(
            "{:.2}",
            ratio(
                |load| load.rows / load.seconds,
                |floor| floor.rows / floor.seconds
            )
        ),
        whole
            .then(with_indexes)
            .map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
        format!("{:.2} / {:.2} / {:.2}", cpu(0), cpu(1), cpu(2)),
        format!("{:.0} %", median_of(loads, |figures| figures.busy * 100.0)),
        format!("{:.0}", median_of(loads, |figures| figures.peak_mb)),
    ]);
}
