//! The differences found by a verification, in a bounded list, and its result.

use super::compare::Difference;

pub(super) struct Report {
    limit: usize,
    found: usize,
    /// Whether some requested blocks could not be compared.
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

    /// Counts a difference, and prints it if the limit is not reached.
    pub(super) fn add(&mut self, chain: u64, difference: &Difference) {
        self.line(format_args!("chain {chain} {difference}"));
    }

    /// As [`Self::add`], for a difference that belongs to no chain.
    pub(super) fn line(&mut self, difference: impl std::fmt::Display) {
        self.found += 1;
        if self.found <= self.limit {
            println!("{difference}");
        }
    }

    /// Records that some requested blocks were not compared.
    pub(super) fn mark_incomplete(&mut self) {
        self.incomplete = true;
    }

    pub(super) fn found(&self) -> usize {
        self.found
    }

    /// The result of the run: an error if there are differences or uncompared blocks.
    pub(super) fn end(&self, done: Result<(), String>) -> Result<(), String> {
        if self.found > self.limit {
            println!("… and {} more", self.found - self.limit);
        }
        match (self.found, done) {
            (0, Ok(())) if self.incomplete => {
                Err("no difference, but some requested blocks were not compared".to_owned())
            }
            (0, done) => done,
            (1, Ok(())) => Err(
                "1 difference between the database and the node, or within the database".to_owned(),
            ),
            (found, Ok(())) => Err(format!(
                "{found} differences between the database and the node, or within the database"
            )),
            (found, Err(error)) => Err(format!("{found} differences so far, then: {error}")),
        }
    }
}
