//! The lines that `chaincast check` prints.

use std::fmt::Display;

use super::super::terminal::Paint;

/// Prints results, and counts the failures.
pub(super) struct Report {
    pub(super) paint: Paint,
    pub(super) failed: usize,
}

impl Report {
    /// Prints the result of one check.
    pub(super) fn line<E: Display>(&mut self, what: &str, result: Result<String, E>) {
        let (mark, text) = match result {
            Ok(text) => (self.paint.green("ok  "), text),
            Err(error) => {
                self.failed += 1;
                (self.paint.red("FAIL"), error.to_string())
            }
        };
        println!("{mark} {what}: {text}");
    }

    /// Prints a problem that does not keep the service from running.
    pub(super) fn warn(&self, what: &str, text: &str) {
        let mark = self.paint.yellow("warn");
        println!("{mark} {what}: {text}");
    }
}
