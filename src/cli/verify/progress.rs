//! How far a verification is: a bar on a terminal, a line now and then elsewhere. On standard error, so that the list
//! of differences can be kept apart.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    chain: u64,
    lines: bool,
    told: Instant,
}

impl Progress {
    pub(super) fn new(chain: u64, blocks: u64) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let bar = ProgressBar::new(blocks);
        bar.set_draw_target(match lines {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        });
        let style = ProgressStyle::with_template(
            "chain {prefix} {bar:32} {pos}/{len} blocks  {per_sec}  {eta} left",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(chain.to_string());
        Self {
            bar,
            chain,
            lines,
            told: Instant::now(),
        }
    }

    pub(super) fn step(&mut self) {
        self.bar.inc(1);
        if self.lines && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            let (at, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!(
                "chain {}: {at} of {all} blocks compared, {:.0} blocks/s, {:.0} s left",
                self.chain,
                self.bar.per_sec(),
                self.bar.eta().as_secs_f64()
            );
        }
    }

    /// Prints without the bar in the way.
    pub(super) fn beside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }
}
