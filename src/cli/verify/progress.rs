//! Progress of a verification: a bar on a terminal, a line every 10 s elsewhere. Printed to standard error, so that the
//! list of differences stays separate.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Interval of progress lines without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    chain: u64,
    lines: bool,
    last_line: Instant,
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
            last_line: Instant::now(),
        }
    }

    pub(super) fn step(&mut self) {
        self.bar.inc(1);
        if self.lines && self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let (at, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!(
                "chain {}: {at} of {all} blocks compared, {:.0} blocks/s, {:.0} s left",
                self.chain,
                self.bar.per_sec(),
                self.bar.eta().as_secs_f64()
            );
        }
    }

    /// Hides the bar while `print` runs.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }
}
