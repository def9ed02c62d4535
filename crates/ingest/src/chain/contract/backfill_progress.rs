//! How far the backfill of a contract is.

use std::time::Duration;

use chaincast_store::contracts::ContractState;

/// The first and the largest number of blocks in one step.
pub(super) const FIRST_WINDOW: u64 = 1_000;
const LARGEST_WINDOW: u64 = 10_000_000;
/// A step slower than `SLOW` halves the next one, and a step faster than `QUICK` enlarges it: new blocks wait for a step.
const SLOW: Duration = Duration::from_millis(250);
const QUICK: Duration = Duration::from_millis(50);

/// The progress of one contract's backfill.
pub(super) struct ContractBackfill {
    pub(super) decoded_from: u64,
    pub(super) found_from: u64,
    pub(super) window: u64,
}

impl ContractBackfill {
    pub(super) fn new(state: &ContractState) -> Self {
        Self {
            decoded_from: state.decoded_from,
            found_from: state.found_from,
            window: FIRST_WINDOW,
        }
    }

    pub(super) fn unwind(&mut self, to: u64) {
        self.decoded_from = self.decoded_from.min(to + 1);
        self.found_from = self.found_from.min(to + 1);
    }

    /// Adapts the next step to the time that the last one took.
    pub(super) fn adapt_window(&mut self, adapt_window: Duration) {
        if adapt_window > SLOW {
            self.window = (self.window / 2).max(1);
        } else if adapt_window < QUICK {
            self.window = (self.window * 4).min(LARGEST_WINDOW);
        }
    }
}
