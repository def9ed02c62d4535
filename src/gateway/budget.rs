//! How many log lines about faults of clients are written: so many a minute about each kind of fault, so that nobody
//! can fill the log from outside. What is left out is counted and said.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts lines by kind; kinds are words of this program, never of a client.
#[derive(Debug)]
pub struct Budget {
    lines: u32,
    kinds: FxHashMap<&'static str, Spent>,
}

#[derive(Debug)]
struct Spent {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Budget {
    /// `lines` a minute about each kind.
    pub fn new(lines: u32) -> Self {
        Self {
            lines,
            kinds: FxHashMap::default(),
        }
    }

    /// Whether one more line may be written.
    pub fn admit(&mut self, kind: &'static str, now: Instant) -> bool {
        self.admit_most(kind, self.lines, now)
    }

    /// As [`Self::admit`], with another number of lines a minute.
    pub fn admit_most(&mut self, kind: &'static str, lines: u32, now: Instant) -> bool {
        let spent = self.kinds.entry(kind).or_insert(Spent {
            since: now,
            written: 0,
            left_out: 0,
        });
        // Lines that were left out are reported first: until then the minute goes on.
        if spent.left_out == 0 && now.duration_since(spent.since) >= MINUTE {
            (spent.since, spent.written) = (now, 0);
        }
        if spent.written < lines {
            spent.written += 1;
            return true;
        }
        spent.left_out += 1;
        false
    }

    /// The kinds whose minute is over and of which lines were left out, and how many; their next minute begins.
    pub fn overdrawn(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut overdrawn = Vec::new();
        for (kind, spent) in &mut self.kinds {
            if spent.left_out > 0 && now.duration_since(spent.since) >= MINUTE {
                overdrawn.push((*kind, spent.left_out));
                *spent = Spent {
                    since: now,
                    written: 0,
                    left_out: 0,
                };
            }
        }
        overdrawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_minute_and_a_kind_then_a_count_of_the_rest() {
        let (mut budget, begin) = (Budget::new(2), Instant::now());
        let written =
            |budget: &mut Budget, kind, at| (0..5).filter(|_| budget.admit(kind, at)).count();
        assert_eq!(written(&mut budget, "abuse", begin), 2);
        assert_eq!(written(&mut budget, "slow", begin), 2);
        assert_eq!(budget.overdrawn(begin + MINUTE / 2), []);
        let mut left_out = budget.overdrawn(begin + MINUTE);
        left_out.sort_unstable();
        assert_eq!(left_out, [("abuse", 3), ("slow", 3)]);
        assert_eq!(budget.overdrawn(begin + MINUTE), []);
        assert_eq!(written(&mut budget, "abuse", begin + MINUTE), 2);
    }

    #[test]
    fn a_quiet_minute_fills_the_budget_again() {
        let (mut budget, begin) = (Budget::new(1), Instant::now());
        assert!(budget.admit("silent", begin));
        assert!(budget.admit("silent", begin + MINUTE));
        assert!(!budget.admit("silent", begin + MINUTE));
    }
}
