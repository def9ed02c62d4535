//! What a verification found: a bounded list, and how it ends.

use super::compare::Difference;

pub(super) struct Report {
    limit: usize,
    found: usize,
    /// Whether blocks that were asked for could not be compared.
    incomplete: bool,
}

impl Report {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            found: 0,
            incomplete: false,
        }
    }

    /// Lists a difference while there is room, and counts it.
    pub(super) fn tell(&mut self, chain: u64, difference: &Difference) {
        self.line(format_args!("chain {chain} {difference}"));
    }

    /// As [`Self::tell`], of what belongs to no chain.
    pub(super) fn line(&mut self, difference: impl std::fmt::Display) {
        self.found += 1;
        if self.found <= self.limit {
            println!("{difference}");
        }
    }

    /// Not all that was asked for was compared.
    pub(super) fn leave_out(&mut self) {
        self.incomplete = true;
    }

    pub(super) fn found(&self) -> usize {
        self.found
    }

    /// The end of the run: an error when anything differs, or was not compared.
    pub(super) fn end(&self, done: Result<(), String>) -> Result<(), String> {
        if self.found > self.limit {
            println!("… and {} more", self.found - self.limit);
        }
        match (self.found, done) {
            (0, Ok(())) if self.incomplete => {
                Err("no difference, but not every block that was asked for was compared".to_owned())
            }
            (0, done) => done,
            (1, Ok(())) => Err(
                "1 difference between the database and the node, or within the database".to_owned(),
            ),
            (found, Ok(())) => Err(format!(
                "{found} differences between the database and the node, or within the database"
            )),
            (found, Err(error)) => Err(format!("{found} differences so far; then {error}")),
        }
    }
}
