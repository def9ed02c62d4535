//! Commits whose updates wait for the next round of writes: what the fan-out's latency is measured from.

use std::time::Instant;

/// Most commits measured in one round; of a busier round the oldest are.
const MOST: usize = 1_024;

/// When the commits of one round happened, in order of arrival.
#[derive(Debug, Default)]
pub struct Commits(Vec<Instant>);

impl Commits {
    /// One more commit; `None` for what is none, or happened nobody knows when.
    pub fn note(&mut self, at: Option<Instant>) {
        if let Some(at) = at
            && self.0.len() < MOST
        {
            self.0.push(at);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Instant> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_measures_each_of_its_commits_up_to_a_bound() {
        let (mut commits, begin) = (Commits::default(), Instant::now());
        commits.note(Some(begin));
        commits.note(None);
        for _ in 0..2 * MOST {
            commits.note(Some(Instant::now()));
        }
        assert_eq!(commits.iter().count(), MOST);
        assert_eq!(commits.iter().next(), Some(begin));
    }
}
