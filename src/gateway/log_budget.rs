//! Limits log lines about client faults per minute and kind, so that clients cannot fill the log. Suppressed lines are
//! counted and reported.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts lines by kind. Kinds are constants of this program, never text from a client.
#[derive(Debug)]
pub struct LogBudget {
    lines: u32,
    kinds: FxHashMap<&'static str, Usage>,
}

#[derive(Debug)]
struct Usage {
    since: Instant,
    written: u32,
    suppressed: u64,
}

impl LogBudget {
    /// Allows `lines` per minute and kind.
    pub fn new(lines: u32) -> Self {
        Self {
            lines,
            kinds: FxHashMap::default(),
        }
    }

    /// Counts one more line; `false` if it must be suppressed.
    pub fn admit(&mut self, kind: &'static str, now: Instant) -> bool {
        self.admit_up_to(kind, self.lines, now)
    }

    /// As [`Self::admit`], with a different number of lines per minute.
    pub fn admit_up_to(&mut self, kind: &'static str, lines: u32, now: Instant) -> bool {
        let usage = self.kinds.entry(kind).or_insert(Usage {
            since: now,
            written: 0,
            suppressed: 0,
        });
        // Suppressed lines are reported first; until then the minute continues.
        if usage.suppressed == 0 && now.duration_since(usage.since) >= MINUTE {
            (usage.since, usage.written) = (now, 0);
        }
        if usage.written < lines {
            usage.written += 1;
            return true;
        }
        usage.suppressed += 1;
        false
    }

    /// The kinds with suppressed lines whose minute is over, and the number of lines. Their next minute begins.
    pub fn take_suppressed(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut reported = Vec::new();
        for (kind, usage) in &mut self.kinds {
            if usage.suppressed > 0 && now.duration_since(usage.since) >= MINUTE {
                reported.push((*kind, usage.suppressed));
                *usage = Usage {
                    since: now,
                    written: 0,
                    suppressed: 0,
                };
            }
        }
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_limits_lines_per_kind_and_counts_the_rest() {
        let (mut budget, begin) = (LogBudget::new(2), Instant::now());
        let written =
            |budget: &mut LogBudget, kind, at| (0..5).filter(|_| budget.admit(kind, at)).count();
        assert_eq!(written(&mut budget, "abuse", begin), 2);
        assert_eq!(written(&mut budget, "slow", begin), 2);
        assert_eq!(budget.take_suppressed(begin + MINUTE / 2), []);
        let mut suppressed = budget.take_suppressed(begin + MINUTE);
        suppressed.sort_unstable();
        assert_eq!(suppressed, [("abuse", 3), ("slow", 3)]);
        assert_eq!(budget.take_suppressed(begin + MINUTE), []);
        assert_eq!(written(&mut budget, "abuse", begin + MINUTE), 2);
    }

    #[test]
    fn budget_refills_after_a_minute() {
        let (mut budget, begin) = (LogBudget::new(1), Instant::now());
        assert!(budget.admit("silent", begin));
        assert!(budget.admit("silent", begin + MINUTE));
        assert!(!budget.admit("silent", begin + MINUTE));
    }
}
