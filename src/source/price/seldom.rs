//! Log lines that others can make us write: one of each kind in a while, however often there is reason for it. The
//! metrics count them all.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// At most one line of a kind in this time.
pub(super) const LOG_EVERY: Duration = Duration::from_secs(60);

/// When a line of each kind was last written.
#[derive(Debug, Default)]
pub(super) struct Seldom(BTreeMap<&'static str, Instant>);

impl Seldom {
    /// Whether a line of this kind may be written now; if so it counts as written.
    pub(super) fn due(&mut self, kind: &'static str) -> bool {
        let now = Instant::now();
        let last = self.0.get(kind);
        let due = last.is_none_or(|last| now.duration_since(*last) >= LOG_EVERY);
        if due {
            self.0.insert(kind, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_of_each_kind_is_due_once_in_a_while() {
        let mut seldom = Seldom::default();
        assert!(seldom.due("a") && seldom.due("b"));
        advance(LOG_EVERY / 2).await;
        assert!(!seldom.due("a"));
        // What was not written puts nothing off.
        advance(LOG_EVERY / 2).await;
        assert!(seldom.due("a"));
        assert!(!seldom.due("a") && seldom.due("b"));
    }
}
