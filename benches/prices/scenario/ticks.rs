//! From a venue's tick to a client's socket, at a tenth of the load and at full load.

use std::{future::ready, time::Duration};

use serde_json::json;

use crate::{bench::Bench, figures::Figures, section::Section, setup::Setup};

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "ticks",
        "From a venue's tick to a client",
        "Tokens with three sources each, at Binance, Coinbase and Kraken: first a tenth of the load, then all of it, \
         20 ticks a second per token. A tick of a token's middle source changes its price, and many of the others \
         change its confidence; each change is published unless a newer one of the token is in the same commit. \
         *Commit* is the average time of a transaction of the price writer, from `BEGIN` to the answer to `COMMIT`; \
         *one row* is that of an `INSERT` of one row by another, otherwise idle connection in the same seconds. *Tick \
         → socket* is the time from the instant before the venue writes the tick until a client has read the update. \
         CPU is in cores. Aim: tick → socket within 2 commits at p50, and no growth of memory.",
        &[
            "ticks a second",
            "stored",
            "updates",
            "ticks a commit, p50 (most)",
            "commit ms",
            "one row ms",
            "tick → socket p50 ms",
            "p99 ms",
            "p50 ÷ commit",
            "chaincast CPU",
            "PostgreSQL CPU",
            "MB at the end (most)",
        ],
    );
    let loads = [bench.full_load() / 10, bench.full_load()];
    let lasting = bench.pick(Duration::from_secs(20), Duration::from_secs(4));
    let mut measured = [Vec::new(), Vec::new()];
    let mut began_mb = Vec::new();
    let mut totals = Vec::new();
    for round in 1..=bench.rounds {
        let mut setup = Setup::start(bench);
        for (load, rounds) in loads.into_iter().zip(&mut measured) {
            setup.warm_up(load);
            // The first half only separates growth from the memory that the load needs.
            let half = setup.measure(lasting / 2, ready(()));
            let figures = setup.measure(lasting, ready(()));
            bench.print_progress(&format!(
                "round {round}: {load} ticks/s, {:.1} ms, {:.0} then {:.0} MB",
                figures.p50_ms, half.resident_mb, figures.resident_mb
            ));
            began_mb.push(half.resident_mb);
            rounds.push(figures);
        }
        let all = setup.settle();
        totals.push([all.sent, all.stored, all.conflated]);
        if all.lost() != 0.0 {
            section.notes.push(format!(
                "Round {round}: {} ticks are neither stored nor conflated.",
                all.lost()
            ));
        }
    }
    for rounds in &measured {
        section.row(row(rounds));
    }
    section.notes.push(format!(
        "{} tokens, {} sources. The venues took {:.2} cores at full load.",
        bench.tokens(),
        bench.tokens() * 3,
        Figures::median(&measured[1], |figures| figures.venues),
    ));
    section.rounds = json!({
        "ticks_a_second": loads, "figures": measured, "mb_before_each": began_mb,
        "sent_stored_conflated": totals,
    });
    section
}

fn row(rounds: &[Figures]) -> [String; 12] {
    let of = |value: fn(&Figures) -> f64| Figures::median(rounds, value);
    let number = |value: f64| format!("{value:.0}");
    [
        number(of(|figures| figures.sent / figures.seconds)),
        number(of(|figures| figures.stored / figures.seconds)),
        number(of(|figures| figures.updates / figures.seconds)),
        format!(
            "{:.0} ({:.0})",
            of(|figures| figures.batch_p50),
            of(|figures| figures.batch_most)
        ),
        format!("{:.2}", of(|figures| figures.commit_ms)),
        format!("{:.2}", of(|figures| figures.bare_ms)),
        format!("{:.1}", of(|figures| figures.p50_ms)),
        format!("{:.1}", of(|figures| figures.p99_ms)),
        format!("{:.2}", of(|figures| figures.p50_ms / figures.commit_ms)),
        format!("{:.2}", of(|figures| figures.product)),
        format!("{:.2}", of(|figures| figures.postgres)),
        format!(
            "{:.0} ({:.0})",
            of(|figures| figures.resident_mb),
            of(|figures| figures.peak_mb)
        ),
    ]
}
