//! A slow PostgreSQL: commits grow, memory does not, and afterwards latency recovers.

use std::{cell::Cell, future::ready, time::Duration};

use serde_json::json;

use crate::{
    bench::Bench, database::lock_ticks, figures::Figures, process, section::Section, setup::Setup,
};

/// Each commit waits this long, and succeeds in the pause between.
const SLOW: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(20);
/// One commit waits this long: more ticks arrive than may be queued.
const STALL: Duration = Duration::from_secs(4);
/// Latency has recovered when it is below this multiple of the median before.
const RECOVERED_RATIO: f64 = 2.0;

const PHASES: [&str; 4] = [
    "unlocked",
    "each commit waits 200 ms",
    "one commit waits 4 s",
    "unlocked again",
];

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "locked",
        "While PostgreSQL is slow",
        "At full load another connection locks the table of ticks (`LOCK TABLE ticks IN SHARE MODE`), first for 200 \
         ms at a time with 20 ms between, then once for 4 s. The queue holds 16,384 ticks (`prices.tick_queue`), and \
         one commit takes up to 8,192; only beyond that does a source's newer tick replace its older one. Aim: \
         commits grow and memory does not; every lost tick is counted; afterwards latency is as before.",
        &[
            "PostgreSQL",
            "ticks a second sent",
            "stored",
            "conflated",
            "ticks a commit, p50 (most)",
            "tick → socket p50 ms",
            "p99 ms",
            "MB at the end (most)",
        ],
    );
    let mut measured = [const { Vec::new() }; PHASES.len()];
    let (mut recovered, mut totals) = (Vec::new(), Vec::new());
    for round in 1..=bench.rounds {
        let mut setup = Setup::start(bench);
        setup.warm_up(bench.full_load());
        let seconds = round_of(bench, &mut setup, &mut measured);
        let all = setup.settle();
        bench.print_progress(&format!(
            "round {round}: as quick as before after {seconds:?} s; {} of {} ticks conflated, {} lost",
            all.conflated,
            all.sent,
            all.lost()
        ));
        recovered.push(seconds);
        totals.push([all.sent, all.stored, all.conflated]);
    }
    for (phase, rounds) in PHASES.iter().zip(&measured) {
        section.row(row(phase, rounds));
    }
    section.notes.push(match slowest(&recovered) {
        Some(seconds) => format!(
            "After the 4 s, ticks reached clients as quickly as before (p50 within {RECOVERED_RATIO} ×) {seconds:.2} s later at most."
        ),
        None => "After the 4 s, ticks did not reach clients as quickly as before.".to_owned(),
    });
    let lost: f64 = totals
        .iter()
        .map(|[sent, stored, conflated]| sent - stored - conflated)
        .sum();
    section.notes.push(format!(
        "Of all ticks sent, {lost:.0} are neither stored nor counted as conflated."
    ));
    section.rounds = json!({
        "phases": PHASES, "figures": measured, "seconds_until_as_before": recovered,
        "sent_stored_conflated": totals,
    });
    section
}

/// Seconds after the stall until latency is as before it.
fn round_of(
    bench: &Bench,
    setup: &mut Setup<'_>,
    measured: &mut [Vec<Figures>; PHASES.len()],
) -> Option<f64> {
    let lasting = bench.pick(Duration::from_secs(8), Duration::from_secs(3));
    let url = setup.database();
    let before = setup.measure(lasting, ready(()));
    let slow = setup.measure(lasting, lock_ticks(&url, SLOW, PAUSE, lasting));
    let released = Cell::new(0);
    let stall = async {
        lock_ticks(&url, STALL, Duration::ZERO, Duration::from_millis(1)).await;
        released.set(process::now_ns());
    };
    let stalled = setup.measure(STALL + lasting, stall);
    let after = setup.measure(lasting, ready(()));
    let seconds = setup.recovery_time(released.get(), before.p50_ms * RECOVERED_RATIO);
    for (rounds, figures) in measured.iter_mut().zip([before, slow, stalled, after]) {
        rounds.push(figures);
    }
    seconds
}

/// The longest; `None` when one of them never recovered.
fn slowest(seconds: &[Option<f64>]) -> Option<f64> {
    let all: Option<Vec<f64>> = seconds.iter().copied().collect();
    all.map(|all| all.into_iter().fold(0.0, f64::max))
}

fn row(phase: &str, rounds: &[Figures]) -> [String; 8] {
    let of = |value: fn(&Figures) -> f64| Figures::median(rounds, value);
    [
        phase.to_owned(),
        format!("{:.0}", of(|figures| figures.sent / figures.seconds)),
        format!("{:.0}", of(|figures| figures.stored / figures.seconds)),
        format!("{:.0}", of(|figures| figures.conflated)),
        format!(
            "{:.0} ({:.0})",
            of(|figures| figures.batch_p50),
            of(|figures| figures.batch_most)
        ),
        format!("{:.1}", of(|figures| figures.p50_ms)),
        format!("{:.1}", of(|figures| figures.p99_ms)),
        format!(
            "{:.0} ({:.0})",
            of(|figures| figures.resident_mb),
            of(|figures| figures.peak_mb)
        ),
    ]
}
